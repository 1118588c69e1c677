"""Who answers: the arms of a deployment, and the stable hash that gives each key its arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from tidewheel.clock import Micros
from tidewheel.errors import Invalid

WHOLE = 10_000
"""All of the traffic; weights are ten-thousandths."""

EPOCH = Micros(0)

Role = Literal["champion", "challenger", "shadow"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One version that gets traffic.

    Parameters
    ----------
    weight
        Ten-thousandths of the keys. A shadow's weight is the share of requests it is shown; its answers are logged, never sent.
    """

    model: str
    version: int
    weight: int = WHOLE
    role: Role = "champion"


@dataclass(frozen=True, slots=True)
class Route:
    """The arms of a deployment at one revision; revision 0 without arms when nothing was ever routed."""

    deployment: str
    revision: int = 0
    arms: tuple[Arm, ...] = ()
    at: Micros = EPOCH
    actor: str = ""
    reason: str = ""

    @property
    def champion(self) -> Arm | None:
        """The arm that holds what the others do not take."""
        return next((arm for arm in self.arms if arm.role == "champion"), None)

    @property
    def answering(self) -> tuple[Arm, ...]:
        """The arms whose answers are sent: challengers first, so that a key stays with a challenger while its weight grows."""
        return tuple(sorted((a for a in self.arms if a.role != "shadow"), key=lambda arm: arm.role == "champion"))

    @property
    def shadows(self) -> tuple[Arm, ...]:
        """The arms whose answers are only logged."""
        return tuple(arm for arm in self.arms if arm.role == "shadow")


def check_arms(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Arms that can be routed: one champion, each version once, weights of the answering arms add up to the whole.

    Examples
    --------
    >>> check_arms([Arm("eta", 1, 9_500), Arm("eta", 2, 500, "challenger")])[1].version
    2
    """
    if sum(arm.role == "champion" for arm in arms) != 1:
        raise Invalid("a route needs exactly one champion", where="arms", fix='give one arm role="champion"')
    if len({(arm.model, arm.version) for arm in arms}) != len(arms):
        raise Invalid("a version is in the route twice", where="arms", fix="give each version one arm")
    if any(not 0 <= arm.weight <= WHOLE for arm in arms):
        raise Invalid("a weight is outside of 0..10000", where="arms", fix="weights are ten-thousandths: 5 % is 500")
    total = sum(arm.weight for arm in arms if arm.role != "shadow")
    if total != WHOLE:
        raise Invalid(f"the weights add up to {total}", where="arms", fix=f"make champion and challengers add up to {WHOLE}")
    return tuple(arms)


def bucket(salt: str, key: bytes) -> int:
    """Place of a key in 0..9999; the same on every machine, and independent between salts.

    Examples
    --------
    >>> bucket("eta", b"132") == bucket("eta", b"132") < WHOLE
    True
    """
    return int.from_bytes(blake2b(key, digest_size=8, salt=blake2b(salt.encode(), digest_size=16).digest()).digest()) % WHOLE


def choose(arms: Sequence[Arm], place: int) -> int:
    """Index of the arm that owns a place; arms own ranges in their order.

    Examples
    --------
    >>> choose([Arm("eta", 2, 500, "challenger"), Arm("eta", 1, 9_500)], 499)
    0
    """
    edge = 0
    for index, arm in enumerate(arms):
        edge += arm.weight
        if place < edge:
            return index
    return len(arms) - 1
