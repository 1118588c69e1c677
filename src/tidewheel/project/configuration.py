"""``tidewheel.toml``: one typed tree, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidewheel.errors import Invalid, NotFound, near_miss
from tidewheel.project.cost import Rates
from tidewheel.sources.budget import parse_size

_PROJECT_KEYS = ("project", "definitions", "environment", "workspace", "push", "cost", "lineage")
_LINEAGE_KEYS = ("url", "namespace", "api_key")
_RATES = ("cpu_hour", "machine_hour")
_URLS = ("database", "artifacts", "online", "engine", "executor", "secrets")
_WORKSPACE_KEYS = (*_URLS, "memory_limit", "allow_pickle", "streams")


@dataclass(frozen=True, slots=True)
class WorkspaceConfiguration:
    """Where the bytes of a workspace live, each by URL; ``None`` is the embedded default under ``.tidewheel/``.

    In each, ``${NAME}`` stands for an environment variable, so that no password need be in the file.
    ``online``, ``engine``, ``executor`` and ``secrets`` name a backend by URL scheme: ``lmdb``, ``memory``, ``redis``,
    ``postgres``; ``duckdb``, ``spark``; ``inprocess``, ``local``, ``ray``; ``env``, ``file``.
    ``memory_limit`` is how many bytes of tables (``"4GB"`` or ``"512MiB"`` in the file) work on features may hold: half of it
    is the engine's, half is for joins, and what is more goes to disk; ``None`` is half of
    the memory that the machine or the container has. An online store on a server belongs to the workspace's database, so that
    projects and developers may share the server; ``?namespace=`` in the URL says otherwise. ``allow_pickle`` lets pickled
    models load: whoever can write such a model runs code where it is loaded. ``streams`` are URLs by name of source, in
    place of those that the sources themselves say.
    """

    name: str = "local"
    database: str | None = None
    artifacts: str | None = None
    online: str = "lmdb"
    engine: str = "duckdb"
    executor: str = "inprocess"
    secrets: str = "env"
    memory_limit: int | None = None
    allow_pickle: bool = False
    streams: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LineageConfiguration:
    """Who is told of lineage: an OpenLineage receiver.

    Without a URL, OpenLineage's own environment variables say it, and nobody is told when there are none. ``namespace`` is that
    of jobs and data sets; by default ``OPENLINEAGE_NAMESPACE``, else the project's name. ``api_key`` is best ``${NAME}``.
    """

    url: str | None = None
    namespace: str | None = None
    api_key: str | None = None
    project: str = "default"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A project's settings.

    Parameters
    ----------
    project
        Name of the project; also the package that holds the definitions when there is one.
    definitions
        Modules and packages to import; empty means: found by rule (see :mod:`tidewheel.project.load`).
    environment
        The environment that verbs mean when none is named.
    workspaces
        By name; ``local`` always exists.
    future_allowance
        How far ahead of the clock a pushed event may lie, as a duration.
    rates
        What builds cost: ``cpu_hour``, ``machine_hour`` and ``currency`` of ``[cost]``.
    lineage
        ``[lineage]``.
    """

    project: str
    definitions: tuple[str, ...] = ()
    environment: str = "dev"
    future_allowance: str = "1m"
    rates: Rates = field(default_factory=Rates)
    lineage: LineageConfiguration = field(default_factory=LineageConfiguration)
    workspaces: Mapping[str, WorkspaceConfiguration] = field(default_factory=lambda: {"local": WorkspaceConfiguration()})

    def workspace(self, name: str) -> WorkspaceConfiguration:
        """The workspace of that name.

        Raises
        ------
        NotFound
            When the file names no such workspace.
        """
        if name not in self.workspaces:
            raise NotFound(
                f"no workspace {name!r} in tidewheel.toml",
                where=f"tidewheel.toml [workspace.{name}]",
                fix=near_miss(name, self.workspaces),
            )
        return self.workspaces[name]


