"""A real process that logs rows and answers, one after the other, until it is killed. Run by test_prediction_kill.py."""

import sys
from pathlib import Path

from tests.predictions.conftest import make_row

from tidewheel.predictions import PredictionLog

log = PredictionLog(Path(sys.argv[1]), segment_bytes=5_000)
log.start_compaction(0.02)
for number in range(1_000_000):
    log.append([make_row(number)])
    sys.stdout.write(f"{number}\n")  # the answer leaves
    sys.stdout.flush()
