"""Places outside of the project that rows come from: URLs with options, and queries over a database.

A secret stands in neither: it is named, as ``${NAME}``, and read from the environment when the place is opened. What is
declared, recorded, logged and shown is the reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidewheel.digest import Digest, digest
from tidewheel.errors import Denied, Invalid
from tidewheel.ledger.definition import place
from tidewheel.url import REFERENCE

OBJECT_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "http", "https")
"""Schemes whose files are fetched; any other scheme is that of a table format."""

_PASSWORD = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_SECRET_OPTION = re.compile(r"(secret|password|token|account_key|access_key$|credential)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Location:
    """A URL and the options that open it. Made by :func:`location`, or by a URL given to ``tw.source``.

    Examples
    --------
    >>> Location("delta+s3://bucket/rides?version=3").scheme
    'delta+s3'
    """

    url: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def scheme(self) -> str:
        """What stands before ``://``."""
        return self.url.partition("://")[0]

    @property
    def is_table(self) -> bool:
        """A table with versions of its own, rather than files."""
        return self.scheme not in OBJECT_SCHEMES

    @property
    def identity(self) -> Digest:
        """Digest of the place, secrets by their names."""
        return digest(["location", self.url, [list(pair) for pair in self.options]])


@dataclass(frozen=True, slots=True)
class Query:
    """A query over a database. Made by :func:`query`."""

    sql: str
    url: str
    since: str | None = None

    @property
    def identity(self) -> Digest:
        """Digest of the question and of whom it is asked, secrets by their names."""
        return digest(["query", self.sql, self.url, self.since])


def location(url: str, **options: str) -> Location:
    """A URL with the options that open it, for ``tw.source``.

    Parameters
    ----------
    url
        ``s3://bucket/path/*.parquet`` (also ``gs``, ``az``), ``delta:///folder``, ``delta+s3://bucket/table``,
        ``iceberg://catalog/namespace.table``. A table takes ``?version=`` and then stays at that version.
    options
        As obstore, delta-rs or pyiceberg name them. ``${NAME}`` in a value is read from the environment on opening.

    Raises
    ------
    Denied
        For a secret that is written out.

    Examples
    --------
    >>> location("s3://rides/2026/*.parquet", region="eu-west-1", secret_access_key="${RIDES_KEY}").scheme
    's3'
    """
    where = place()
    _refuse_written_secret(url, where)
    for name, value in options.items():
        if _SECRET_OPTION.search(name) and value and not REFERENCE.search(value):
            raise Denied(f"option {name} of {url} is written out", where=where, fix=f'write {name}="${{NAME}}" and set NAME')
        _refuse_written_secret(value, where)
    return Location(url, tuple(sorted(options.items())))


def query(sql: str, url: str, *, since: str | None = None) -> Query:
    """Rows that a database answers to a query, for ``tw.source``.

    Parameters
    ----------
    sql
        In the database's own dialect. It runs once for each snapshot, and its answer is kept.
    url
        Of SQLAlchemy: ``postgresql://reader:${PASSWORD}@host/shop``, ``sqlite:///shop.db`` (from the project's folder).
    since
        A column of the answer that only grows, such as a serial number: only rows above the greatest one seen are asked for,
        and rows that were read stay as they were.

    Raises
    ------
    Denied
        For a password that is written out.

    Examples
    --------
    >>> query("SELECT * FROM orders", "postgresql://reader:${ORDERS_PASSWORD}@db/shop").url
    'postgresql://reader:${ORDERS_PASSWORD}@db/shop'
    """
    where = place()
    _refuse_written_secret(url, where)
    if "://" not in url:
        raise Invalid(f"{url!r} is not the URL of a database", where=where, fix='write "postgresql://..." or "sqlite:///..."')
    return Query(sql.strip().rstrip(";"), url, since)


def secrets_in(texts: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Values of the references in some texts, each with the reference that may be shown in its place.

    Examples
    --------
    >>> secrets_in(["a${KEY}"], {"KEY": "s3cret", "HOME": "/root"})
    {'s3cret': '${KEY}'}
    """
    names = {name for text in texts for name in REFERENCE.findall(text)}
    return {environment[name]: f"${{{name}}}" for name in sorted(names) if environment.get(name)}


def masked(text: str, secrets: Mapping[str, str]) -> str:
    """Text without the secrets.

    Examples
    --------
    >>> masked("password s3cret refused", {"s3cret": "${KEY}"})
    'password ${KEY} refused'
    """
    for value, reference in sorted(secrets.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(value, reference)
    return text


def _refuse_written_secret(text: str, where: str) -> None:
    found = _PASSWORD.search(text)
    if found is not None and not REFERENCE.search(found[1]):
        shown = text[: found.start(1)] + "***" + text[found.end(1) :]
        name = (urlsplit(shown).scheme.partition("+")[0] or "source").upper() + "_PASSWORD"
        raise Denied(f"a password is written out in {shown}", where=where, fix=f"write ${{{name}}} in its place and set {name}")
