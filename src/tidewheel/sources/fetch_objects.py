"""Fetch files from an object store: each object once for each of its versions, by what the store says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from tidewheel.digest import Digest, digest_chunks
from tidewheel.errors import Conflict, NotFound, TidewheelError, Unavailable
from tidewheel.sources.keep import Kept
from tidewheel.sources.location import Location, masked, secrets_in
from tidewheel.sources.snapshot import FileSnapshot
from tidewheel.url import resolve

OpenStore = Callable[[str, Mapping[str, str]], ObjectStore]
_WILD = re.compile(r"[*?\[]")
_DENIED = ("credential", "denied", "forbidden", "unauthorized", "status 401", "status 403", "signature")


def open_object_store(url: str, options: Mapping[str, str]) -> ObjectStore:
    """The store of a bucket or container; without options it finds credentials where the provider's own tools do.

    Examples
    --------
    >>> type(open_object_store("s3://rides", {"region": "eu-west-1", "skip_signature": "true"})).__name__
    'S3Store'
    """
    client = {"allow_http": True} if options.get("endpoint", "").startswith("http://") else {}
    return from_url(url, config=dict(options), client_options=client)  # type: ignore[call-overload, no-any-return]


@dataclass(slots=True)
class ObjectFetcher:
    """Snapshots of objects, and local files with their bytes."""

    kept: Kept
    environment: Mapping[str, str]
    recall: Callable[[str], bytes | None]
    remember: Callable[[str, bytes], None]
    open_store: OpenStore = open_object_store

    def snapshot(self, location: Location) -> tuple[FileSnapshot, ...]:
        """Every object that the URL's pattern matches, in order of name; what is new is fetched.

        Raises
        ------
        NotFound
            When nothing matches.
        """
        with self._reaching(location):
            store, base, pattern = self._open(location)
            found = sorted(self._list(store, pattern), key=lambda meta: str(meta["path"]))
            if not found:
                raise NotFound(f"no object matches {location.url}", where=location.url, fix="check the bucket and the pattern")
            return tuple(self._object(location, store, base, meta) for meta in found)

    def files(self, location: Location, objects: tuple[FileSnapshot, ...]) -> list[Path]:
        """Local files with the bytes of a snapshot.

        Raises
        ------
        Conflict
            When an object is neither kept nor what it was.
        """
        found = []
        for one in objects:
            ending = _ending(one.path)
            path = self.kept.find(one.digest, ending)
            if path is None:
                with self._reaching(location):
                    store, base, _ = self._open(location)
                    self._fetch(store, one.path.removeprefix(base + "/"), one.path, one.size_bytes)
                path = self.kept.find(one.digest, ending)
            if path is None:
                what = f"{one.path} is not what it was in the snapshot"
                raise Conflict(what, where=one.path, fix="plan again, or restore the object")
            found.append(path)
        return found

    def _open(self, location: Location) -> tuple[ObjectStore, str, str]:
        scheme, _, rest = location.url.partition("://")
        bucket, _, pattern = rest.partition("/")
        base = f"{scheme}://{bucket}"
        options = {name: resolve(value, self.environment, location.url) for name, value in location.options}
        return self.open_store(resolve(base, self.environment, location.url), options), base, pattern

    def _list(self, store: ObjectStore, pattern: str) -> Iterator[Mapping[str, object]]:
        if not _WILD.search(pattern):
            yield dict(obstore.head(store, pattern))
            return
        fixed = pattern[: _WILD.search(pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]  # it was found above
        wanted = re.compile(_expression(pattern))
        for batch in obstore.list(store, prefix=fixed or None):
            yield from (dict(meta) for meta in batch if wanted.fullmatch(str(meta["path"])))

    def _object(self, location: Location, store: ObjectStore, base: str, meta: Mapping[str, object]) -> FileSnapshot:
        path, size = str(meta["path"]), int(str(meta["size"]))
        name = f"{base}/{path}"
        changed = meta["last_modified"]
        key = f"object:{location.identity}:{path}:{meta.get('e_tag') or changed}:{size}"
        known = self.recall(key)
        moment = int(changed.timestamp() * 1_000_000) * 1_000 if hasattr(changed, "timestamp") else 0
        if known is not None:
            return FileSnapshot(name, size, moment, Digest(known.decode()))
        content = self._fetch(store, path, name, size)
        self.remember(key, content.encode())
        return FileSnapshot(name, size, moment, content)

    def _fetch(self, store: ObjectStore, path: str, name: str, size: int) -> Digest:
        ending = _ending(name)
        with self.kept.writing(ending) as made:
            with made.open("wb") as file:
                content = digest_chunks(_copied(obstore.get(store, path).stream(), file.write))
            if made.stat().st_size != size:
                what = f"{name} changed while it was read: {made.stat().st_size} bytes came, and {size} were announced"
                raise Unavailable(what, where=name, fix="try again")
            self.kept.adopt(made, content, ending)
        return content

    def _reaching(self, location: Location) -> _Reaching:
        return _Reaching(location, secrets_in((location.url, *(value for _, value in location.options)), self.environment))


class _Reaching:
    """Turns what obstore raises into errors of ours, without secrets."""

    def __init__(self, location: Location, secrets: Mapping[str, str]) -> None:
        self._location = location
        self._secrets = secrets

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BaseError | OSError | ValueError):
            raise self._explained(error) from None

    def _explained(self, error: BaseException) -> TidewheelError:
        url = self._location.url
        text = masked(str(error).strip().partition("\n")[0], self._secrets)
        if isinstance(error, FileNotFoundError) or type(error).__name__ == "NotFoundError":
            return NotFound(f"there is no object {url}", where=url, fix="check the bucket and the name")
        if any(word in str(error).lower() for word in _DENIED):
            return Unavailable(f"{url} was refused: {text}", where=url, fix="check the credentials")
        return Unavailable(f"{url} cannot be read: {text}", where=url, fix="check the URL and its options")


def _copied(chunks: object, write: Callable[[bytes], int]) -> Iterator[bytes]:
    for chunk in chunks:  # type: ignore[attr-defined]  # obstore's stream
        data = bytes(chunk)
        write(data)
        yield data


def _ending(name: str) -> str:
    """The endings that tell the format: two for ``.csv.gz``."""
    return "".join(PurePosixPath(name).suffixes[-2:]) if name.endswith(".gz") else PurePosixPath(name).suffix


def _expression(pattern: str) -> str:
    """The pattern as a regular expression: ``*`` stays within a folder, ``**`` does not."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)
