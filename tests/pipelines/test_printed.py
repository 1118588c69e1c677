"""What is printed, as files: cut in the middle, masked over the borders of writes."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.ports.printed import Mask, PrintedFile, printed_text, read_all, read_printed


@pytest.mark.parametrize("seed", range(20))
def test_a_file_that_is_cut_has_its_beginning_and_its_end_and_stays_small(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    whole, kept = b"", PrintedFile(tmp_path / "run" / "job.log", limit_bytes=1_000)
    assert not kept.path.parent.exists(), "nothing was printed yet"
    place, seen = 0, 0
    for number in range(chance.randrange(1, 80)):
        data = b"%d " % number * chance.randrange(1, 200)
        whole += data
        kept.write(data)
        begin, found = read_printed(kept.path, place)  # as somebody who follows
        assert begin >= place
        assert whole[begin : begin + len(found)] == found
        place, seen = begin + len(found), seen + len(found)
    kept.close()
    pieces = list(read_all(kept.path))
    assert all(whole[start : start + len(data)] == data for start, data in pieces)
    assert pieces[0][0] == 0
    assert pieces[-1][0] + len(pieces[-1][1]) == len(whole) == kept.size_bytes
    stored = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert stored == (len(whole) if len(whole) <= 1_000 else stored) <= 1_000
    if len(whole) > 1_000:
        cut = re.search(r"\[\.\.\. ([\d,]+) bytes were printed here and not kept \.\.\.\]", printed_text(kept.path))
        assert cut is not None
        assert int(cut.group(1).replace(",", "")) == len(whole) - stored


@given(st.lists(st.binary(max_size=6).map(lambda each: bytes(b"ab-"[byte % 3] for byte in each))))
def test_a_value_is_masked_wherever_the_writes_are_cut(parts: list[bytes]) -> None:
    mask = Mask([b"abba", b"ab-", b"abbaab"])
    shown = b"".join([*(mask.feed(part) for part in parts), mask.finish()])
    # Leftmost first and the longest at each place, as Python's own regular expressions over the whole.
    assert shown == re.sub(rb"abbaab|abba|ab-", b"***", b"".join(parts))


def test_lines_of_a_value_are_masked_alone_too() -> None:
    mask = Mask([b"-----BEGIN KEY-----\nMIIEow12\n-----END KEY-----\n"])
    assert mask.hide(b"read MIIEow12 and -----BEGIN KEY-----") == b"read *** and ***"
