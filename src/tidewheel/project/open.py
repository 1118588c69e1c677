"""Open a workspace: every store and backend that ``tidewheel.toml`` names, each opened on first use."""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from tidewheel.clock import Clock, parse_duration, system_clock
from tidewheel.errors import Invalid
from tidewheel.project.backend import list_backends, load_backend, technology
from tidewheel.project.configuration import LineageConfiguration, WorkspaceConfiguration
from tidewheel.project.load import find_root, read_configuration
from tidewheel.url import resolve, without_password

if TYPE_CHECKING:
    from tidewheel.access import AuditTrail
    from tidewheel.artifacts.store import ArtifactStore
    from tidewheel.database.open import Database
    from tidewheel.datasets.read import Datasets
    from tidewheel.features.materialize import Materializer
    from tidewheel.features.read import Features
    from tidewheel.features.record_statistics import Statistics
    from tidewheel.fingerprint.walk import Fingerprinter
    from tidewheel.ledger.record import Ledger
    from tidewheel.models.registry import Registry
    from tidewheel.monitors.evaluate import Monitors
    from tidewheel.pipelines.execute import Session
    from tidewheel.ports.executor import Executor
    from tidewheel.ports.model_format import ModelFormat
    from tidewheel.ports.online_store import OnlineStore, StoreOpener
    from tidewheel.ports.query_engine import QueryEngine
    from tidewheel.ports.sampler import SamplerOpener
    from tidewheel.ports.secret_store import SecretStore, SecretStoreOpener
    from tidewheel.ports.table_format import TableFormat
    from tidewheel.ports.vector_index import IndexOpener
    from tidewheel.predictions.label_log import LabelLog
    from tidewheel.predictions.log import PredictionLog
    from tidewheel.releases.promote import Releases
    from tidewheel.runs.record import Runs
    from tidewheel.serving.route import Routes
    from tidewheel.sources.push import PushLog
    from tidewheel.sources.read import Sources
    from tidewheel.triggers.record import Tasks

T = TypeVar("T")
FOLDER = ".tidewheel"
_LOG_SEGMENT_BYTES = 2 << 20
"""A few thousand predictions: what a monitor reads row by row, since the rest is Parquet by then."""

_NAMESPACE = "online:namespace"

_ACTOR, _WORKSPACE = "TIDEWHEEL_ACTOR", "TIDEWHEEL_WORKSPACE"


def open_workspace(
    root: Path | str = ".", name: str | None = None, *, clock: Clock = system_clock, actor: str | None = None
) -> Workspace:
    """The workspace of a project.

    Parameters
    ----------
    root
        The project's folder, or one below it.
    name
        Workspace in ``tidewheel.toml``; default: ``TIDEWHEEL_WORKSPACE``, else ``local``.
    actor
        Who is acting, for the history; default: ``TIDEWHEEL_ACTOR``, else the login name.
    """
    folder = find_root(Path(root))
    configuration = read_configuration(folder)
    chosen = configuration.workspace(name or os.environ.get(_WORKSPACE) or "local")
    allowance = parse_duration(configuration.future_allowance)
    return Workspace(
        folder,
        chosen,
        clock=clock,
        actor=actor or _whoami(),
        future_allowance=allowance,
        environment=configuration.environment,
        lineage=configuration.lineage,
    )


