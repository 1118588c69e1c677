"""Errors on their way: ours out of the workers, Spark's own as one of ours."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from tidewheel.errors import Corrupt, EngineCannot, Invalid, NotFound, TidewheelError, Unavailable

_MARK = re.compile(r"tidewheel-error:([A-Za-z0-9+/=]+):")
_FILE = re.compile(r"reading file file:/*(/.+?)\.\s")
_RECORD = re.compile(r"Malformed CSV record: (.{0,80})")
_CANNOT = ("UNRESOLVED_ROUTINE", "UNSUPPORTED", "NOT_SUPPORTED", "DATATYPE_MISMATCH", "WRONG_NUM_ARGS", "PARSE_", "UNEXPECTED")


def packed(error: TidewheelError) -> RuntimeError:
    """An error of ours as one whose text survives Spark, which hands back nothing but the text.

    Examples
    --------
    >>> unpacked(str(packed(Invalid("a row is wrong", where="x"))))
    Invalid('a row is wrong')
    """
    told = json.dumps([error.code, error.what, error.where, error.fix]).encode()
    return RuntimeError(f"tidewheel-error:{base64.b64encode(told).decode()}:")


def unpacked(text: str) -> TidewheelError | None:
    """The error of ours that a failure of Spark's carries, if any."""
    found = _MARK.search(text)
    if found is None:
        return None
    code, what, where, fix = json.loads(base64.b64decode(found[1]))
    return _kinds(TidewheelError).get(code, Invalid)(what, where=where, fix=fix)


def _kinds(kind: type[TidewheelError]) -> dict[str, type[TidewheelError]]:
    """Every class of error by its code."""
    found = {kind.__name__: kind}
    for one in kind.__subclasses__():
        found |= _kinds(one)
    return found


def guarded(function: Callable[..., pa.Table]) -> Callable[..., pa.Table]:
    """A function for the workers whose errors arrive here as what they are."""

    def run(*tables: pa.Table) -> pa.Table:
        try:
            return function(*tables)
        except TidewheelError as error:
            raise packed(error) from error

    return run


@contextmanager
def explained() -> Iterator[None]:
    """Errors of Spark as ours: what the caller can do decides the class."""
    try:
        yield
    except (PySparkException, Py4JError, pa.ArrowException, OSError) as error:
        raise explain(error) from error


def explain(error: Exception) -> TidewheelError:
    """One error of Spark as one of ours."""
    text = str(error)
    ours = unpacked(text)
    if ours is not None:
        return ours
    kind = error.getCondition() or "" if isinstance(error, PySparkException) else ""
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)[:300]
    if kind.startswith("PATH_NOT_FOUND"):
        return NotFound(first, fix="check the path pattern of the source; the workers must see it too")
    if any(kind.startswith(word) for word in _CANNOT):
        return EngineCannot(f"spark cannot run the query: {first}", fix="write it with what all engines have, or use duckdb")
    if "MALFORMED_CSV_RECORD" in text:
        file, record = _FILE.search(text), _RECORD.search(text)
        told = f"{file[1] if file else 'of CSV'}: a row with too many or too few values{f': {record[1]}' if record else ''}"
        return Corrupt(f"a file cannot be read: {told}", fix="correct the line, or remove the file from the source")
    if "OutOfMemoryError" in text:
        return Unavailable(f"the query does not fit in memory: {first}", fix="raise spark.driver.memory in the engine's URL")
    if "CANNOT_READ_FILE" in kind or "not a Parquet file" in text:
        return Corrupt(f"a file cannot be read: {first}", fix="write the file again, or remove it from the source")
    if isinstance(error, Py4JError) and not kind:
        return Unavailable(f"Spark does not answer: {first}", fix="look at the driver's log, and run it again")
    return Invalid(f"the query failed: {first}", fix="check the source's select and the types of its columns")
