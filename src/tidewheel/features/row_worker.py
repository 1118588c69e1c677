"""The other process of :mod:`tidewheel.features.call_rows`: imports one transform and calls it until its input ends."""

from __future__ import annotations

import json
import os
import sys
from typing import IO

import pyarrow as pa

from tidewheel.errors import Invalid
from tidewheel.features.call_rows import code_of, find_transform, receive, send
from tidewheel.features.definition import Transform
from tidewheel.features.transform import plain_values, run_transform


def answer(transform: Transform, asked: IO[bytes], told: IO[bytes]) -> None:
    """Answer messages until there are none.

    Examples
    --------
    >>> import io
    >>> from tidewheel.features.definition import on_request
    >>> @on_request
    ... def halves(items: int) -> int:
    ...     return items // 2
    >>> asked, told = io.BytesIO(), io.BytesIO()
    >>> send(asked, {"first": 0}, pa.table({"items": [5, 7]}))
    >>> _ = asked.seek(0)
    >>> answer(halves, asked, told)
    >>> _ = told.seek(0)
    >>> receive(told)[1].to_pydict()
    {'halves': [2, 3]}
    """
    while True:
        try:
            head, table = receive(asked)
        except EOFError:
            return
        first, kind = int(str(head["first"])), transform.returns.type.arrow()
        columns = {name: plain_values(table.column(name).combine_chunks()) for name in table.column_names}
        try:
            made = run_transform(transform, columns, table.num_rows, numbers=range(first, first + table.num_rows))
        except Invalid as error:
            send(told, {"raised": error.what}, pa.table({}))
            continue
        found = pa.table({transform.name: pa.array(made.values, kind)})
        send(told, {"errors": made.errors, "first_error": made.first_error}, found)


def main(asked: str) -> None:
    """Find the transform, say so, and answer; what the transform prints goes to standard error."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    wanted = json.loads(asked)
    sys.path[:] = wanted["path"]
    transform = find_transform(wanted["module"], wanted["name"])
    if transform is None or code_of(transform) != wanted["code"]:
        told.write(b"-")
        told.flush()
        return
    told.write(b"+")
    told.flush()
    answer(transform, sys.stdin.buffer, told)


if __name__ == "__main__":
    main(sys.argv[1])
