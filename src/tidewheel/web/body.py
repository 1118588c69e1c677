"""Bodies of requests: how large they may be, and what they are when they came compressed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from tidewheel.errors import BodyTooLarge, Invalid

DRAIN_BYTES = 64_000_000
"""A body up to this size is read to its end and dropped: a client that is still writing would not see the answer."""
BODY_SECONDS = 30.0
"""In which a body must have arrived."""


def too_large(limit: int) -> BodyTooLarge:
    """The refusal of a body above a limit."""
    return BodyTooLarge(f"the body is larger than {limit} bytes", where="body", fix="send fewer rows at a time")


def too_slow() -> Invalid:
    """The refusal of a body that does not come."""
    return Invalid(f"the body did not arrive in {BODY_SECONDS:.0f} s", where="body", fix="send it quicker")


def announced_bytes(headers: Mapping[str, str], limit: int) -> int:
    """The size of a body by its header; something above the limit when the header is no number.

    Examples
    --------
    >>> announced_bytes({"content-length": "12"}, 100), announced_bytes({}, 100), announced_bytes({"content-length": "-1"}, 100)
    (12, 0, 101)
    """
    announced = headers.get("content-length", "0")
    return int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else limit + 1


def inflate(body: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """The body as it was before it was compressed, within the limit.

    Raises
    ------
    Invalid
        For an encoding that is not known, and for bytes that are not of it.
    BodyTooLarge
        As soon as more than the limit comes out.

    Examples
    --------
    >>> inflate(zlib.compress(b"{}"), {"content-encoding": "deflate"}, 10)
    b'{}'
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Invalid(f"content-encoding {encoding[:40]!r} is not known", where="content-encoding", fix="gzip, deflate or none")
    inflating = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, by their headers
    try:
        inflated = inflating.decompress(body, limit + 1)
    except zlib.error as error:
        raise Invalid(
            f"the body is not {encoding}: {error}", where="body", fix="compress it again, or send it plain"
        ) from error
    if len(inflated) > limit:
        raise too_large(limit)
    if not inflating.eof:
        raise Invalid(f"the {encoding} body ends too early", where="body", fix="compress it again, or send it plain")
    return inflated
