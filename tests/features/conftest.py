"""Cases that run on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.features.ask import engine_of

from tidewheel.ports.query_engine import QueryEngine


@pytest.fixture
def on_every_engine(every_engine: Callable[[], QueryEngine]) -> Iterator[None]:
    """Lets :func:`tests.features.ask.ask` ask each engine in turn."""
    token = engine_of.set(every_engine)
    yield
    engine_of.reset(token)
