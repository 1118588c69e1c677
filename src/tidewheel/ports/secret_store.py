"""Port: where secrets are kept, and what stands for one everywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by its name; the value is asked for by the process that needs it, and is in nothing that is kept."""

    name: str


class SecretStore(Protocol):
    """Hands out secrets by name."""

    def read(self, name: str) -> str:
        """The value as it is now; ``NotFound`` when there is none, ``Denied`` when it may not be read."""
        ...

    def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


class SecretStoreOpener(Protocol):
    """What the entry point of a backend is."""

    def __call__(self, url: str, *, environment: Mapping[str, str]) -> SecretStore:
        """Open the store at a URL, without a look into it."""
        ...
