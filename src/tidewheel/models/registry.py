"""The registry: register versions, load them, move aliases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from tidewheel.artifacts.store import ArtifactStore
from tidewheel.artifacts.table import Table
from tidewheel.clock import Clock, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.errors import Incompatible, MissingExtra, NotFound, UnsafeFormat, near_miss
from tidewheel.models.card import card_of
from tidewheel.models.loaded import LoadedModel
from tidewheel.models.pickled import PickleFormat
from tidewheel.models.tables import alias_moves, aliases, versions
from tidewheel.models.version import AliasMove, ModelVersion, Provenance, check_alias, check_name, parse_reference
from tidewheel.ports.model_format import ModelFormat, Predictor

__all__ = ["AliasMove", "LoadedModel", "ModelVersion", "Provenance", "Registry"]

Floats = npt.NDArray[np.float64]


class Registry:
    """All model versions of a workspace.

    Parameters
    ----------
    formats
        Ways to store models; the first that accepts one stores it.
    allow_pickle
        Whether pickled versions may be loaded: that runs code from the stored bytes.

    Examples
    --------
    >>> from functools import partial
    >>> from types import SimpleNamespace
    >>> from tidewheel.clock import system_clock
    >>> from tidewheel.models.version import Signature
    >>> from tidewheel.schema import DataType, Field, Schema
    >>> database = Database.open("sqlite://")
    >>> registry = Registry(database, ArtifactStore.open("memory:///"), [], system_clock, allow_pickle=True)
    >>> signature = Signature(Schema((Field("distance", DataType.FLOAT64),)), Field("minutes", DataType.FLOAT64, False))
    >>> known = Provenance(signature, digest("recipe"), "run", training_set=digest("rides"), project_snapshot=digest("code"))
    >>> fitted = SimpleNamespace(predict=partial(np.sum, axis=1))
    >>> registry.register("eta", fitted, known, allow_pickle=True).name
    'eta:1'
    >>> registry.set_alias("eta", "champion", 1, actor="ann", reason="the first").new
    1
    >>> registry.load("eta@champion").predict(np.array([[1.5], [2.5]]))
    array([1.5, 2.5])
    >>> database.close()
    """

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        formats: Sequence[ModelFormat],
        clock: Clock,
        *,
        allow_pickle: bool = False,
    ) -> None:
        self.formats = tuple(formats)
        self._database = database
        self._artifacts = artifacts
        self._clock = clock
        self._allow_pickle = allow_pickle

    def register(
        self, name: str, model: object, provenance: Provenance, *, sample: Floats | None = None, allow_pickle: bool = False
    ) -> ModelVersion:
        """Store a fitted model as the next version. A recipe that is registered already gives the version that is there.

        Parameters
        ----------
        sample
            Rows on which the stored model, read back, must answer exactly what the fitted one answers.
        allow_pickle
            Use pickle when no format accepts the model, or none can store it safely.

        Raises
        ------
        UnsafeFormat
            When only pickle could store it, and is not allowed.
        Incompatible
            When it does not fit its features, or does not survive being stored.
        """
        check_name(name)
        found = self.find_recipe(name, provenance.recipe)
        if found is not None:
            return found
        format, files = self._pack(name, model, allow_pickle=allow_pickle)
        self._try_out(name, model, provenance.signature.features, format=format, files=files, sample=sample)
        stored = {file: self._artifacts.put(data) for file, data in files.items()}
        with self._database.write() as connection:
            found = _find(connection, versions.c.model == name, versions.c.recipe == provenance.recipe)
            if found is not None:
                return found
            newest = connection.execute(sa.select(sa.func.max(versions.c.version)).where(versions.c.model == name)).scalar()
            version = ModelVersion(
                model=name,
                version=(newest or 0) + 1,
                content=digest([format.name, stored]),
                format=format.name,
                files=stored,
                created_at=self._clock(),
                provenance=provenance,
            )
            connection.execute(sa.insert(versions).values(_row(version)))
        return version

    def get(self, reference: str, which: int | str | None = None) -> ModelVersion:
        """A version: ``get("eta:3")``, ``get("eta@champion")``, ``get("eta", 3)``, ``get("eta", "champion")``;
        ``get("eta")`` is the newest.

        Raises
        ------
        NotFound
            When there is no such model, version or alias.
        """
        found = self.find(reference, which)
        if found is not None:
            return found
        name, which = _named(reference, which)
        known = self.list(name)
        if not known:
            fix = near_miss(name, self.models()) + "; train it with: tidewheel apply"
            raise NotFound(f"no model {name!r} is registered", where=name, fix=fix)
        if isinstance(which, int):
            fix = f"the versions are {known[-1].version} to {known[0].version}"
            raise NotFound(f"model {name} has no version {which}", where=name, fix=fix)
        raise NotFound(f"model {name} has no alias {which!r}", where=name, fix=near_miss(str(which), self.aliases(name)))

    def find(self, reference: str, which: int | str | None = None) -> ModelVersion | None:
        """As :meth:`get`, but ``None`` when there is none."""
        name, which = _named(reference, which)
        with self._database.read() as connection:
            if isinstance(which, str):
                chosen = sa.select(aliases.c.version).where(aliases.c.model == name, aliases.c.alias == which)
                which = connection.execute(chosen).scalar()
                if which is None:
                    return None
            condition = [versions.c.model == name] + ([] if which is None else [versions.c.version == which])
            return _find(connection, *condition)

    def find_recipe(self, name: str, recipe: Digest) -> ModelVersion | None:
        """The version that came from a recipe, or ``None``."""
        with self._database.read() as connection:
            return _find(connection, versions.c.model == name, versions.c.recipe == recipe)

    def models(self) -> list[str]:
        """Names of all registered models."""
        with self._database.read() as connection:
            return list(connection.execute(sa.select(versions.c.model).distinct().order_by(versions.c.model)).scalars())

    def set_alias(self, name: str, alias: str, version: int | None, *, actor: str, reason: str) -> AliasMove:
        """Point an alias at a version, or at none; the move goes into the history. Pointing it where it points changes nothing.

        Raises
        ------
        Invalid
            For an alias that could be mistaken for a version.
        NotFound
            When there is no such version.
        """
        check_alias(alias)
        if version is not None:
            self.get(name, version)
        with self._database.write() as connection:
            place = (aliases.c.model == name, aliases.c.alias == alias)
            old: int | None = connection.execute(sa.select(aliases.c.version).where(*place)).scalar()
            move = AliasMove(name, alias, old, version, self._clock(), actor, reason)
            if old == version:
                return move
            connection.execute(sa.delete(aliases).where(*place))
            if version is not None:
                connection.execute(sa.insert(aliases).values(model=name, alias=alias, version=version))
            connection.execute(sa.insert(alias_moves).values(**msgspec.to_builtins(move)))
        return move

    def aliases(self, name: str) -> dict[str, int]:
        """Aliases of a model and the versions they point at."""
        with self._database.read() as connection:
            chosen = sa.select(aliases.c.alias, aliases.c.version).where(aliases.c.model == name).order_by(aliases.c.alias)
            return {row.alias: row.version for row in connection.execute(chosen)}

    def alias_history(self, name: str, alias: str | None = None) -> Sequence[AliasMove]:
        """Moves of one alias, or of all aliases of a model, newest first."""
        condition = [alias_moves.c.model == name] + ([] if alias is None else [alias_moves.c.alias == alias])
        with self._database.read() as connection:
            rows = connection.execute(sa.select(alias_moves).where(*condition).order_by(alias_moves.c.id.desc())).all()
        return [AliasMove(row.model, row.alias, row.old, row.new, Micros(row.at), row.actor, row.reason) for row in rows]

    def load(self, version: ModelVersion | str) -> LoadedModel:
        """Read a version back so that it answers.

        Raises
        ------
        UnsafeFormat
            When it is pickled and pickle is not allowed, or holds types that are not known to be safe.
        Corrupt
            When stored bytes are damaged.
        Incompatible
            When the stored model does not fit the version's signature.
        MissingExtra
            When the format's package is not installed.
        """
        chosen = self.get(version) if isinstance(version, str) else version
        model = self._format(chosen).load({file: self._artifacts.get(found) for file, found in chosen.files.items()})
        return LoadedModel(chosen, self._predictor(model, chosen.features))

    def baseline(self, version: ModelVersion) -> Table | None:
        """The reference sample for monitors (see :class:`Provenance`), or ``None``."""
        return Table.from_json(self._artifacts, version.baseline) if version.baseline else None

    def card(self, version: ModelVersion | str) -> str:
        """The model card, as Markdown."""
        chosen = self.get(version) if isinstance(version, str) else version
        pointing = [alias for alias, number in self.aliases(chosen.model).items() if number == chosen.version]
        return card_of(chosen, aliases=pointing)

    def list(self, name: str) -> Sequence[ModelVersion]:
        """All versions of a model, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(versions).where(versions.c.model == name).order_by(versions.c.version.desc()))
            return [_version(row) for row in rows.mappings()]

    def _pack(self, name: str, model: object, *, allow_pickle: bool) -> tuple[ModelFormat, Mapping[str, bytes]]:
        format = next((format for format in self.formats if format.accepts(model)), None)
        if format is not None:
            try:
                return format, format.save(model)
            except UnsafeFormat:
                if not allow_pickle:
                    raise
        if not allow_pickle:
            known = ", ".join(format.name for format in self.formats) or "none"
            raise UnsafeFormat(
                f"model {name}: no safe format stores a {type(model).__module__}.{type(model).__qualname__} (known: {known})",
                where=name,
                fix="return a model of one of those, or permit pickle: @tw.model(..., allow_pickle=True)",
            )
        pickled = PickleFormat()
        return pickled, pickled.save(model)

    def _try_out(
        self,
        name: str,
        model: object,
        features: Sequence[str],
        *,
        format: ModelFormat,
        files: Mapping[str, bytes],
        sample: Floats | None,
    ) -> None:
        fitted = self._predictor(model, features)
        again = self._predictor(format.load(files), features)
        if sample is None or not len(sample):
            return
        if not np.array_equal(fitted.predict(sample), again.predict(sample), equal_nan=True):
            raise Incompatible(
                f"model {name} answers differently after it was stored as {format.name}",
                where=name,
                fix="report it: the format does not hold all of the model",
            )

    def _predictor(self, model: object, features: Sequence[str]) -> Predictor:
        for format in (
            *self.formats,
            PickleFormat(),
        ):  # the last takes what was pickled and belongs to no library with a format
            if format.accepts(model):
                return format.predictor(model, features)
        raise Incompatible("the model is None", fix="return the fitted model")

    def _format(self, version: ModelVersion) -> ModelFormat:
        if version.format == PickleFormat().name:
            if not self._allow_pickle:
                raise UnsafeFormat(
                    f"{version.name} is pickled, and loading a pickle runs code from it",
                    where=version.name,
                    fix="train it without allow_pickle, or put allow_pickle = true under its workspace in tidewheel.toml",
                )
            return PickleFormat()
        for format in self.formats:
            if format.name == version.format:
                return format
        known = ", ".join(format.name for format in self.formats) or "none"
        raise MissingExtra(
            f"{version.name} is stored as {version.format}, which no installed backend reads",
            where=version.name,
            fix=f"install the extra of the model's library; formats known here: {known}",
        )


