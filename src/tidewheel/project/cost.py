"""What builds cost, by the rates of ``[cost]`` in ``tidewheel.toml``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Rates:
    """What an hour costs.

    Parameters
    ----------
    cpu_hour
        Of one processor at work.
    machine_hour
        Of the time that a build takes, whatever it does.
    currency
        In which these are, to be shown.

    Examples
    --------
    >>> rates = Rates(cpu_hour=0.04, currency="EUR")
    >>> rates.cost(1_800, 3_600), rates.cost(1_800, None), Rates().cost(1_800, 3_600)
    (0.04, None, None)
    """

    cpu_hour: float = 0.0
    machine_hour: float = 0.0
    currency: str = ""

    def cost(self, seconds: float, cpu_seconds: float | None) -> float | None:
        """Cost of a build; ``None`` without rates, and where it is not known what it used."""
        if not (self.cpu_hour or self.machine_hour) or (self.cpu_hour and cpu_seconds is None):
            return None
        return (seconds * self.machine_hour + (cpu_seconds or 0.0) * self.cpu_hour) / _HOUR


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a build is expected to take and to cost, going by the last builds of its node; what is not known is ``None``."""

    seconds: float | None = None
    cost: float | None = None


def estimate(spent: Sequence[tuple[float, float | None]], rates: Rates) -> Estimate:
    """The median of past builds.

    Parameters
    ----------
    spent
        Seconds, and seconds of processors, of each of them.

    Examples
    --------
    >>> estimate([(3.0, 3.0), (1.0, 2.0), (2.0, None)], Rates(cpu_hour=3_600))
    Estimate(seconds=2.0, cost=3.0)
    >>> estimate([], Rates())
    Estimate(seconds=None, cost=None)
    """
    costs = [one for seconds, used in spent if (one := rates.cost(seconds, used)) is not None]
    return Estimate(_median([seconds for seconds, _ in spent]), _median(costs))


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None
