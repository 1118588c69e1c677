"""Backends by name: the entry point, or an error that says what to install."""

from __future__ import annotations

from importlib.metadata import entry_points

from tidewheel.errors import MissingExtra, NotFound, near_miss

_SYNONYMS = {"postgresql": "postgres", "rediss": "redis", "valkey": "redis", "valkeys": "redis"}


def load_backend(port: str, name: str) -> object:
    """What the entry point ``tidewheel.<port>``/``name`` points at.

    Raises
    ------
    NotFound
        No installed package offers a backend of that name.
    MissingExtra
        The backend is there but the library it needs is not.
    """
    group = f"tidewheel.{port}"
    found = entry_points(group=group, name=name)
    if not found:
        known = entry_points(group=group).names
        raise NotFound(f"no {port.replace('_', ' ')} backend {name!r}", where="tidewheel.toml", fix=near_miss(name, known))
    try:
        return next(iter(found)).load()
    except ImportError as error:
        raise MissingExtra(
            f"the {name} backend needs the package {error.name}, which is not installed",
            where=f"{group}:{name}",
            fix=f"pip install 'tidewheel[{name}]'",
        ) from error


def list_backends(port: str) -> list[str]:
    """Names of the backends that are installed for a port, sorted."""
    return sorted(entry_points(group=f"tidewheel.{port}").names)


def technology(url: str) -> str:
    """The name of the backend that a URL means: its scheme, or what people write for it.

    Examples
    --------
    >>> [technology(url) for url in ("redis://host/0", "rediss://host/0", "postgresql+psycopg://host/x", "lmdb")]
    ['redis', 'redis', 'postgres', 'lmdb']
    """
    name = url.partition("://")[0].partition("+")[0]
    return _SYNONYMS.get(name, name)
