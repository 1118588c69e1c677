"""Keep bytes under the digest of their content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from tidewheel.digest import PREFIX, Digest, digest_bytes, digest_chunks
from tidewheel.errors import Corrupt, Invalid, NotFound, TidewheelError, Unavailable
from tidewheel.url import without_password

_CHUNK = 1 << 20
_PIECE = 4 << 20
_NAME = re.compile(r"(?:^|/)(" + re.escape(PREFIX) + r"[0-9a-f]{64})$")
_PARTIAL = re.compile(r"^" + re.escape(PREFIX) + r"[0-9a-f]{64}(?:\.mark)?#\d+$")  # what obstore writes before it renames
_KINDS = "file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://account/container or memory:///"
_MARKS = "collecting"
_MARK_SECONDS = 60.0
"""How long a mark of garbage collection counts: one that is older was left by a process that was killed."""

RENEW_SECONDS = 3600.0
"""A blob that is stored again, and was written longer ago, counts as written now."""

_runtime_pid: list[int] = []  # the process in which obstore's threads run, once they do


class Blob(NamedTuple):
    """One blob in a listing; ``modified_at`` is when it was last stored, in seconds since 1970 on the store's clock."""

    digest: Digest
    size: int
    modified_at: float


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
    >>> [(blob.digest == first, blob.size) for blob in store.list()]
    [(True, 3)]
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        url: str,
        root: Path | None,
        copies: Path | None = None,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self._store = store
        self._url = url
        self._root = root
        self._copies = copies
        self._renew_seconds = renew_seconds
        self._verified: dict[Digest, tuple[int, int, int]] = {}

    @property
    def url(self) -> str:
        """Where the store is, for another process to open it."""
        return self._url

    @classmethod
    def open(cls, url: str, *, copies: Path | None = None, renew_seconds: float = RENEW_SECONDS) -> ArtifactStore:
        """Open a store; a local folder is made when it is absent.

        Parameters
        ----------
        url
            ``file:///folder``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://account/container`` or ``memory:///``.
        copies
            Folder for local copies of remote blobs that :meth:`path` hands out; without it, one that all processes of this
            user share under the system's folder for temporary files.
        renew_seconds
            A blob that is stored again, and was written longer ago, counts as written now, so that :meth:`collect` leaves it.

        Raises
        ------
        Invalid
            When the URL is of no known kind.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            root = Path(unquote(parts.path))
            try:
                return cls(LocalStore(root, mkdir=True), url=url, root=root, renew_seconds=renew_seconds)
            except (BaseError, OSError) as error:
                raise Unavailable(
                    f"artifact folder {root} cannot be opened: {_first_line(error)}", fix="see that it may be written"
                ) from error
        if parts.scheme not in ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "memory"):
            raise Invalid(f"{without_password(url)!r} is not the URL of an artifact store", fix=f"write {_KINDS}")
        try:
            return cls(from_url(url), url=url, root=None, copies=copies, renew_seconds=renew_seconds)
        except (BaseError, ValueError) as error:
            raise Invalid(f"artifact store {without_password(url)!r}: {_first_line(error)}", fix=f"write {_KINDS}") from error

    def put(self, data: bytes | Path | Iterable[bytes]) -> Digest:
        """Store bytes, a file's bytes, or bytes that arrive in pieces; answer their digest.

        Writing what is there already changes nothing, except that a damaged local blob is replaced.

        Raises
        ------
        Corrupt
            When the file changed while it was being read; nothing was stored.
        """
        if isinstance(data, bytes | bytearray | memoryview):
            return self.put_parts([memoryview(data).cast("B")])
        if isinstance(data, Path):
            return self._put_file(data)
        with tempfile.NamedTemporaryFile(prefix="tidewheel-put-") as spool:
            for chunk in data:
                spool.write(chunk)
            spool.flush()
            return self._put_file(Path(spool.name))

    def put_parts(self, parts: Sequence[memoryview]) -> Digest:
        """Store bytes that are in memory, in parts one after the other, as one blob and without another copy of them."""
        found = digest_chunks(parts)
        length = sum(len(part) for part in parts)
        whole = b"".join(parts) if length <= _PIECE else None
        upload = partial(obstore.put, self._store, _key(found))
        self._keep(found, length, lambda: upload(_pieces(parts) if whole is None else whole))
        return found

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
            found = obstore.get(self._store, _key(digest))
            if found.meta["size"] <= _PIECE:
                data = bytes(found.bytes())
                if digest_bytes(data) != digest:
                    raise self._corrupt(digest)
                return data
        whole = io.BytesIO()  # which gives its bytes away uncopied
        for piece in self.read(digest):
            whole.write(piece)
        return whole.getvalue()

    def read(self, digest: Digest) -> Iterator[bytes]:
        """The bytes of that digest, piece by piece.

        Raises
        ------
        NotFound, Corrupt
            As :meth:`get`; damage is told after the last piece.
        """
        state = hashlib.blake2b(digest_size=32)
        with self._reaching(digest):
            for chunk in obstore.get(self._store, _key(digest)).stream(min_chunk_size=_PIECE):
                data = bytes(chunk)
                state.update(data)
                yield data
        if PREFIX + state.hexdigest() != digest:
            raise self._corrupt(digest)

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
        return self._head(digest) is not None

    def size(self, digest: Digest) -> int:
        """Length in bytes.

        Raises
        ------
        NotFound
            When there is no such blob.
        """
        found = self._head(digest)
        if found is None:
            raise self._not_found(digest)
        return found.size

    def list(self) -> Iterator[Blob]:
        """All blobs, in no order."""
        with self._reaching(None):
            for batch in obstore.list(self._store):
                for meta in batch:
                    name = _NAME.search(meta["path"])
                    if name is not None:
                        yield Blob(Digest(name.group(1)), int(meta["size"]), meta["last_modified"].timestamp())

    def delete(self, digest: Digest) -> None:
        """Remove a blob; idempotent. Only garbage collection removes: nothing else knows who still points at it."""
        self._verified.pop(digest, None)
        try:
            with self._reaching(digest):
                obstore.delete(self._store, _key(digest))
        except NotFound:
            return

    def collect(self, digest: Digest, *, before: float) -> bool:
        """Remove a blob that was last stored before an instant, also while others may be storing it.

        Who stores the same bytes meanwhile finds them afterwards: either this sees that the blob is young again, or they see
        this and wait until they can store it again.

        Parameters
        ----------
        before
            Seconds since 1970, on the store's clock. To be safe it lies further back than a writer takes from storing a blob to
            recording who points at it, and ``renew_seconds`` besides.

        Returns
        -------
        Whether it is gone now.
        """
        with self._reaching(digest):
            try:
                obstore.put(self._store, _mark(digest), b"", mode="create")
            except AlreadyExistsError:
                if self._is_marked(digest):
                    return False  # somebody else is at it
                obstore.put(self._store, _mark(digest), b"")
        started = time.monotonic()
        try:
            found = self._head(digest)
            if found is not None and (found.modified_at >= before or time.monotonic() - started > _MARK_SECONDS / 2):
                return False
            self.delete(digest)
            return True
        finally:
            with self._reaching(digest):
                obstore.delete(self._store, _mark(digest))

    def sweep(self, *, before: float, dry_run: bool = False) -> int:
        """Remove what killed processes left before an instant: half-written files and marks; answer the bytes.

        Other stores keep nothing under a blob's name before it is whole; what they hold of an upload that never ended is
        dropped by a rule of the bucket for incomplete uploads.
        """
        freed = 0
        for file in self._root.rglob("*") if self._root is not None else ():
            try:
                state = file.stat()
                if _PARTIAL.search(file.name) is not None and state.st_mtime < before:
                    if not dry_run:
                        file.unlink()
                    freed += state.st_size
            except FileNotFoundError:
                continue  # it is whole by now, and has its name
        with self._reaching(None):
            marks = [one for batch in obstore.list(self._store, _MARKS) for one in batch]
            for one in marks:
                if one["last_modified"].timestamp() < before and not dry_run:
                    obstore.delete(self._store, one["path"])
        return freed

    def _put_file(self, path: Path) -> Digest:
        found = digest_chunks(_chunks(path))
        # An error inside of the generator aborts the upload, and so nothing becomes visible.
        upload = partial(obstore.put, self._store, _key(found))
        self._keep(found, path.stat().st_size, lambda: upload(self._verified_chunks(path, found)))
        return found

    def _keep(self, digest: Digest, length: int, write: Callable[[], object]) -> None:
        """Have a blob there, as of now: one that was there already may be about to be collected.

        The collector marks a blob before it looks at its age, and we look for its mark after we made the blob young: one of
        the two sees the other.
        """
        while True:
            state = self._intact(digest, length)
            if state is not True:
                with self._reaching(digest):
                    write()
            if state is None or not self._is_marked(digest):
                return
            while self._is_marked(digest):
                time.sleep(0.02)

    def _verified_chunks(self, path: Path, expected: Digest) -> Iterator[bytes]:
        state = hashlib.blake2b(digest_size=32)
        for chunk in _chunks(path):
            state.update(chunk)
            yield chunk
        if PREFIX + state.hexdigest() != expected:
            raise Corrupt(f"{path} changed while it was being stored; nothing was stored", where=str(path), fix="run it again")

    def _intact(self, digest: Digest, length: int) -> bool | None:
        """Whether a blob is there whole, and young or made so; ``None`` when there is none."""
        found = self._head(digest)
        if found is None:
            return None
        old = time.time() - found.modified_at > self._renew_seconds
        if self._root is None:
            return found.size == length and not old
        file = self._root / _key(digest)
        try:
            if old:
                os.utime(file)
            state = _state(file)
            if self._verified.get(digest) == state:
                return True
            return found.size == length and digest_chunks(_chunks(file)) == digest
        except FileNotFoundError:
            return None

    def _head(self, digest: Digest) -> Blob | None:
        try:
            with self._reaching(digest):
                meta = obstore.head(self._store, _key(digest))
        except NotFound:
            return None
        return Blob(digest, int(meta["size"]), meta["last_modified"].timestamp())

    def _is_marked(self, digest: Digest) -> bool:
        """Whether somebody is about to collect a blob."""
        mark = _mark(digest)
        if self._root is not None:
            try:
                return time.time() - (self._root / mark).stat().st_mtime < _MARK_SECONDS
            except FileNotFoundError:
                return False
        try:
            with self._reaching(digest):
                made = obstore.head(self._store, mark)["last_modified"].timestamp()
        except NotFound:
            return False
        return time.time() - made < _MARK_SECONDS

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
                raise Unavailable(
                    f"artifact store {without_password(self._url)} is gone", fix="see that its folder or bucket exists"
                ) from error
            raise self._not_found(digest) from error
        except (BaseError, PermissionError) as error:
            raise Unavailable(
                f"artifact store {without_password(self._url)} does not answer: {_first_line(error)}",
                fix="see that it can be reached, and that the credentials may read and write it",
            ) from error

    def _not_found(self, digest: Digest) -> TidewheelError:
        return NotFound(f"no artifact {digest} in {without_password(self._url)}", fix="build it again: tidewheel apply")

    def _corrupt(self, digest: Digest) -> TidewheelError:
        self._verified.pop(digest, None)
        return Corrupt(
            f"artifact {digest} in {without_password(self._url)} is damaged: its bytes have another digest",
            where=_key(digest),
            fix="build it again (tidewheel apply): storing the same content replaces the damaged bytes",
        )


def _key(digest: Digest) -> str:
    if _NAME.fullmatch(digest) is None:
        raise Invalid(f"{digest!r} is not a digest", fix=f"a digest is {PREFIX} and 64 hexadecimal digits")
    return f"{digest[len(PREFIX) : len(PREFIX) + 2]}/{digest}"


def _mark(digest: Digest) -> str:
    return f"{_MARKS}/{digest}.mark"


def _pieces(parts: Sequence[memoryview]) -> Iterator[bytes]:
    for part in parts:
        for start in range(0, len(part), _PIECE):
            yield bytes(part[start : start + _PIECE])


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
