"""What a job prints, as a file: written as it comes, bounded, and read while it grows.

The first half of the bound is the file itself. What is more goes to pieces in a folder beside it, named by where they begin
in the whole; of these the newest are kept, so a file that was cut has its beginning and its end.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMIT_BYTES = 10 << 20
"""What is kept of one try of one call, about."""

_HEAD, _PIECE = 2, 4  # parts of the bound: half is the beginning, and the end is one to two quarters
_KEPT_PIECES = 2
_SHORTEST_LINE = 6
_BAN = b"***"


class PrintedFile:
    """Writes what a job prints. Neither the file nor its folder is there before something is printed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = PrintedFile(Path(folder, "job.log"), limit_bytes=40)
    ...     for number in range(10):
    ...         kept.write(b"%09d\\n" % number)
    ...     kept.close()
    ...     [(start, data.split()) for start, data in read_all(kept.path)]
    [(0, [b'000000000', b'000000001']), (80, [b'000000008']), (90, [b'000000009'])]
    """

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self.size_bytes = 0
        self._limit = limit_bytes
        self._file: int | None = None
        self._room = max(limit_bytes // _HEAD, 1)
        self._pieces: list[Path] = []

    def write(self, data: bytes) -> None:
        """Add bytes; they are with the operating system when this returns. A full disk loses them: no job fails for its log."""
        view = memoryview(data)
        while view:
            try:
                if self._file is None:
                    self._open(self.path)
                elif not self._room:
                    self._next_piece()
                assert self._file is not None
                done = os.write(self._file, view[: self._room])
            except OSError:
                return
            self._room -= done
            self.size_bytes += done
            view = view[done:]

    def skip(self, count: int) -> None:
        """Say that bytes were printed which did not arrive here."""
        if count > 0:
            self.size_bytes += count
            self._room = 0
            if self._file is None:
                self._open(self.path)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _next_piece(self) -> None:
        self.close()
        piece = _more(self.path) / f"{self.size_bytes:020d}"
        self._open(piece)
        self._room = max(self._limit // _PIECE, 1)
        self._pieces.append(piece)
        while len(self._pieces) > _KEPT_PIECES:
            self._pieces.pop(0).unlink(missing_ok=True)


def read_printed(path: Path, start: int = 0, *, most: int = 1 << 20) -> tuple[int, bytes]:
    """Bytes from some place of the whole on, with the place where they begin: later than asked where something was cut.

    Returns
    -------
    No bytes when there are no more by now.

    Examples
    --------
    >>> read_printed(Path("no-such-file.log"), 5)
    (5, b'')
    """
    while True:
        try:
            for offset, piece in _list_pieces(path):
                if start < offset + piece.stat().st_size:
                    begin = max(start, offset)
                    with piece.open("rb", buffering=0) as file:
                        file.seek(begin - offset)
                        return begin, file.read(most) or b""
            return start, b""
        except FileNotFoundError:
            continue  # a newer piece has taken its place


def read_all(path: Path) -> Iterator[tuple[int, bytes]]:
    """All that is kept, in pieces with the place where each begins.

    Examples
    --------
    >>> list(read_all(Path("no-such-file.log")))
    []
    """
    place = 0
    while True:
        begin, data = read_printed(path, place)
        if not data:
            return
        yield begin, data
        place = begin + len(data)


def printed_text(path: Path) -> str:
    """All that is kept, with a line where something was cut.

    Examples
    --------
    >>> printed_text(Path("no-such-file.log"))
    ''
    """
    parts, place = [], 0
    for begin, data in read_all(path):
        if begin > place:
            parts.append(cut_line(begin - place).encode())
        parts.append(data)
        place = begin + len(data)
    return b"".join(parts).decode(errors="replace")


def remove_printed(path: Path) -> None:
    """Remove all that is kept.

    Examples
    --------
    >>> remove_printed(Path("no-such-file.log"))
    """
    shutil.rmtree(_more(path), ignore_errors=True)
    path.unlink(missing_ok=True)


def cut_line(count: int) -> str:
    """What stands for bytes that were not kept.

    Examples
    --------
    >>> cut_line(1_500_000)
    '\\n[... 1,500,000 bytes were printed here and not kept ...]\\n'
    """
    return f"\n[... {count:,} bytes were printed here and not kept ...]\n"


def _more(path: Path) -> Path:
    return path.with_name(path.name + ".more")


def _list_pieces(path: Path) -> list[tuple[int, Path]]:
    if not path.exists():
        return []
    more = _more(path)
    return [(0, path), *(sorted((int(each.name), each) for each in more.iterdir()) if more.is_dir() else ())]


class Mask:
    """Replaces secret values in a stream of bytes, also when a value comes in parts.

    What may be the beginning of a value is held back until more comes. Of a value of several lines each line counts too.
    Other spellings of it (base64, URL-encoded, reversed) are not seen.

    Examples
    --------
    >>> mask = Mask([b"s3cret"])
    >>> mask.feed(b"token s3c"), mask.feed(b"ret, and s3c"), mask.finish()
    (b'token ', b'***, and ', b's3c')
    """

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        self._values: list[bytes] = []
        self._pattern: re.Pattern[bytes] | None = None
        self._held = b""
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, values: Iterable[bytes]) -> None:
        """Replace these too from now on."""
        known = set(self._values)
        for value in values:
            lines = [line.strip() for line in value.splitlines()]
            known |= {value, value.strip(), *(line for line in lines if len(line) >= _SHORTEST_LINE)}
        self._values = sorted(known - {b""}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(each) for each in self._values)) if self._values else None

    def feed(self, data: bytes) -> bytes:
        """Bytes that may be shown by now."""
        if self._pattern is None:
            return data
        data, self._held = self._held + data, b""
        parts: list[bytes] = []
        place = 0
        while True:
            found = self._pattern.search(data, place)
            open_ = self._find_open(data, place)
            if open_ < len(data) and (found is None or open_ <= found.start()):
                parts.append(data[place:open_])
                self._held = data[open_:]
                return b"".join(parts)
            if found is None:
                parts.append(data[place:])
                return b"".join(parts)
            parts += [data[place : found.start()], _BAN]
            place = found.end()

    def finish(self) -> bytes:
        """What was held back: nothing more comes."""
        held, self._held = self._held, b""
        return self.hide(held)

    def hide(self, data: bytes) -> bytes:
        """The same bytes, which are whole, without the values."""
        return data if self._pattern is None else self._pattern.sub(_BAN, data)

    def _find_open(self, data: bytes, place: int) -> int:
        """Where a value begins that the data ends in the middle of; the data's length when none does."""
        longest = 0
        for value in self._values:
            for size in range(min(len(value) - 1, len(data) - place), longest, -1):
                if data.endswith(value[:size]):
                    longest = size
                    break
        return len(data) - longest
