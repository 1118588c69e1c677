"""A model version: what was trained, from what, and how well it does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.errors import Invalid
from tidewheel.schema import Field, Schema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ALIAS = re.compile(r"[a-z][a-z0-9_-]*")
_RESERVED = re.compile(r"latest|v\d+")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes, in order, and what it gives.

    Examples
    --------
    >>> from tidewheel.schema import DataType
    >>> signature = Signature(Schema((Field("trips_1h", DataType.INT64),)), Field("minutes", DataType.FLOAT64, False))
    >>> signature.features
    ('trips_1h',)
    """

    inputs: Schema
    output: Field

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of the model's columns."""
        return self.inputs.names


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    """One column of the baseline in numbers: a summary for people; monitors cut windows of the sample itself.

    Parameters
    ----------
    count, nulls
        Rows, and how many of them were null or NaN.
    quantiles
        At 0, 1, 5, 25, 50, 75, 95, 99 and 100 percent of the rows that are not null; empty when there are none.
    """

    count: int
    nulls: int
    mean: float
    std: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from: everything that is known before it has a version number.

    Parameters
    ----------
    metric
        Name of the metric by which versions of this model are compared.
    metrics
        On the test split of the training set.
    training_set
        Content of the training set.
    views
        Feature views by name, each pinned to the version that the model was trained on.
    project_snapshot
        Artifact: the project's code as a zip file, from which serving loads the definitions.
    baseline
        JSON of an :class:`tidewheel.artifacts.table.Table` with the columns ``f.<feature>`` (typed as the feature),
        ``prediction`` and ``label`` (float64; for more than two classes the index of the likeliest), ``at`` (int64
        microseconds) and ``split`` (``"test"`` or ``"train"``), in order of time within each split. Empty: none.
    profile
        One per feature and for ``prediction``, ``label`` and ``error``, over the test split.
    """

    signature: Signature
    recipe: Digest
    run_id: str
    training_set: Digest
    project_snapshot: Digest
    metric: str = "mae"
    metrics: Mapping[str, float] = field(default_factory=dict)
    service: str = ""
    views: Mapping[str, Digest] = field(default_factory=dict)
    baseline: str = ""
    profile: Mapping[str, FeatureProfile] = field(default_factory=dict)
    environment_lock: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    description: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """An immutable version of a registered model.

    Parameters
    ----------
    content
        Digest over the format and all files: equal models have equal content.
    files
        File name to artifact.
    """

    model: str
    version: int
    content: Digest
    format: str
    files: Mapping[str, Digest]
    created_at: Micros
    provenance: Provenance

    @property
    def name(self) -> str:
        """``eta:3``."""
        return f"{self.model}:{self.version}"

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.provenance.signature

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs, in the order of the model's columns."""
        return self.provenance.signature.features

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics on the test split."""
        return self.provenance.metrics

    @property
    def recipe(self) -> Digest:
        """Recipe of the model's node."""
        return self.provenance.recipe

    @property
    def run_id(self) -> str:
        """The run that trained it."""
        return self.provenance.run_id

    @property
    def training_set(self) -> Digest:
        """Content of the training set."""
        return self.provenance.training_set

    @property
    def service(self) -> str:
        """Name of the feature service."""
        return self.provenance.service

    @property
    def views(self) -> Mapping[str, Digest]:
        """Feature views by name, pinned to the version that the model was trained on."""
        return self.provenance.views

    @property
    def project_snapshot(self) -> Digest:
        """Artifact with the project's code."""
        return self.provenance.project_snapshot

    @property
    def baseline(self) -> str:
        """JSON of the Table with the reference sample: see :class:`Provenance`."""
        return self.provenance.baseline


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One entry in the history of an alias; ``None`` for no version."""

    model: str
    alias: str
    old: int | None
    new: int | None
    at: Micros
    actor: str
    reason: str


def parse_reference(reference: str) -> tuple[str, int | str | None]:
    """Split ``eta``, ``eta:3`` or ``eta@champion``: no version means the newest.

    Examples
    --------
    >>> parse_reference("eta:3"), parse_reference("eta@champion"), parse_reference("eta")
    (('eta', 3), ('eta', 'champion'), ('eta', None))
    """
    if "@" in reference:
        name, _, alias = reference.partition("@")
        return check_name(name), None if alias == "latest" else check_alias(alias)
    name, colon, version = reference.partition(":")
    if not colon:
        return check_name(name), None
    if not (version.isascii() and version.isdigit() and int(version) > 0):
        raise Invalid(
            f"{reference!r} names no version of a model",
            where=reference,
            fix=f"write {name}:3, {name}@champion or {name}@latest",
        )
    return check_name(name), int(version)


def check_name(name: str) -> str:
    """The name of a model, or ``Invalid``."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is not a model's name", where=name, fix="use letters, digits, '_', '-' and '.', starting with a letter"
        )
    return name


def check_alias(alias: str) -> str:
    """An alias that may be set, or ``Invalid``: ``latest`` and ``v3`` would be mistaken for versions."""
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise Invalid(
            f"{alias!r} cannot be an alias",
            where=alias,
            fix="use lower-case letters, digits, '_' and '-'; not 'latest' and not 'v1', 'v2', ...",
        )
    return alias
