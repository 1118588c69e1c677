"""Classes of changes: what a change means to those who use what a node gives. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

ChangeClass = Literal["metadata", "additive", "environment", "data", "value-changing", "schema-breaking"]

CLASSES: tuple[ChangeClass, ...] = ("metadata", "additive", "environment", "data", "value-changing", "schema-breaking")
"""From what concerns nobody to what breaks somebody; of several that apply, the last one is the class of a change.

``metadata``: nothing that was built changes. ``additive``: there is more, and what there was stays as it is.
``environment``: only locked libraries or Python differ. ``data``: the same definitions, over other data. ``value-changing``:
the same names and types, with other values. ``schema-breaking``: a column is gone or has another type, or must now be sent.
"""

_OF_COMPONENTS: dict[str, ChangeClass] = {"lib": "environment", "python": "environment", "data": "data", "read": "data"}
_SIDE_BY_SIDE = frozenset({"view", "service", "training_set"})
"""Kinds whose outputs do not touch each other: what is added upstream leaves the rest of them as it was."""

_FACED = frozenset({"source", "view", "transform", "service"})
"""Kinds whose face holds all of their parameters, so that what it says may be less than ``value-changing``."""


def worst(classes: Iterable[ChangeClass]) -> ChangeClass:
    """The class of a change to which several apply.

    Examples
    --------
    >>> worst(["data", "additive"])
    'data'
    """
    return max(classes, key=CLASSES.index, default="metadata")


def class_of(
    kind: str, components: Collection[str], *, inherited: Collection[ChangeClass], judged: ChangeClass | None, compared: bool
) -> ChangeClass:
    """The class of a change to a node that is in the environment already.

    Parameters
    ----------
    kind
        Of the node.
    components
        Names of the components of its recipe that differ, those of its upstream nodes apart.
    inherited
        Classes of the changes to its upstream nodes.
    judged
        What its face says: :func:`tidewheel.project.face.judge`.
    compared
        Whether there were two faces to compare.

    Examples
    --------
    >>> class_of("view", ["param:features"], inherited=["data"], judged="additive", compared=True)
    'data'
    >>> class_of("model", ["lib:numpy"], inherited=[], judged=None, compared=True)
    'environment'
    """
    found: list[ChangeClass] = [] if judged is None else [judged]
    for name in components:
        prefix = name.partition(":")[0]
        if prefix in _OF_COMPONENTS:
            found.append(_OF_COMPONENTS[prefix])
        elif judged is None or kind not in _FACED or prefix != "param":
            found.append("value-changing")
    for one in inherited:
        if one == "additive" and kind not in _SIDE_BY_SIDE:
            found.append("value-changing")
        elif one == "schema-breaking" and compared:
            found.append("value-changing")  # whether it breaks this one too, its own face says
        else:
            found.append(one)
    return worst(found) if found else "value-changing"
