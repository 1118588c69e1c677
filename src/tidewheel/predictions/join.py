"""Join labels to predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa

from tidewheel.clock import parse_instant
from tidewheel.errors import Invalid
from tidewheel.predictions.label_log import canonical

_Candidate = tuple[int, int, int, float]
_INPUTS = msgspec.json.Decoder(dict[str, object])


def join_labels(predictions: pa.Table, labels: pa.Table | Sequence[pa.Table]) -> pa.Table:
    """Predictions with the label that holds for each.

    A label by key and time belongs to each prediction whose inputs have these keys, and whose ``at``, or one of whose inputs
    that is a time, is that instant. Of all labels that belong to a prediction the one with the latest ``at`` holds, then the
    one received last.

    Parameters
    ----------
    predictions
        Needs the columns ``prediction_id at inputs``.
    labels
        From :meth:`tidewheel.predictions.LabelLog.read` or ``labels_of_source``; one table or several.

    Returns
    -------
    The same rows in the same order, with ``label`` (float64, null while unknown) and ``label_at`` (int64 microseconds).

    Examples
    --------
    >>> from tidewheel.predictions.label_log import no_labels
    >>> asked = pa.table({"prediction_id": ["p1"], "at": [0], "inputs": ['{"zone":4}']})
    >>> join_labels(asked, no_labels()).to_pylist()[0]["label"] is None
    True
    """
    tables = [labels] if isinstance(labels, pa.Table) else list(labels)
    by_id: dict[str, _Candidate] = {}
    by_key: dict[tuple[str, ...], dict[tuple[str, int], _Candidate]] = {}
    for table in tables:
        _index(table, by_id, by_key)
    found = [by_id.get(name) for name in predictions["prediction_id"].to_pylist()]
    if by_key:
        asked = zip(predictions["inputs"].to_pylist(), predictions["at"].to_pylist(), strict=True)
        for row, (inputs, at) in enumerate(asked):
            found[row] = _latest([found[row], *_by_key(_INPUTS.decode(inputs), at, by_key)])
    return predictions.append_column(
        "label", pa.array([None if one is None else one[3] for one in found], pa.float64())
    ).append_column("label_at", pa.array([None if one is None else one[0] for one in found], pa.int64()))


def _index(
    table: pa.Table, by_id: dict[str, _Candidate], by_key: dict[tuple[str, ...], dict[tuple[str, int], _Candidate]]
) -> None:
    names = ("at", "received_at", "sequence", "value", "prediction_id", "keys", "time")
    for at, received, sequence, value, name, keys, time in zip(*(table[n].to_pylist() for n in names), strict=True):
        one = (at, received, sequence, value)
        if name is not None:
            by_id[name] = max(one, by_id.get(name, one))
        else:
            shape = tuple(_INPUTS.decode(keys))
            known = by_key.setdefault(shape, {})
            known[keys, time] = max(one, known.get((keys, time), one))


def _by_key(
    inputs: Mapping[str, object], at: int, by_key: Mapping[tuple[str, ...], Mapping[tuple[str, int], _Candidate]]
) -> list[_Candidate | None]:
    times = {at, *(moment for value in inputs.values() if (moment := _instant(value)) is not None)}
    found: list[_Candidate | None] = []
    for shape, known in by_key.items():
        if all(name in inputs for name in shape):
            keys = canonical({name: inputs[name] for name in shape})
            found += [known.get((keys, time)) for time in times]
    return found


def _instant(value: object) -> int | None:
    if not isinstance(value, str) or len(value) < 19 or value[4:5] != "-":
        return None
    try:
        return parse_instant(value)
    except Invalid:
        return None


def _latest(candidates: Sequence[_Candidate | None]) -> _Candidate | None:
    return max((one for one in candidates if one is not None), default=None)