def _named(reference: str, which: int | str | None) -> tuple[str, int | str | None]:
    if which is None:
        return parse_reference(reference)
    if isinstance(which, str):
        return parse_reference(f"{reference}@{which}")
    return check_name(reference), which


def _find(connection: Connection, *conditions: sa.ColumnElement[bool]) -> ModelVersion | None:
    chosen = sa.select(versions).where(*conditions).order_by(versions.c.version.desc()).limit(1)
    row = connection.execute(chosen).mappings().first()
    return None if row is None else _version(row)


def _row(version: ModelVersion) -> dict[str, object]:
    return {
        "model": version.model,
        "version": version.version,
        "recipe": version.recipe,
        "content": version.content,
        "format": version.format,
        "files": json.dumps(dict(version.files)),
        "provenance": json.dumps(msgspec.to_builtins(version.provenance)),  # not msgspec's JSON, which has no NaN
        "created_at": version.created_at,
    }


def _version(row: sa.RowMapping) -> ModelVersion:
    return ModelVersion(
        model=row["model"],
        version=row["version"],
        content=Digest(row["content"]),
        format=row["format"],
        files={file: Digest(found) for file, found in json.loads(row["files"]).items()},
        created_at=Micros(row["created_at"]),
        provenance=msgspec.convert(json.loads(row["provenance"]), Provenance),
    )
