"""Every error that Tidewheel raises on purpose.

    TidewheelError
    ├── NotFound        the named thing does not exist        HTTP 404
    ├── AlreadyExists   the name is taken                     HTTP 409
    ├── Conflict        somebody else was first: read again   HTTP 409
    ├── Invalid         the input is wrong: change it         HTTP 422
    ├── Incompatible    two valid things do not fit           HTTP 409
    ├── Denied          not allowed for this actor or input   HTTP 403
    ├── Unavailable     not now, or not on this backend       HTTP 503
    └── Corrupt         stored bytes are not what they were   HTTP 500

A caller decides by the class what to do next, and a program reads ``code``, which is the name of the class
and never changes. The message says what happened and to which named thing; ``where`` says the place (a
``file:line``, or the name of a column or a node); ``fix`` is the next thing to do or to type.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_PLACE = re.compile(r"/|:\d+$|\.(py|toml|csv|jsonl|parquet)\b")
"""What a file, a line of one, or an address has in it, and a bare name has not."""


class TidewheelError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    what
        What happened, to which named thing, with the offending value.
    where
        ``file:line``, or the name of the field, column or node at fault.
    fix
        What to do next: one line, a command where there is one.

    Examples
    --------
    >>> error = Invalid("ttl is 0", where="taxi/features.py:12", fix="omit ttl, or give a duration above 0")
    >>> error.code
    'Invalid'
    >>> print(error)
    ttl is 0 (at taxi/features.py:12). Fix: omit ttl, or give a duration above 0
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    @property
    def code(self) -> str:
        """Stable name of the error, for programs."""
        return type(self).__name__

    def at(self, place: str) -> None:
        """Say the file and line too, where whoever raised it could not know them.

        Examples
        --------
        >>> error = Invalid("view Fares reads 'amout'", where="amout")
        >>> error.at("taxi/features.py:12")
        >>> error.where
        'taxi/features.py:12 (amout)'
        """
        if self.where is None:
            self.where = place
        elif not _PLACE.search(self.where):
            self.where = f"{place} ({self.where})"

    def as_dict(self) -> dict[str, str]:
        """The error as it goes over the wire: ``code``, ``error``, and ``field`` and ``fix`` when known."""
        told = {"code": self.code, "error": self.what, "field": self.where, "fix": self.fix}
        return {key: value for key, value in told.items() if value is not None}

    def __str__(self) -> str:
        text = self.what
        if self.where is not None:
            text += f" (at {self.where})"
        if self.fix is not None:
            text += f". Fix: {self.fix}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[TidewheelError], what: str, where: str | None, fix: str | None) -> TidewheelError:
    return kind(what, where=where, fix=fix)


def near_miss(name: str, known: Iterable[str]) -> str:
    """The ``did you mean`` half-sentence for an unknown name, or the list of what there is.

    Examples
    --------
    >>> near_miss("trips_1g", ["trips_1h", "minutes_1d"])
    'did you mean trips_1h?'
    >>> near_miss("zzz", ["b", "a"])
    'known: a, b'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "known: " + (", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "none")


class NotFound(TidewheelError):
    """The named thing does not exist."""


class AlreadyExists(TidewheelError):
    """The name is taken."""


class Conflict(TidewheelError):
    """Somebody else changed the state first; nothing was written; read again and retry."""


class Invalid(TidewheelError):
    """The input is wrong and will stay wrong until it is changed."""


class Incompatible(TidewheelError):
    """Two things, each valid alone, do not fit together."""


class Denied(TidewheelError):
    """Not allowed: for this actor, or for this kind of input."""


class Unavailable(TidewheelError):
    """Not now (overloaded, starting, gone), or not on this backend."""


class Corrupt(TidewheelError):
    """Stored bytes are not what was written."""


# ── definitions of features ──────────────────────────────────────────────────────────────────────


class MixedTimezones(Invalid):
    """A time column holds naive and aware values."""


class AmbiguousTime(Invalid):
    """A local time that the clock shows twice."""


class KeyTypeMismatch(Invalid):
    """A key has another type than its entity declares; nothing is coerced."""


class UnsupportedKeyType(Invalid):
    """Floats and nullable values cannot be keys."""


class NameCollision(Invalid):
    """Two output columns have one name."""


class BadTtl(Invalid):
    """ttl must be above zero or omitted."""


class BadWindow(Invalid):
    """A window is not a multiple of its hop, or the hop does not divide a day."""


class UnboundedState(Invalid):
    """An exact holistic aggregation over an unbounded window."""


class FeatureOverflow(Invalid):
    """An exact integer or decimal result does not fit its type."""


class AmbiguousRows(Invalid):
    """Rows that only differ in value at one key and time, under ``strict_ties``."""


class FutureLeak(Invalid):
    """A label or a later value is used as a feature."""


class IncompatibleChange(Incompatible):
    """A served feature would change in place; make a second version."""


class InUse(Conflict):
    """Still referenced; the message lists by what."""


class NotMaterialized(Conflict):
    """The view was never materialised, so there is nothing to serve."""


class MissingColumns(Invalid):
    """Declared columns are absent."""


class TypeMismatch(Invalid):
    """A value or column has another type than declared."""


class MissingTime(Invalid):
    """An event has no time."""


class ExpectationFailed(Invalid):
    """Rows are not what was expected of them, and the rule stops."""


class FutureEvent(Invalid):
    """An event lies further ahead of the clock than is allowed."""


class ImpureTransform(Invalid):
    """A transform reads state, a clock, randomness or does I/O."""


class TransformDiverges(Invalid):
    """The two compiled forms of a transform differ on a row."""


class CyclicTransform(Invalid):
    """Transforms need each other in a circle."""


class HistoryUnavailable(Unavailable):
    """``at`` lies before the history that the online store retains."""


class EngineCannot(Unavailable):
    """The engine lacks a capability; said at plan, never at run."""


class UnknownFeature(NotFound):
    """No feature, view or service of that name."""


# ── code, plans and builds ───────────────────────────────────────────────────────────────────────


class UntrackedRead(Invalid):
    """Code reads something whose content cannot be followed."""


class StalePlan(Conflict):
    """The state moved after the plan was made."""


class CyclicGraph(Invalid):
    """Definitions need each other in a circle."""


class StepFailed(Unavailable):
    """A pipeline step raised, was killed or timed out."""


class Cancelled(Unavailable):
    """Somebody asked the run to stop; run again it goes on where it was."""


class MissingExtra(Unavailable):
    """A technology's package is not installed; the fix is the install line."""


class UnsafeFormat(Denied):
    """Only pickle could store or load this object, and pickle was not allowed."""


class GateFailed(Incompatible):
    """A challenger did not pass its gate."""


# ── requests to a server ─────────────────────────────────────────────────────────────────────────


class NotJson(Invalid):
    """A body is not JSON, or not the JSON that the endpoint takes."""


class BodyTooLarge(Invalid):
    """A body, or what it inflates to, is above the limit."""


class NotHttp(Invalid):
    """Bytes on a connection are not an HTTP request."""


class HeadTooLarge(Invalid):
    """A request's address and headers are above the limit."""


class TooSlow(Invalid):
    """A request was begun and did not arrive in time."""


class WrongMethod(Invalid):
    """The path exists, the method does not."""


class MissingInput(Invalid):
    """A declared input is absent, or null where it may not be."""


class UnknownInput(Invalid):
    """An input that the deployment does not take."""


class DuplicateId(Conflict):
    """An id was used before with another content."""


class Overloaded(Unavailable):
    """More work is queued than can be done in time; retry later."""


class ModelFailed(TidewheelError):
    """The model's own code raised, or answered something that is no prediction."""


class ModelRefused(Invalid):
    """The model cannot answer this input: it raised on a row with nulls or with values out of its range."""
