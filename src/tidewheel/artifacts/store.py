"""Keep bytes under the digest of their content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from tidewheel.digest import PREFIX, Digest, digest_bytes, digest_chunks
from tidewheel.errors import Corrupt, Invalid, NotFound, TidewheelError, Unavailable

_CHUNK = 1 << 20
_NAME = re.compile(r"(?:^|/)(" + re.escape(PREFIX) + r"[0-9a-f]{64})$")
_KINDS = "file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://account/container or memory:///"
_runtime_pid: list[int] = []  # the process in which obstore's threads run, once they do


class ArtifactStore:
    """Content-addressed bytes.

    A blob becomes visible all at once or not at all, also when the writer is killed half-way. It is compared with its digest
    whenever it is read. All methods may be called from any thread and many processes; not after a fork, because obstore's own
    threads do not survive one (start workers by ``spawn`` or as new processes).

    Examples
    --------
    >>> store = ArtifactStore.open("memory:///")
    >>> first, again = store.put(b"abc"), store.put([b"a", b"bc"])
    >>> first == again, store.size(first)
    (True, 3)
    >>> [(digest == first, size) for digest, size in store.list()]
    [(True, 3)]
    """

    def __init__(self, store: ObjectStore, *, url: str, root: Path | None, copies: Path | None = None) -> None:
        self._store = store
        self._url = url
        self._root = root
        self._copies = copies
        self._verified: dict[Digest, tuple[int, int, int]] = {}

    @property
    def url(self) -> str:
        """Where the store is, for another process to open it."""
        return self._url

    @classmethod
    def open(cls, url: str, *, copies: Path | None = None) -> ArtifactStore:
        """Open a store; a local folder is made when it is absent.

        Parameters
        ----------
        url
            ``file:///folder``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://account/container`` or ``memory:///``.
        copies
            Folder for local copies of remote blobs that :meth:`path` hands out; without it, one that all processes of this
            user share under the system's folder for temporary files.

        Raises
        ------
        Invalid
            When the URL is of no known kind.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            root = Path(unquote(parts.path))
            try:
                return cls(LocalStore(root, mkdir=True), url=url, root=root)
            except (BaseError, OSError) as error:
                raise Unavailable(
                    f"artifact folder {root} cannot be opened: {_first_line(error)}", fix="see that it may be written"
                ) from error
        if parts.scheme not in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "memory"):
            raise Invalid(f"{url!r} is not the URL of an artifact store", fix=f"write {_KINDS}")
        try:
            return cls(from_url(url), url=url, root=None, copies=copies)
        except (BaseError, ValueError) as error:
            raise Invalid(f"artifact store {url!r}: {_first_line(error)}", fix=f"write {_KINDS}") from error

    def put(self, data: bytes | Path | Iterable[bytes]) -> Digest:
        """Store bytes, a file's bytes, or bytes that arrive in pieces; answer their digest.

        Writing what is there already changes nothing, except that a damaged local blob is replaced.

        Raises
        ------
        Corrupt
            When the file changed while it was being read; nothing was stored.
        """
        if isinstance(data, bytes | bytearray | memoryview):
            found = digest_bytes(data)
            if not self._intact(found, len(data)):
                with self._reaching(found):
                    obstore.put(self._store, _key(found), bytes(data))
            return found
        if isinstance(data, Path):
            return self._put_file(data)
        with tempfile.NamedTemporaryFile(prefix="tidewheel-put-") as spool:
            for chunk in data:
                spool.write(chunk)
            spool.flush()
            return self._put_file(Path(spool.name))

    def get(self, digest: Digest) -> bytes:
        """The bytes of that digest.

        Raises
        ------
        NotFound
            When there is no such blob.
        Corrupt
            When the stored bytes are not what was written.
        """
        with self._reaching(digest):
            data = bytes(obstore.get(self._store, _key(digest)).bytes())
        if digest_bytes(data) != digest:
            raise self._corrupt(digest)
        return data

    def path(self, digest: Digest) -> Path:
        """A local file with those bytes, for readers that want a path; never write to it.

        Raises
        ------
        NotFound, Corrupt
            As :meth:`get`.
        """
        file = (self._root or self._copy_folder()) / _key(digest)
        state = _state(file)
        if self._root is None and state is None:
            self._copy(digest, file)
            state = _state(file)
        if state is None:
            raise self._not_found(digest)
        if self._verified.get(digest) != state:
            if digest_chunks(_chunks(file)) != digest:
                if self._root is None:
                    file.unlink(missing_ok=True)  # a damaged copy is fetched again at the next call
                raise self._corrupt(digest)
            self._verified[digest] = state
        return file

    def path_or_buffer(self, digest: Digest) -> Path | io.BytesIO:
        """What Parquet readers want: the verified local file, or the bytes where the store has no files."""
        return self.path(digest) if self._root is not None else io.BytesIO(self.get(digest))

    def exists(self, digest: Digest) -> bool:
        """Whether there is a blob of that digest; its bytes are not read."""
        return self._size(digest) is not None

    def size(self, digest: Digest) -> int:
        """Length in bytes.

        Raises
        ------
        NotFound
            When there is no such blob.
        """
        found = self._size(digest)
        if found is None:
            raise self._not_found(digest)
        return found

    def list(self) -> Iterator[tuple[Digest, int]]:
        """Digests and sizes in bytes of all blobs, in no order."""
        with self._reaching(None):
            for batch in obstore.list(self._store):
                for meta in batch:
                    name = _NAME.search(meta["path"])
                    if name is not None:
                        yield Digest(name.group(1)), int(meta["size"])

    def delete(self, digest: Digest) -> None:
        """Remove a blob; idempotent. Only garbage collection does this: nothing else knows who still points at it."""
        self._verified.pop(digest, None)
        try:
            with self._reaching(digest):
                obstore.delete(self._store, _key(digest))
        except NotFound:
            return

    def _put_file(self, path: Path) -> Digest:
        found = digest_chunks(_chunks(path))
        if not self._intact(found, path.stat().st_size):
            with self._reaching(found):
                # An error inside of the generator aborts the upload, and so nothing becomes visible.
                obstore.put(self._store, _key(found), self._verified_chunks(path, found))
        return found

    def _verified_chunks(self, path: Path, expected: Digest) -> Iterator[bytes]:
        state = hashlib.blake2b(digest_size=32)
        for chunk in _chunks(path):
            state.update(chunk)
            yield chunk
        if PREFIX + state.hexdigest() != expected:
            raise Corrupt(f"{path} changed while it was being stored; nothing was stored", where=str(path), fix="run it again")

    def _intact(self, digest: Digest, length: int) -> bool:
        if self._size(digest) != length:
            return False
        if self._root is None:
            return True
        file = self._root / _key(digest)
        state = _state(file)
        if self._verified.get(digest) == state:
            return True
        try:
            return digest_chunks(_chunks(file)) == digest
        except FileNotFoundError:
            return False

    def _size(self, digest: Digest) -> int | None:
        try:
            with self._reaching(digest):
                return int(obstore.head(self._store, _key(digest))["size"])
        except NotFound:
            return None

    def _copy_folder(self) -> Path:
        if self._copies is None:
            self._copies = Path(tempfile.gettempdir()) / f"tidewheel-artifacts-{os.getuid()}"
        self._copies.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._copies

    def _copy(self, digest: Digest, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".copy-", delete=False) as partial:
            try:
                with self._reaching(digest):
                    for chunk in obstore.get(self._store, _key(digest)).stream(min_chunk_size=_CHUNK):
                        partial.write(chunk)
            except BaseException:
                Path(partial.name).unlink(missing_ok=True)
                raise
        Path(partial.name).replace(file)

    @contextmanager
    def _reaching(self, digest: Digest | None) -> Iterator[None]:
        if not _runtime_pid:
            _runtime_pid.append(os.getpid())
        elif _runtime_pid[0] != os.getpid():
            raise Unavailable(
                "the artifact store cannot be used after a fork", fix="start the process by spawn, or as a new program"
            )
        try:
            yield
        except FileNotFoundError as error:
            if digest is None:
                raise Unavailable(f"artifact store {self._url} is gone", fix="see that its folder or bucket exists") from error
            raise self._not_found(digest) from error
        except (BaseError, PermissionError) as error:
            raise Unavailable(
                f"artifact store {self._url} does not answer: {_first_line(error)}",
                fix="see that it can be reached, and that the credentials may read and write it",
            ) from error

    def _not_found(self, digest: Digest) -> TidewheelError:
        return NotFound(f"no artifact {digest} in {self._url}", fix="build it again: tidewheel apply")

    def _corrupt(self, digest: Digest) -> TidewheelError:
        self._verified.pop(digest, None)
        return Corrupt(
            f"artifact {digest} in {self._url} is damaged: its bytes have another digest",
            where=_key(digest),
            fix="build it again (tidewheel apply): storing the same content replaces the damaged bytes",
        )


def _key(digest: Digest) -> str:
    if _NAME.fullmatch(digest) is None:
        raise Invalid(f"{digest!r} is not a digest", fix=f"a digest is {PREFIX} and 64 hexadecimal digits")
    return f"{digest[len(PREFIX) : len(PREFIX) + 2]}/{digest}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
