"""What is reached: digests that are named by something that is kept, and by what those lead to. Values in, values out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator

from tidewheel.digest import PREFIX

_DIGEST = re.compile(re.escape(PREFIX.encode()) + rb"[0-9a-f]{64}")
_PLACE = re.compile(rb'"place":\s*"([A-Za-z0-9+/=]+)"')
_FAR_PLACE = re.compile(rb'"place":\s*\{"\$":\s*"blob",\s*"v":\s*"(' + re.escape(PREFIX.encode()) + rb"[0-9a-f]{64})")


def find_digests(text: str | bytes) -> Iterator[str]:
    """Every digest that a text names, also in what a stored value says of where a table is, which is encoded once more.

    Whatever looks like a digest counts as one: to keep too much is safe.

    Examples
    --------
    >>> from tidewheel.digest import digest
    >>> list(find_digests(f'{{"v": "{digest(1)}"}}')) == [digest(1)]
    True
    """
    data = text.encode(errors="replace") if isinstance(text, str) else text
    for found in _DIGEST.finditer(data):
        yield found.group().decode()
    for place in _PLACE.finditer(data):
        try:
            inner = base64.b64decode(place.group(1), validate=True)
        except (binascii.Error, ValueError):
            continue  # a path, which names no digest
        yield from find_digests(inner)


def find_far_places(text: str | bytes) -> Iterator[str]:
    """Digests of blobs that say where a table is, and so name further digests themselves.

    Examples
    --------
    >>> from tidewheel.digest import digest
    >>> list(find_far_places('{"place":{"$":"blob","v":"%s"}}' % digest(1))) == [digest(1)]
    True
    """
    data = text.encode(errors="replace") if isinstance(text, str) else text
    for found in _FAR_PLACE.finditer(data):
        yield found.group(1).decode()


def reach(roots: Iterable[str], leads: Callable[[str], Iterable[str]]) -> set[str]:
    """The roots, and everything that they lead to.

    Examples
    --------
    >>> sorted(reach("a", lambda one: {"a": "bc", "c": "a", "d": "a"}.get(one, "")))
    ['a', 'b', 'c']
    """
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting.extend(leads(one))
    return seen
