"""Secrets of a step: open while it runs, and hidden from all that is kept or shown of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping

from tidewheel.errors import Denied, Invalid, StepFailed, TidewheelError
from tidewheel.fingerprint.record import unheard
from tidewheel.ports.printed import Mask
from tidewheel.ports.secret_store import SecretStore


class Opened:
    """Values of secrets by the variables that they are in. It shows none of them.

    Examples
    --------
    >>> opened = Opened({"TOKEN": "s3cret"})
    >>> opened, opened.hide("401 for s3cret")
    (<secrets TOKEN>, '401 for ***')
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._mask = Mask(value.encode(errors="surrogateescape") for value in values.values())

    def __repr__(self) -> str:
        return f"<secrets {', '.join(self._values) or 'none'}>"

    def __bool__(self) -> bool:
        return bool(self._values)

    @property
    def names(self) -> frozenset[str]:
        """The variables."""
        return frozenset(self._values)

    def items(self) -> list[tuple[str, str]]:
        """The variables with their values."""
        return list(self._values.items())

    def values(self) -> list[str]:
        """What is not to be shown."""
        return list(self._values.values())

    def hide(self, text: str) -> str:
        """The text without the values."""
        if not self._values:
            return text
        return self._mask.hide(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def holds(self, data: bytes) -> str | None:
        """The variable whose value is in some bytes; ``None`` when none is."""
        for name, value in self._values.items():
            if value.encode(errors="surrogateescape") in data:
                return name
        return None


NO_SECRETS = Opened({})


def open_secrets(store: SecretStore | None, wanted: Mapping[str, str], *, step: str) -> Opened:
    """Read what a step needs, now.

    Parameters
    ----------
    wanted
        Names of secrets by variable.

    Raises
    ------
    NotFound, Denied
        As the store says, with the step's name.
    """
    if not wanted:
        return NO_SECRETS
    if store is None:
        raise Invalid(
            f"step {step} needs secrets, and there is no store of them", where=step, fix="run it by a workspace: tidewheel run"
        )
    found = {}
    with unheard():
        for variable, name in wanted.items():
            try:
                found[variable] = store.read(name)
            except TidewheelError as error:
                raise type(error)(f"step {step}: {error.what}", where=error.where, fix=error.fix) from error
    return Opened(found)


class HiddenFailure(StepFailed):
    """A step that may see secrets has failed. The text is without them, and so is its log; the error itself, whose frames hold
    them, is let go of."""


def call_hidden(function: Callable[..., object], arguments: Mapping[str, object], opened: Opened) -> object:
    """Call a function that may see secrets; an error that leaves it tells none of them.

    Raises
    ------
    HiddenFailure
        In the place of any error when there are secrets, with the traceback printed.

    Examples
    --------
    >>> def ask(url):
    ...     raise ValueError("401 for s3cret")
    >>> call_hidden(ask, {"url": "x"}, Opened({"TOKEN": "s3cret"}))
    Traceback (most recent call last):
        ...
    tidewheel.pipelines.secrets.HiddenFailure: ValueError: 401 for *** ...
    """
    if not opened:
        return function(**arguments)
    try:
        return function(**arguments)
    except Exception as error:  # noqa: BLE001 - what comes out of here is another error, which holds nothing of this one
        frame = traceback.extract_tb(error.__traceback__)[-1]
        failed = HiddenFailure(
            opened.hide(f"{type(error).__name__}: {error}"), where=f"{frame.filename}:{frame.lineno}", fix="see the step's log"
        )
        print(opened.hide(traceback.format_exc()), end="", file=sys.stderr)
    raise failed


def tell_failure(error: BaseException) -> str:
    """An error of a step in one text.

    Examples
    --------
    >>> tell_failure(KeyError("zone")), tell_failure(HiddenFailure("ValueError: 401 for ***"))
    ("KeyError: 'zone'", 'ValueError: 401 for ***')
    """
    return error.what if isinstance(error, HiddenFailure) else f"{type(error).__name__}: {error}"


def secret_in_answer(name: str, *, step: str) -> TidewheelError:
    """An answer is kept as it is, so one that holds a secret's value is refused. Let go of it before this is raised.

    Examples
    --------
    >>> secret_in_answer("TOKEN", step="fit").what
    'the answer of step fit holds the value of its secret TOKEN'
    """
    return Denied(f"the answer of step {step} holds the value of its secret {name}", where=step, fix="leave it out")
