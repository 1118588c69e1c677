"""Type annotations as users write them."""

from __future__ import annotations

import types
import typing


def read_annotation(annotation: object) -> tuple[object, bool]:
    """A type without its ``| None``, and whether it had one.

    Examples
    --------
    >>> read_annotation(int | None), read_annotation(int)
    ((<class 'int'>, True), (<class 'int'>, False))
    """
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False