def parse_configuration(tree: Mapping[str, object]) -> Configuration:
    """The configuration in a parsed ``tidewheel.toml``.

    Raises
    ------
    Invalid
        For an unknown key, or a value of the wrong type, with the key's place.

    Examples
    --------
    >>> parse_configuration({"project": "taxi", "workspace": {"team": {"online": "memory"}}}).workspace("team").online
    'memory'
    """
    _refuse_unknown(tree, _PROJECT_KEYS, "")
    project = _text(tree, "project", "")
    if project is None:
        raise Invalid("tidewheel.toml names no project", where="tidewheel.toml", fix='add a line: project = "taxi"')
    names = tree.get("definitions", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid("definitions is not a list of module names", where="tidewheel.toml definitions")
    workspaces = {"local": WorkspaceConfiguration()}
    found = tree.get("workspace", {})
    for name, part in (found if isinstance(found, Mapping) else {}).items():
        workspaces[name] = _workspace(name, part)
    push = tree.get("push", {})
    if not isinstance(push, Mapping):
        raise Invalid("push is not a table", where="tidewheel.toml [push]")
    _refuse_unknown(push, ("future_allowance",), "push.")
    return Configuration(
        rates=_rates(tree.get("cost", {})),
        lineage=_lineage(tree.get("lineage", {}), project),
        project=project,
        definitions=tuple(names),
        environment=_text(tree, "environment", "") or "dev",
        future_allowance=_text(push, "future_allowance", "push.") or "1m",
        workspaces=workspaces,
    )


def _lineage(part: object, project: str) -> LineageConfiguration:
    if not isinstance(part, Mapping):
        raise Invalid("lineage is not a table", where="tidewheel.toml [lineage]")
    _refuse_unknown(part, _LINEAGE_KEYS, "lineage.")
    return LineageConfiguration(**{key: _text(part, key, "lineage.") for key in _LINEAGE_KEYS}, project=project)


def _rates(part: object) -> Rates:
    if not isinstance(part, Mapping):
        raise Invalid("cost is not a table", where="tidewheel.toml [cost]")
    _refuse_unknown(part, (*_RATES, "currency"), "cost.")
    for key in _RATES:
        value = part.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise Invalid(f"cost.{key} is {value!r}, not a number from 0 on", where=f"tidewheel.toml cost.{key}")
    cpu, machine = (float(part.get(key, 0)) for key in _RATES)
    return Rates(cpu, machine, _text(part, "currency", "cost.") or "")


def _workspace(name: str, part: object) -> WorkspaceConfiguration:
    place = f"workspace.{name}"
    if not isinstance(part, Mapping):
        raise Invalid(f"{place} is not a table", where=f"tidewheel.toml [{place}]")
    _refuse_unknown(part, _WORKSPACE_KEYS, f"{place}.")
    given = {key: _text(part, key, f"{place}.") for key in _URLS}
    limit = _text(part, "memory_limit", f"{place}.")
    pickled = part.get("allow_pickle", False)
    if not isinstance(pickled, bool):
        raise Invalid(f"{place}.allow_pickle is {pickled!r}, not true or false", where=f"tidewheel.toml {place}.allow_pickle")
    streams = part.get("streams", {})
    if not isinstance(streams, Mapping):
        raise Invalid(f"{place}.streams is not a table", where=f"tidewheel.toml [{place}.streams]")
    default = WorkspaceConfiguration(name)
    return WorkspaceConfiguration(
        name,
        database=given["database"],
        artifacts=given["artifacts"],
        online=given["online"] or default.online,
        engine=given["engine"] or default.engine,
        executor=given["executor"] or default.executor,
        secrets=given["secrets"] or default.secrets,
        memory_limit=None if limit is None else parse_size(limit, where=f"tidewheel.toml {place}.memory_limit"),
        allow_pickle=pickled,
        streams={source: _text(streams, source, f"{place}.streams.") or "" for source in streams},
    )


def _text(tree: Mapping[str, object], key: str, prefix: str) -> str | None:
    value = tree.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{prefix}{key} is {value!r}, not a string", where=f"tidewheel.toml {prefix}{key}")
    return value


def _refuse_unknown(tree: Mapping[str, object], known: tuple[str, ...], prefix: str) -> None:
    for key in tree:
        if key not in known:
            raise Invalid(f"unknown key {prefix}{key}", where=f"tidewheel.toml {prefix}{key}", fix=near_miss(key, known))
