"""Secrets in the environment of the process that runs a step."""

from __future__ import annotations

from collections.abc import Mapping

from tidewheel.errors import NotFound


def open_secret_store(url: str, *, environment: Mapping[str, str]) -> EnvSecretStore:
    """A store of environment variables.

    Parameters
    ----------
    url
        ``env``, or ``env://PREFIX_``: the secret ``TOKEN`` is the variable ``PREFIX_TOKEN`` then.

    Examples
    --------
    >>> open_secret_store("env://SHOP_", environment={"SHOP_TOKEN": "s3cret"}).read("TOKEN")
    's3cret'
    """
    return EnvSecretStore(url.partition("://")[2], environment)


class EnvSecretStore:
    """Environment variables by name. A dash, a dot or a slash in a name is an underscore in the variable's."""

    def __init__(self, prefix: str, environment: Mapping[str, str]) -> None:
        self._prefix = prefix
        self._environment = environment

    def read(self, name: str) -> str:
        """The variable of that name, or of that name in capitals."""
        plain = self._prefix + name.replace("-", "_").replace(".", "_").replace("/", "_")
        for variable in (self._prefix + name, plain, plain.upper()):
            if variable in self._environment:
                return self._environment[variable]
        raise NotFound(
            f"no secret {name!r}: the environment variable {plain.upper()} is not set where the step runs",
            where=name,
            fix=f'export {plain.upper()}=..., or name another store: secrets = "file:///run/secrets" in tidewheel.toml',
        )

    def close(self) -> None:
        """Nothing to let go of."""
