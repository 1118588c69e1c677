"""What a worker does: run one call of a step, described by a specification that needs nothing but the workspace's bytes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from tidewheel.artifacts.relay import RelayedStore
from tidewheel.artifacts.store import ArtifactStore
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.errors import Invalid, StalePlan
from tidewheel.fingerprint.import_source import import_source
from tidewheel.fingerprint.origin import origin
from tidewheel.fingerprint.reads import ReadKind
from tidewheel.fingerprint.recipe import Component
from tidewheel.fingerprint.record import recording
from tidewheel.fingerprint.walk import Fingerprinter
from tidewheel.pipelines.codec import Codec
from tidewheel.pipelines.definition import Step, running
from tidewheel.pipelines.secrets import call_hidden, open_secrets, secret_in_answer
from tidewheel.pipelines.serve import serve, variables
from tidewheel.pipelines.trial import TrialSpec, perform
from tidewheel.pipelines.watch_worker import hide_printed
from tidewheel.ports.model_format import ModelFormat
from tidewheel.ports.secret_store import SecretStore


class Spec(msgspec.Struct, frozen=True):
    """One call of a step, as JSON.

    Parameters
    ----------
    root
        The project's folder.
    step
        ``module:name``.
    arguments
        Packed arguments by name.
    artifacts
        URL of the artifact store.
    code
        Digest of the step's code as the driver sees it; another one on the worker is an error, not another result.
    pickle
        Whether arguments and result may be pickles.
    movable
        Whether the worker has a copy of the project's folder in another place.
    trial
        Of which sweep the call is a trial; its result is written to the database then, and the answer is empty.
    secrets, store
        Names of secrets by environment variable, and the URL of the store that has them.
    """

    root: str
    step: str
    arguments: dict[str, msgspec.Raw]
    artifacts: str
    code: Digest
    pickle: bool = False
    movable: bool = False
    trial: TrialSpec | None = None
    secrets: dict[str, str] = {}
    store: str = "env"


@dataclass(frozen=True, slots=True)
class Outside:
    """What a worker finds by itself, since no specification may hold it.

    Parameters
    ----------
    reveal
        The URL that is meant by one without its password, given the project's folder.
    open_secrets
        A store of secrets by its URL.
    """

    reveal: Callable[[Path, str], str] = lambda root, url: url
    open_secrets: Callable[[str], SecretStore] | None = None


class Answer(msgspec.Struct, frozen=True):
    """Result of a call, as JSON: the packed value, its content, what was read, and what of it was not stable."""

    value: msgspec.Raw
    content: Digest
    reads: list[tuple[ReadKind, str, str | None]]
    unstable: list[str]


def run_spec(spec: bytes, *, root: Path | None = None, artifacts: str | None = None, outside: Outside | None = None) -> bytes:
    """Run one call and answer its result: what ``tidewheel exec SPEC`` does.

    Parameters
    ----------
    root, artifacts
        Where this worker finds the project and the artifacts, when it does not share a disk with the driver.

    Raises
    ------
    StalePlan
        When the code on this worker is not the driver's.
    """
    told = msgspec.json.decode(spec, type=Spec)
    root = root or Path(told.root)
    found = _load(root, told)
    outside = outside or Outside()
    codec = Codec(_artifacts(artifacts or outside.reveal(root, told.artifacts)), installed_formats(), pickle=told.pickle)
    arguments = {name: codec.unpack(bytes(data)) for name, data in told.arguments.items()}
    store = outside.open_secrets(told.store) if told.secrets and outside.open_secrets is not None else None
    opened = open_secrets(store, told.secrets, step=found.name)
    if opened:
        hide_printed(opened.values())
    with variables(dict(opened.items())), running(None):
        if told.trial is not None:
            database = _database(outside.reveal(root, told.trial.database))
            perform(told.trial, found.function, arguments=arguments, codec=codec, root=root, database=database, opened=opened)
            return b""
        known = _fingerprinter(root, told.movable).known([found.function])
        with recording(root, hidden=opened.names, known=known) as reads:
            value = call_hidden(found.function, arguments, opened)
    packed = codec.pack(value)
    leaked = opened.holds(packed.data)
    if leaked is not None:
        raise secret_in_answer(leaked, step=found.name)
    listed = [(read.kind, read.name, read.value) for read in reads]
    return msgspec.json.encode(
        Answer(msgspec.Raw(packed.data), packed.content, listed, reads.doubts(trusted=found.policy.trusted))
    )


def serve_specs(
    incoming: BinaryIO,
    outgoing: BinaryIO,
    *,
    root: Path | None = None,
    artifacts: str | None = None,
    outside: Outside | None = None,
) -> int:
    """Run calls one after the other: what ``tidewheel exec --serve`` does. Answers the exit code."""
    return serve(incoming, outgoing, partial(run_spec, root=root, artifacts=artifacts, outside=outside))


def code_digest(components: Mapping[str, Component]) -> Digest:
    """Digest of a step's code: what driver and worker must agree on. The environment is not code and may differ."""
    return digest({name: part.value for name, part in components.items() if not name.startswith("env:")})


def installed_formats() -> list[ModelFormat]:
    """Model formats whose libraries are installed, in order of name."""
    return list(_formats())


def _load(root: Path, told: Spec) -> Step[..., object]:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    import_source(root)
    for _ in range(2):
        importlib.invalidate_caches()
        module, _, name = told.step.partition(":")
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, Step):
            raise Invalid(f"{told.step} is no step", where=module, fix="define it with @tw.step at the top level of the module")
        if code_digest(_fingerprinter(root, told.movable).components([found.function])) == told.code:
            return found
        _forget()  # this worker is warm and may have loaded the project before an edit
    raise StalePlan(
        f"the code of {told.step} on the worker is not what it was when the run began",
        where=module,
        fix="do not edit the project's files while it runs, or start the run again",
    )


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file is not None and origin(file) == "project":
            del sys.modules[name]


@lru_cache(maxsize=8)
def _fingerprinter(root: Path, movable: bool) -> Fingerprinter:
    return Fingerprinter(root, movable=movable)


@lru_cache(maxsize=8)
def _artifacts(url: str) -> ArtifactStore:
    return RelayedStore.open(url)


@lru_cache(maxsize=2)
def _database(url: str) -> Database:
    return Database.open(url)


@lru_cache(maxsize=1)
def _formats() -> tuple[ModelFormat, ...]:
    found = []
    for point in sorted(entry_points(group="tidewheel.model_format"), key=lambda each: each.name):
        try:
            found.append(cast(ModelFormat, point.load()()))
        except ImportError:
            continue  # the technology's library is not installed, so no value of it can arrive
    return tuple(found)


if __name__ == "__main__":
    from argparse import ArgumentParser

    options = ArgumentParser()
    options.add_argument("--serve", action="store_true")
    options.add_argument("--root", type=Path)
    options.add_argument("--artifacts")
    asked = options.parse_args()
    sys.exit(serve_specs(sys.stdin.buffer, sys.stdout.buffer, root=asked.root, artifacts=asked.artifacts))
