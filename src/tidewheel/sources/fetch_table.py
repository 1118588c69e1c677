"""Fetch tables that keep their own versions, part by part: each part is read once, and then found by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

from tidewheel.digest import Digest, digest
from tidewheel.errors import Conflict, Invalid, NotFound, TidewheelError
from tidewheel.ports.table_format import TableFormat, TablePart, TableVersion
from tidewheel.sources.keep import Kept
from tidewheel.sources.location import Location, masked, secrets_in
from tidewheel.sources.snapshot import FileSnapshot
from tidewheel.sources.write_rows import write_rows
from tidewheel.url import resolve

OpenTable = Callable[[str, Mapping[str, str]], TableFormat]
_ENDING = ".parquet"
_HERE, _KEPT = "here", "kept"


@dataclass(slots=True)
class TableFetcher:
    """Snapshots of tables, and Parquet files with the rows of a snapshot.

    Parameters
    ----------
    open_table
        Opens the URL of a table: the backend of its scheme.
    environment
        Where secrets are looked up.
    """

    root: Path
    kept: Kept
    environment: Mapping[str, str]
    open_table: OpenTable
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]
    _tables: dict[Location, TableFormat] = field(default_factory=dict)
    _versions: dict[tuple[Location, str], TableVersion] = field(default_factory=dict)

    def snapshot(self, location: Location) -> tuple[tuple[FileSnapshot, ...], str]:
        """Parts of the table as it is now (or at the version that its URL names), and the version's id."""
        version = self.version(location, None)
        return tuple(self._part(location, version, part) for part in version.parts), version.id

    def files(self, location: Location, parts: tuple[FileSnapshot, ...], id: str) -> list[Path]:
        """Parquet files with the rows of some parts, after one without rows that says the columns of the table.

        Raises
        ------
        Conflict
            When a part is neither kept nor to be had from the table any more.
        """
        version: TableVersion | None = None
        found = [self._columns(self.version(location, None).schema)]
        for one in parts:
            path = self.kept.find(one.digest, _ENDING)
            if path is None:
                try:
                    version = version or self.version(location, id)
                except NotFound as error:
                    what = f"{location.url} is no longer what it was in the snapshot: {error.what}"
                    raise Conflict(what, where=location.url, fix="plan again") from error
                path = self._again(location, version, one)
            found.append(path)
        return found

    def version(self, location: Location, id: str | None) -> TableVersion:
        """A version by its id, or the one that there is now."""
        named = id or next(iter(parse_qs(urlsplit(location.url).query).get("version", [])), None)
        if named is not None and (location, named) in self._versions:
            return self._versions[location, named]
        try:
            found = self._open(location).version(named)
        except TidewheelError as error:
            raise self._told(location, error) from None
        self._versions[location, found.id] = found
        return found

    def _open(self, location: Location) -> TableFormat:
        if location not in self._tables:
            where = location.url
            url = resolve(where.partition("?")[0], self.environment, where)
            if not url.partition("://")[2].strip("/"):
                raise Invalid(
                    f"{where!r} names no table", where=where, fix="write delta:///folder, or delta://folder in the project"
                )
            if location.scheme == "delta":  # a folder, from the project's own unless it is absolute
                url = f"delta://{(self.root / url.removeprefix('delta://')).absolute()}"
            options = {name: resolve(value, self.environment, where) for name, value in location.options}
            self._tables[location] = self.open_table(url, options)
        return self._tables[location]

    def _part(self, location: Location, version: TableVersion, part: TablePart) -> FileSnapshot:
        key = f"part:{location.identity}:{part.name}:{digest([str(field) for field in version.schema])}"
        known = (self.recall(key) or b"").decode().split()
        if len(known) == 2 and (known[1] == _KEPT or part.path is not None):
            return FileSnapshot(part.name, part.size_bytes, 0, Digest(known[0]))
        content = self._read(location, version, part)
        self.remember(key, f"{content} {_KEPT if part.path is None else _HERE}".encode())
        return FileSnapshot(part.name, part.size_bytes, 0, content)

    def _read(self, location: Location, version: TableVersion, part: TablePart) -> Digest:
        try:
            reader = self._open(location).stream(version, part)
            if part.path is not None:
                return write_rows(None, version.schema, reader)[0]
            with self.kept.writing(_ENDING) as path:
                content, _ = write_rows(path, version.schema, reader)
                self.kept.adopt(path, content, _ENDING)
            return content
        except TidewheelError as error:
            raise self._told(location, error) from None

    def _again(self, location: Location, version: TableVersion, wanted: FileSnapshot) -> Path:
        part = next((one for one in version.parts if one.name == wanted.path), None)
        gone = Conflict(
            f"{wanted.path} of {location.url} is not what it was in the snapshot", where=location.url, fix="plan again"
        )
        if part is None:
            raise gone
        if part.path is not None:
            if not Path(part.path).is_file() or Path(part.path).stat().st_size != wanted.size_bytes:
                raise gone
            return Path(part.path)
        if self._read(location, version, part) != wanted.digest:
            raise gone
        path = self.kept.find(wanted.digest, _ENDING)
        assert path is not None
        return path

    def _columns(self, schema: pa.Schema) -> Path:
        content = digest(["columns", [[field.name, str(field.type)] for field in schema]])
        path = self.kept.find(content, _ENDING)
        if path is None:
            with self.kept.writing(_ENDING) as made:
                write_rows(made, schema, [])
                path = self.kept.adopt(made, content, _ENDING)
        return path

    def _told(self, location: Location, error: TidewheelError) -> TidewheelError:
        """The same error without what must not be shown."""
        secrets = secrets_in((location.url, *(value for _, value in location.options)), self.environment)
        where = None if error.where is None else masked(error.where, secrets)
        return type(error)(masked(error.what, secrets), where=where, fix=error.fix)
