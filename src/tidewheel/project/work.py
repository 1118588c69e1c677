"""Run a job of a pipeline in this process: what ``tidewheel exec`` does on a worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

from tidewheel.database.connect import shown_url
from tidewheel.errors import NotFound
from tidewheel.pipelines.worker import Outside, run_spec, serve_specs
from tidewheel.ports.secret_store import SecretStore, SecretStoreOpener
from tidewheel.project.backend import load_backend, technology
from tidewheel.project.load import read_configuration
from tidewheel.url import HIDDEN, resolve, without_password


def work(spec: Path | None, *, stay: bool, root: Path | None = None, artifacts: str | None = None) -> int:
    """Run one job from a file, or jobs from stdin until it closes; answer the exit code.

    Parameters
    ----------
    spec
        File with the job's JSON; ``None`` reads stdin.
    stay
        Serve many jobs, one after the other.
    root, artifacts
        Where this worker finds the project and the artifacts, when it is not where the driver finds them.
    """
    if stay:
        return serve_specs(sys.stdin.buffer, sys.stdout.buffer, root=root, artifacts=artifacts, outside=OUTSIDE)
    data = spec.read_bytes() if spec is not None else sys.stdin.buffer.read()
    sys.stdout.buffer.write(run_spec(data, root=root, artifacts=artifacts, outside=OUTSIDE))
    sys.stdout.buffer.flush()
    return 0


def reveal(root: Path, shown: str) -> str:
    """The URL with its password that one without it means: as the ``tidewheel.toml`` here says, and the variables of here.

    Raises
    ------
    NotFound
        When no workspace has it.
    """
    if HIDDEN not in shown:
        return shown
    for workspace in read_configuration(root).workspaces.values():
        for url in (workspace.database, workspace.artifacts):
            if url is not None and shown in (without_password(url), shown_url(url) if url == workspace.database else ""):
                return resolve(url, os.environ, f"tidewheel.toml [workspace.{workspace.name}]")
    raise NotFound(
        f"the password of {shown} is not known on this worker", where=shown, fix="name it in tidewheel.toml, with ${NAME} in it"
    )


def open_store(url: str) -> SecretStore:
    """A store of secrets, kept open in this process."""
    if url not in _stores:
        opener = cast("SecretStoreOpener", load_backend("secret_store", technology(url)))
        _stores[url] = opener(resolve(url, os.environ, "secrets"), environment=os.environ)
    return _stores[url]


_stores: dict[str, SecretStore] = {}
OUTSIDE = Outside(reveal, open_store)
