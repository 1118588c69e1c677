"""The whole loop on real trips: what ``make demo`` runs.

Types the commands that a user would type, starts the real server, replays January to June 2020 against it in the order
in which it happened, lets the monitor raise its alarms and retrain, and checks every logged prediction.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import report
from replay import STREET, Client, Replay, read_trips
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tidewheel.clock import format_instant, to_micros
from tidewheel.project.run import Monitoring

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
FIRST, LAST = "2020-01", "2020-06"
WEEK = timedelta(days=7)
console = Console(highlight=False)


def tidewheel(*arguments: str, allowed: tuple[int, ...] = (0,), quiet: bool = False) -> str:
    """Run the command in the example's folder and show it; answer its stdout."""
    console.print(f"[bold]$ tidewheel {' '.join(arguments)}[/bold]")
    done = subprocess.run(
        [sys.executable, "-m", "tidewheel", *arguments], cwd=HERE, stdout=subprocess.PIPE, text=True, check=False
    )
    if not quiet:
        console.print(done.stdout.rstrip(), markup=False)
    if done.returncode not in allowed:
        sys.exit(f"tidewheel {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """The real server on a free port of this machine, stopped at the end."""
    console.print("[bold]$ tidewheel serve eta[/bold]")
    command = [sys.executable, "-m", "tidewheel", "serve", "eta", "--port", "0", "--json"]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the server did not start: exit code {process.wait()}")
        told = json.loads(line)
        console.print(f"serving at {told['url']}, status page included")
        yield "127.0.0.1", told["port"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def replay_half_a_year(address: tuple[str, int]) -> tuple[Replay, report.Watch]:
    """Replay week by week; after each week the monitor runs, and may retrain."""
    trips = read_trips(HERE / "replay", FIRST, LAST)
    replay = Replay(Client(address), trips)
    watch = report.Watch(HERE)
    edge = datetime(2020, 1, 1, tzinfo=STREET)
    end = trips[-1].start + timedelta(hours=6)
    columns = (
        TextColumn("replay {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trips"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as shown:
        task = shown.add_task("", total=len(trips))
        while edge < end:
            edge = min(edge + WEEK, end)
            shown.update(task, description=f"to {edge:%Y-%m-%d}")
            replay.until(edge)
            shown.update(task, completed=replay.predictions)
            tell(watch.run(to_micros(edge)), shown.console)
    watch.close()
    return replay, watch


def tell(done: Monitoring, shown: Console) -> None:
    """Alarms and retraining, as they happen."""
    for alert in done.opened:
        over = ", ".join(
            f"{check.column.removeprefix('f.')} {check.metric} {check.value:.2f} (limit {check.limit:.2f})"
            for check in alert.checks[:3]
        )
        shown.print(
            f"[bold yellow]ALARM[/bold yellow] {alert.kind}, week from {format_instant(alert.first_window)[:10]}: {over}"
        )
    for alert in done.closed:
        shown.print(f"[green]alarm over[/green]: {alert.kind}")
    for text in done.reports:
        if text.startswith("gate"):
            shown.print(text, markup=False)


def main() -> None:
    """Run the demo from an empty workspace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the workspace of an earlier run")
    options = parser.parse_args()
    started = time.monotonic()
    os.environ.setdefault("TIDEWHEEL_ACTOR", "demo")
    if not options.keep:
        shutil.rmtree(HERE / ".tidewheel", ignore_errors=True)
    OUT.mkdir(exist_ok=True)

    console.rule("1. plan and apply: training set, sweep, gate, deployment, online features")
    tidewheel("plan", allowed=(0, 2))
    tidewheel("apply", "--yes")
    tidewheel("plan")

    console.rule("2. serve, and replay January to June 2020 in the order in which it happened")
    with server() as address:
        replay, watch = replay_half_a_year(address)
    console.print(f"{replay.predictions} predictions, {replay.events} events, {replay.labels} labels")

    console.rule("3. what the monitor saw, and what retraining brought")
    outcome = report.measure(HERE, watch)
    console.print(report.render(outcome))
    picture = report.plot(outcome, OUT / "demo.png")

    console.rule("4. replay every logged prediction offline")
    parity = json.loads(tidewheel("check", "--json", allowed=(0, 2), quiet=True))["parities"][0]
    console.print(f"{parity['predictions']} predictions, {parity['values']} feature values: {parity['mismatches']} mismatches")

    console.rule("summary")
    console.print(report.summary(outcome, parity, picture, time.monotonic() - started))
    problems = report.problems(outcome, parity)
    if problems:
        sys.exit("the demo did not show what it should:\n  " + "\n  ".join(problems))


if __name__ == "__main__":
    main()
