"""URLs as they may be shown, and as they are written in files: without what is secret in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from tidewheel.errors import NotFound

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}``: the environment variable of that name."""

HIDDEN = "***"

_SECRET_OPTION = re.compile(
    r"(?i)([?&][^=&#]*(?:secret|password|passwd|token|account_key|access_key|api_key|credential|signature)[^=&#]*=)[^&#]*"
)
_PLAIN = re.compile(r"(?<=://)([^/:@\s]*):[^@\s]*(?=@)")


def without_password(url: str) -> str:
    """The URL as it may be shown and stored: its password, and options that are secrets, are ``***``.

    Examples
    --------
    >>> without_password("postgresql://reader:s3cret@db/shop?sslmode=require&sslpassword=x")
    'postgresql://reader:***@db/shop?sslmode=require&sslpassword=***'
    >>> without_password("redis://:s3c/ret@host/0"), without_password("lmdb")
    ('redis://:***@host/0', 'lmdb')
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    user, at, host = parts.netloc.rpartition("@")
    if at and ":" in user:
        url = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
    else:
        url = _PLAIN.sub(r"\1:***", url)  # a password with a slash in it ends the host too soon
    return _SECRET_OPTION.sub(r"\1***", url)


def resolve(text: str, environment: Mapping[str, str], where: str) -> str:
    """Text with its references replaced.

    Raises
    ------
    NotFound
        When a name is not set.

    Examples
    --------
    >>> resolve("redis://:${KEY}@host", {"KEY": "s3cret"}, "orders")
    'redis://:s3cret@host'
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            what = f"environment variable {name} is not set, which {where} needs"
            raise NotFound(what, where=where, fix=f"export {name}=...")
        return environment[name]

    return REFERENCE.sub(value, text)
