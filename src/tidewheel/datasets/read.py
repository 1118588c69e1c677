"""Training sets from Python: features joined to rows at hand, and what an apply has built, opened again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.datasets.build import join
from tidewheel.datasets.handle import Dataset
from tidewheel.datasets.report import Report
from tidewheel.errors import NotFound, near_miss
from tidewheel.features.definition import ServiceDefinition
from tidewheel.ledger.definition import node_id
from tidewheel.ledger.record import Ledger
from tidewheel.sources.read import Sources

if TYPE_CHECKING:
    import pyarrow as pa

    from tidewheel.datasets.spines import SpineRows

_KIND = "training_set:"


@dataclass(frozen=True, slots=True)
class Datasets:
    """The training sets of one workspace.

    Parameters
    ----------
    environment
        Whose training sets :meth:`get` opens when none is named.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pyarrow as pa
    >>> from tidewheel.backends.duckdb import DuckDB
    >>> from tidewheel.database.open import Database
    >>> from tidewheel.features.definition import entity, features, lookup, service
    >>> from tidewheel.sources.definition import source
    >>> rows = pa.table({"uid": [1, 1], "ts": [10, 30], "x": [5, 6]})
    >>> @features(source("scores", rows, time="ts"), by=entity("user", uid=int))
    ... class Score:
    ...     x = lookup("x")
    >>> sources = Sources(Path("."), DuckDB(), Path("/nowhere"), {}.get, {}.__setitem__, lambda: 99)
    >>> made = Datasets(sources, ArtifactStore.open("memory:///"), Ledger(Database.open("sqlite://"), lambda: 99))
    >>> table, report = made.join([{"uid": 1, "at": 20, "won": True}], service("inputs", Score), time="at", label="won")
    >>> table.to_pylist(), report.rows
    ([{'uid': 1, 'at': 20, 'won': True, 'x': 5}], 1)
    >>> made.get("rides")
    Traceback (most recent call last):
    tidewheel.errors.NotFound: no training set 'rides' in environment dev (at rides). Fix: tidewheel apply
    """

    sources: Sources
    artifacts: ArtifactStore
    ledger: Ledger
    environment: str = "dev"

    def join(
        self, spine: SpineRows, service: ServiceDefinition, *, time: str, label: str | None = None
    ) -> tuple[pa.Table, Report]:
        """Features for rows at hand, each as it was known at the row's time; see :func:`tidewheel.datasets.build.join`.

        Parameters
        ----------
        spine
            A table (Arrow, pandas, Polars) or a list of mappings with ``time``, the service's keys and its request values.
            Anything else in it passes through.
        time
            Column with the instant of prediction; UTC where it has no zone.
        label
            Column of the spine that is the outcome, where it has one.

        Returns
        -------
        The spine's columns, then the features, a row for each row and in the same order; and the report.
        """
        return join(spine, service, time=time, sources=self.sources, label=label)

    def get(self, name: str, *, environment: str | None = None) -> Dataset:
        """The training set of a name as the environment has it now.

        Raises
        ------
        NotFound
            When the environment has none of the name.
        """
        chosen = environment or self.environment
        pointers = self.ledger.environment(chosen).pointers
        node = node_id("training_set", name.removeprefix(_KIND))
        build = self.ledger.find_build(pointers[node]) if node in pointers else None
        if build is None:
            known = [str(one).removeprefix(_KIND) for one in pointers if one.startswith(_KIND)]
            fix = near_miss(name, known) if known else "tidewheel apply"
            raise NotFound(f"no training set {name!r} in environment {chosen}", where=name, fix=fix)
        return Dataset.from_json(self.artifacts, build.output)
