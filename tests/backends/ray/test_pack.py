"""What goes to Ray's nodes with a project's code: no password of its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel.backends.ray.pack import Packer, list_passwords
from tidewheel.errors import Invalid


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('online = "redis://:s3/cr@t@cache:6379/0"', ["workspace.prod.online"]),
        ('database = "postgresql://u:${NAME}x@db/t"', ["workspace.prod.database"]),
        ('database = "postgresql://u@db/t?sslmode=require&password=s3cret"', ["workspace.prod.database"]),
        ('api_key = "s3cret"', ["workspace.prod.api_key"]),
        ('api_key = "${KEY}"', []),
        ('online = "redis://:${NAME}@cache:6379/0"', []),
        ('executor = "ray://head:10001"', []),
        ('secrets = "file:///run/secrets"', []),
    ],
)
def test_a_password_in_clear_is_found_by_the_name_of_its_setting(line: str, told: list[str]) -> None:
    assert list_passwords(f"[workspace.prod]\n{line}\n") == told


def test_settings_with_a_password_in_clear_do_not_travel(tmp_path: Path) -> None:
    settings = tmp_path / "tidewheel.toml"
    settings.write_text('[workspace.prod]\ndatabase = "postgresql://tide:s3cret@db/tide"\n')
    packer = Packer(tmp_path)
    for _ in range(2):
        with pytest.raises(Invalid, match=r"workspace\.prod\.database") as refused:
            packer.pack()
        assert "s3cret" not in str(refused.value)
    settings.write_text('[workspace.prod]\ndatabase = "postgresql://tide:${DB_PASSWORD}@db/tide"\n')
    assert packer.pack()[1]
