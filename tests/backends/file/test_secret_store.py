"""Secrets in files: the port's contract, and that no name leads out of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidewheel.backends.file.secret_store import FileSecretStore, open_secret_store
from tidewheel.errors import Denied
from tidewheel.testing.secret_store import KEY, SecretStoreContract


class TestFileSecretStore(SecretStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileSecretStore:
        (tmp_path / "token").write_text("s3cret\n")
        (tmp_path / "key").write_text(KEY + "\n")
        return open_secret_store(f"file://{tmp_path}", environment={})

    def test_no_name_leads_out_of_the_folder(self, store: FileSecretStore) -> None:
        for name in ("../token", "/etc/passwd"):
            with pytest.raises(Denied):
                store.read(name)