def _whoami() -> str:
    named = os.environ.get(_ACTOR)
    if named:
        return named
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Workspace:
    """Where a project's bytes live. Its attributes are the stores and the verbs' homes; each opens on first use.

    Examples
    --------
    >>> import tidewheel as tw
    >>> ws = tw.open_workspace("examples/taxi")  # doctest: +SKIP
    >>> ws.registry.get("eta@champion").metrics  # doctest: +SKIP
    """

    def __init__(
        self,
        root: Path,
        configuration: WorkspaceConfiguration,
        *,
        clock: Clock,
        actor: str,
        future_allowance: int = 60_000_000,
        environment: str = "dev",
        lineage: LineageConfiguration | None = None,
    ) -> None:
        self.root = root
        self.configuration = configuration
        self.clock = clock
        self.actor = actor
        self.future_allowance = future_allowance
        self.environment = environment
        self.lineage = lineage or LineageConfiguration()
        self.home = root / FOLDER if configuration.name == "local" else root / FOLDER / configuration.name
        self._closers: list[Callable[[], None]] = []
        self._push_logs: dict[str, PushLog] = {}
        self._prediction_logs: dict[str, PredictionLog] = {}
        self._label_logs: dict[str, LabelLog] = {}

    # ── stores ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def database(self) -> Database:
        """Facts: SQLite under the workspace's folder, or PostgreSQL by URL."""
        from tidewheel.database.open import Database

        self.home.mkdir(parents=True, exist_ok=True)
        opened = Database.open(self._url("database") or f"sqlite:///{self.home / 'tidewheel.db'}")
        return self._closing(opened, opened.close)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Content-addressed bytes."""
        from tidewheel.artifacts.store import ArtifactStore

        return ArtifactStore.open(self._url("artifacts") or f"file://{self.home / 'artifacts'}")

    @cached_property
    def online(self) -> OnlineStore:
        """Rows for online answers."""
        factory = cast("StoreOpener", load_backend("online_store", technology(self.configuration.online)))
        url = self._url("online")
        shared = {"namespace": self._namespace()} if "://" in url else {}
        opened = factory(self._location(url, "online.lmdb"), **shared)
        return self._closing(opened, opened.close)

    @cached_property
    def engine(self) -> QueryEngine:
        """What scans and sorts."""
        factory = cast("Callable[..., QueryEngine]", load_backend("query_engine", technology(self.configuration.engine)))
        limit = self.memory_limit // 2
        opened = factory(self._url("engine"), temporary=self.home / "spill" / "engine", memory_limit=limit)
        return self._closing(opened, opened.close)

    @cached_property
    def memory_limit(self) -> int:
        """Bytes of tables that work on features may hold: as configured, or half of what there is."""
        from tidewheel.project.measure_memory import measure_memory

        return self.configuration.memory_limit or measure_memory() // 2

    @cached_property
    def executor(self) -> Executor:
        """Where pipeline steps run."""
        from tidewheel.ports.executor import Cargo

        name = technology(self.configuration.executor)
        factory = cast("Callable[..., Executor]", load_backend("executor", name))
        command = [sys.executable, "-m", "tidewheel", "exec"]
        # A store with a folder of its own is on this machine's disk, which workers elsewhere do not see.
        cargo = Cargo(self.root, self.artifacts if self.artifacts.url.startswith("file:") else None)
        opened = factory(command=command, folder=self.home / "jobs", url=self._url("executor"), cargo=cargo)
        return self._closing(opened, opened.close)

    @cached_property
    def formats(self) -> list[ModelFormat]:
        """Model formats whose libraries are installed, in order of name."""
        made = []
        for name in list_backends("model_format"):
            factory = cast("Callable[[], ModelFormat]", load_backend("model_format", name))
            made.append(factory())
        return made

    # ── the nouns ────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def ledger(self) -> Ledger:
        """Recipes, builds, environments."""
        from tidewheel.ledger.record import Ledger

        return Ledger(self.database, self.clock)

    @cached_property
    def audit(self) -> AuditTrail:
        """Who did what."""
        from tidewheel.access import AuditTrail

        return AuditTrail(self.database, self.clock)

    @cached_property
    def fingerprinter(self) -> Fingerprinter:
        """What functions depend on."""
        from tidewheel.fingerprint.walk import Fingerprinter

        return Fingerprinter(self.root)

    @cached_property
    def sources(self) -> Sources:
        """Raw data and its snapshots."""
        from tidewheel.project.progress import Teller
        from tidewheel.sources.budget import Budget
        from tidewheel.sources.fetch import Outside
        from tidewheel.sources.read import Sources

        return Sources(
            self.root,
            self.engine,
            pushes=self.home / "pushes",
            recall=self.ledger.recall,
            remember=self.ledger.remember,
            clock=self.clock,
            outside=Outside(self.home / "fetched", os.environ, self._open_table),
            budget=Budget(self.memory_limit // 2, self.home / "spill"),
            watch=Teller(),
        )

    @cached_property
    def materializer(self) -> Materializer:
        """Features on their way to the online store."""
        from tidewheel.features.materialize import Materializer

        return Materializer(self.sources, self.online, self.database, self.clock)

    @cached_property
    def features(self) -> Features:
        """Features at an instant and over time, read from the sources."""
        from tidewheel.features.index_vectors import VectorIndexes
        from tidewheel.features.read import Features

        def opener(technology: str) -> IndexOpener:
            return cast("IndexOpener", load_backend("vector_index", technology))

        return Features(self.sources, VectorIndexes(self.home / "indexes", opener))

    @cached_property
    def secrets(self) -> SecretStore:
        """Where secrets of steps are kept."""
        name = technology(self.configuration.secrets)
        factory = cast("SecretStoreOpener", load_backend("secret_store", name))
        opened = factory(self._url("secrets"), environment=os.environ)
        return self._closing(opened, opened.close)

    def equip(self, session: Session) -> None:
        """Let a session find what it needs by name: samplers and secrets."""
        session.samplers = self.samplers
        session.secrets = lambda: self.secrets
        session.secrets_url = self.configuration.secrets

    def samplers(self, name: str) -> SamplerOpener:
        """What chooses the points of sweeps, by name."""
        return cast("SamplerOpener", load_backend("sampler", name))

    @cached_property
    def datasets(self) -> Datasets:
        """Training sets: joined to rows at hand, or built by an apply."""
        from tidewheel.datasets.read import Datasets

        return Datasets(self.sources, self.artifacts, self.ledger, self.environment)

    @cached_property
    def statistics(self) -> Statistics:
        """What the columns of views held, day by day."""
        from tidewheel.features.record_statistics import Statistics

        return Statistics(self.database, self.sources, self.clock)

    @cached_property
    def runs(self) -> Runs:
        """Experiments."""
        from tidewheel.runs.record import Runs

        return Runs(self.database, self.artifacts, self.clock, logs=self.home / "logs")

    @cached_property
    def registry(self) -> Registry:
        """Model versions and aliases."""
        from tidewheel.models.registry import Registry

        allowed = self.configuration.allow_pickle
        return Registry(self.database, self.artifacts, self.formats, self.clock, allow_pickle=allowed)

    @cached_property
    def routes(self) -> Routes:
        """Which versions answer."""
        from tidewheel.serving.route import Routes

        return Routes(self.database, self.clock)

    @cached_property
    def monitors(self) -> Monitors:
        """Window results and alerts."""
        from tidewheel.monitors.evaluate import Monitors

        return Monitors(self.database, self.clock)

    @cached_property
    def tasks(self) -> Tasks:
        """What triggers asked for, and what became of it."""
        from tidewheel.triggers.record import Tasks

        return Tasks(self.database, self.clock)

    @cached_property
    def releases(self) -> Releases:
        """Gates, promotions and rollbacks, with their evidence."""
        from tidewheel.releases.promote import Releases

        return Releases(self.database, self.clock, registry=self.registry, routes=self.routes)

    def push_log(self, source: str) -> PushLog:
        """Rows pushed to a source."""
        from tidewheel.sources.push import PushLog

        if source not in self._push_logs:
            opened = self._push_logs[source] = PushLog(self.home / "pushes" / source)
            self._closers.append(opened.close)
        return self._push_logs[source]

    def prediction_log(self, deployment: str) -> PredictionLog:
        """Answers of a deployment."""
        from tidewheel.predictions.log import PredictionLog

        if deployment not in self._prediction_logs:
            folder = self.home / "predictions" / _file_name(deployment)
            opened = self._prediction_logs[deployment] = PredictionLog(folder, segment_bytes=_LOG_SEGMENT_BYTES)
            self._closers.append(opened.close)
        return self._prediction_logs[deployment]

    def label_log(self, deployment: str) -> LabelLog:
        """Truths about a deployment's answers."""
        from tidewheel.predictions.label_log import LabelLog

        if deployment not in self._label_logs:
            opened = self._label_logs[deployment] = LabelLog(self.home / "labels" / _file_name(deployment), self.clock)
            self._closers.append(opened.close)
        return self._label_logs[deployment]

    def environment_lock(self) -> dict[str, str]:
        """Versions of all installed distributions, by name."""
        found = {str(d.metadata["Name"]).lower().replace("_", "-"): d.version for d in distributions() if d.metadata["Name"]}
        return dict(sorted(found.items()))

    def close(self) -> None:
        """Close what was opened, in reverse order; idempotent."""
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _closing(self, opened: T, close: Callable[[], None]) -> T:
        self._closers.append(close)
        return opened

    def _url(self, key: Literal["database", "artifacts", "online", "engine", "executor", "secrets"]) -> str:
        """A URL of the configuration with its references replaced; empty when there is none."""
        where = f"tidewheel.toml [workspace.{self.configuration.name}]"
        return resolve(getattr(self.configuration, key) or "", os.environ, where)

    def _namespace(self) -> str:
        """Whose rows these are on a server that is shared: of this database, since the numbers of the views come from it."""
        known = self.ledger.recall(_NAMESPACE)
        if known is None:
            with self.database.write():  # others wait, so there is one answer
                known = self.ledger.recall(_NAMESPACE)
                if known is None:
                    readable = "".join(c if c.isascii() and c.isalnum() else "_" for c in self.root.name.lower())[:32]
                    known = f"{readable}-{secrets.token_hex(4)}".encode()
                    self.ledger.remember(_NAMESPACE, known)
        return known.decode()

    def _open_table(self, url: str, options: Mapping[str, str]) -> TableFormat:
        name = technology(url)
        factory = cast("Callable[[str, Mapping[str, str]], TableFormat]", load_backend("table_format", name))
        opened = factory(url, options)
        return self._closing(opened, opened.close)

    def _location(self, url: str, default: str) -> str:
        scheme, separator, rest = url.partition("://")
        if separator and not rest:
            where = f"tidewheel.toml [workspace.{self.configuration.name}]"
            fix = f'write "{scheme}" for its default place, or name one behind {scheme}://'
            raise Invalid(f"{without_password(url)!r} names no place", where=where, fix=fix)
        return url if separator else f"{scheme}://{self.home / default}"


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise Invalid(f"{name!r} cannot be a deployment's name", where=name, fix="use letters, digits, '_' and '-'")
    return name
