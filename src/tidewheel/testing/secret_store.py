"""Contract of the port of secrets: every backend's tests inherit from :class:`SecretStoreContract`.

A backend gives a fixture ``store`` that holds ``token`` = ``s3cret``, and ``key`` of two lines.
"""

from __future__ import annotations

import pytest

from tidewheel.errors import NotFound
from tidewheel.ports.secret_store import SecretStore

KEY = "-----BEGIN KEY-----\nMIIEow12\n-----END KEY-----"


class SecretStoreContract:
    """What every store of secrets does."""

    def test_a_secret_is_read_as_it_was_written(self, store: SecretStore) -> None:
        """Also one of several lines."""
        assert store.read("token") == "s3cret"
        assert store.read("key") == KEY

    def test_an_unknown_secret_is_not_found(self, store: SecretStore) -> None:
        """The error names it, and tells nothing of the others."""
        with pytest.raises(NotFound, match="'nobody'") as caught:
            store.read("nobody")
        assert "s3cret" not in str(caught.value)

    def test_closing_twice_is_closing(self, store: SecretStore) -> None:
        """Close is idempotent."""
        store.close()
        store.close()
