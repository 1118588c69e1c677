"""Projects and servers for the journeys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.acting import Project, Server, serve


@pytest.fixture(scope="module")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project that ``tidewheel init`` makes, applied."""
    folder = tmp_path_factory.mktemp("journey")
    Project(folder).run("init", "bakery")
    project = Project(folder / "bakery")
    project.run("apply", "--yes")
    return project


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A new project, not applied."""
    Project(tmp_path).run("init", "bakery")
    return Project(tmp_path / "bakery")


@pytest.fixture
def server(bakery: Project) -> Iterator[Server]:
    """The bakery's server."""
    started = serve(bakery)
    yield started
    assert started.stop() == 0
