"""Secrets in files, one each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tidewheel.errors import Denied, Invalid, NotFound


def open_secret_store(url: str, *, environment: Mapping[str, str]) -> FileSecretStore:
    """A store of files.

    Parameters
    ----------
    url
        ``file:///folder``: the secret ``shop/token`` is the file ``/folder/shop/token``.

    Examples
    --------
    >>> open_secret_store("file:///no/such/folder", environment={}).read("token")
    Traceback (most recent call last):
        ...
    tidewheel.errors.NotFound: no secret 'token': there is no file token in /no/such/folder ...
    """
    del environment
    folder = Path(unquote(urlsplit(url).path))
    if not folder.is_absolute():
        raise Invalid(f"{url!r} names no folder", where="secrets", fix='write secrets = "file:///run/secrets"')
    return FileSecretStore(folder)


class FileSecretStore:
    """Files of one folder, read anew each time. One line break at the end of a file is no part of its secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str:
        """What the file of that name holds."""
        path = self._folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise Denied(f"{name!r} is no name of a secret", where=name, fix=f"name a file below {self._folder}")
        try:
            return path.read_bytes().decode().removesuffix("\n").removesuffix("\r")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise NotFound(
                f"no secret {name!r}: there is no file {name} in {self._folder} where the step runs",
                where=name,
                fix="mount it, or name another folder: secrets in tidewheel.toml",
            ) from error
        except OSError as error:
            raise Denied(
                f"the secret {name!r} in {self._folder} may not be read", where=name, fix="see the file's rights"
            ) from error

    def close(self) -> None:
        """Nothing to let go of."""
