"""How many examples a test that is dear takes: a few in every run, twenty times as many by night."""

from __future__ import annotations

from hypothesis import settings

CI_EXAMPLES = 100
NIGHTLY_EXAMPLES = 20 * CI_EXAMPLES
"""Of the profile ``nightly``: ``pytest --hypothesis-profile=nightly``."""


def dear(examples: int) -> int:
    """Examples of a dear test under the profile that is loaded."""
    return examples * max(1, settings().max_examples // CI_EXAMPLES)
