from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel.errors import Invalid, NotFound
from tidewheel.project.open import open_workspace


def project(root: Path, online: str) -> Path:
    root.mkdir()
    (root / "tidewheel.toml").write_text(f'project = "taxi"\n[workspace.local]\nonline = "{online}"\n')
    return root


@pytest.mark.parametrize("fixture", ["redis_store_url", "postgres_store_url"])
def test_two_checkouts_of_a_project_on_one_server_do_not_meet(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str
) -> None:
    shared = str(request.getfixturevalue(fixture)).partition("namespace=")[0].rstrip("?&")
    mine, yours = project(tmp_path / "My Taxi", shared), project(tmp_path / "yours", shared)
    with open_workspace(mine) as workspace:
        workspace.online.write([(b"k", b"1")])
        assert workspace.online.read([b"k"])[0] == [b"1"]
    with open_workspace(yours) as workspace:
        assert workspace.online.read([b"k"])[0] == [None]
    with open_workspace(mine) as workspace:
        assert workspace.online.read([b"k"])[0] == [b"1"]
        assert workspace.online.delete(b"") == 1


def test_a_store_that_there_is_not_is_told(tmp_path: Path) -> None:
    with open_workspace(project(tmp_path / "x", "redi://host")) as workspace, pytest.raises(NotFound, match="redi"):
        _ = workspace.online


def test_a_store_without_a_place_is_told_how_to_write_it(tmp_path: Path) -> None:
    with open_workspace(project(tmp_path / "p", "memory://")) as workspace, pytest.raises(Invalid) as caught:
        _ = workspace.online
    assert caught.value.fix is not None
    assert 'write "memory"' in caught.value.fix
