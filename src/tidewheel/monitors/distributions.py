"""The few probability functions that monitors need, without SciPy (which the tests compare them with)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

_NORMAL = NormalDist()
_TERMS = 500
_CLOSE = 1e-15


def chi_square_tail(value: float, freedom: float) -> float:
    """Probability that a chi-square variable exceeds a value.

    Examples
    --------
    >>> round(chi_square_tail(3.841458820694124, 1), 9)
    0.05

    Source: Numerical Recipes, 3rd edition, section 6.2 (series below the mean, continued fraction above).
    """
    if value <= 0:
        return 1.0
    a, x = freedom / 2, value / 2
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, _TERMS):
            term *= x / (a + step)
            total += term
            if term < total * _CLOSE:
                break
        return max(0.0, 1 - front * total)
    b, c = x + 1 - a, 1e300
    d = h = 1 / b
    for step in range(1, _TERMS):
        factor = -step * (step - a)
        b += 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        h *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return min(1.0, front * h)


def chi_square_quantile(probability: float, freedom: float) -> float:
    """The value that a chi-square variable stays below with this probability, by bisection.

    Examples
    --------
    >>> round(chi_square_quantile(0.95, 1), 6)
    3.841459
    """
    low, high = 0.0, freedom + 10
    while chi_square_tail(high, freedom) > 1 - probability:
        high *= 2
    return _bisect(lambda x: chi_square_tail(x, freedom) > 1 - probability, low, high)


def student_quantile(probability: float, freedom: float) -> float:
    """The value that Student's t stays below with this probability; for a probability above one half.

    Examples
    --------
    >>> round(student_quantile(0.975, 3), 6)
    3.182446
    """
    high = 2.0
    while student_tail(high, freedom) > 1 - probability:
        high *= 2
    return _bisect(lambda x: student_tail(x, freedom) > 1 - probability, 0.0, high)


def student_tail(value: float, freedom: float) -> float:
    """Probability that Student's t exceeds a value of 0 or more.

    Examples
    --------
    >>> round(student_tail(0.0, 7), 6)
    0.5
    """
    return 0.5 * _beta(freedom / (freedom + value * value), freedom / 2, 0.5)


def kolmogorov_tail(value: float) -> float:
    """Probability that the limit of ``sqrt(n) * D`` exceeds a value.

    Examples
    --------
    >>> round(kolmogorov_tail(1.3580986393225507), 6)
    0.05

    Source: Kolmogorov (1933); the second series converges quickly below 1.
    """
    if value <= 0.04:
        return 1.0
    if value < 1.18:
        root = math.sqrt(2 * math.pi) / value
        below = root * sum(math.exp(-(((2 * k - 1) * math.pi / value) ** 2) / 8) for k in range(1, 8))
        return max(0.0, 1 - below)
    return min(1.0, 2 * sum((1 if k % 2 else -1) * math.exp(-2 * (k * value) ** 2) for k in range(1, 8)))


def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable stays below with this probability.

    Examples
    --------
    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _NORMAL.inv_cdf(probability)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: reject those at most q, and at most a share q of the rejections is false.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.03]

    Source: Benjamini and Hochberg (1995), Journal of the Royal Statistical Society B 57.
    """
    count = len(p_values)
    adjusted, least = [0.0] * count, 1.0
    for rank, place in sorted(enumerate(sorted(range(count), key=lambda i: p_values[i]), 1), reverse=True):
        least = min(least, p_values[place] * count / rank)
        adjusted[place] = least
    return adjusted


def _beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function. Source: Numerical Recipes, 3rd edition, section 6.4."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1 - front * _beta_fraction(1 - x, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    h = d
    for m in range(1, _TERMS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + factor * d
            c = 1 + factor / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            h *= d * c
        if abs(d * c - 1) < _CLOSE:
            break
    return h


def _bisect(above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(200):
        middle = (low + high) / 2
        if above(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
