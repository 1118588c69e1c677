"""Secrets of the environment: the port's contract."""

from __future__ import annotations

import pytest

from tidewheel.backends.env.secret_store import EnvSecretStore, open_secret_store
from tidewheel.testing.secret_store import KEY, SecretStoreContract


class TestEnvSecretStore(SecretStoreContract):
    @pytest.fixture
    def store(self) -> EnvSecretStore:
        return open_secret_store("env://APP_", environment={"APP_TOKEN": "s3cret", "APP_key": KEY, "NOBODY": "x"})
