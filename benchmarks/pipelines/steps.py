"""A chain of 50 no-op steps and a fan-out over 100, run anew and run again when all is known, beside orchestrators.

Ours keeps full lineage: each call's recipe, its components, and its build are rows of the workspace's database, and a chain
that runs again is looked up in it. The raw limit does per step what any step cache must: a hash, a row of SQLite (WAL,
``synchronous=NORMAL``, a transaction each) and a content-addressed file. Peers (environments made on demand outside of the
tree; left out when they cannot be had) run the same chain by their own documented means: Prefect's flows and tasks, with
``cache_policy=INPUTS`` for the run that is known; Dagster's ops ``execute_in_process``, which has no cache; Hamilton's driver
with ``with_cache()``; ZenML's pipelines on its local stack, with and without ``enable_cache``; Metaflow's flows by its command,
which starts a process for every step, and ``resume`` for the run that is known. These two run 10 steps and 10 at once, for
their steps take so long. Wall milliseconds a step, in a process that is warm where a peer has one, the best of several rounds.
Ours is measured twice: steps in a session, and on record, as ``tidewheel run`` does it: a run with its calls.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tidewheel.pipelines.calls import CallLog
from tidewheel.pipelines.execute import Session
from tidewheel.project.open import Workspace, open_workspace

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import ensure_environment

STEPS, FAN = 50, 100

FLOW = """
import tidewheel as tw


@tw.step
def add(x: int) -> int:
    return x + 1


def chain(x: int) -> int:
    for _ in range(50):
        x = add(x)
    return x


def fan(x: int) -> int:
    return sum(tw.map(add, x=[x + n for n in range(100)]))
"""

PREFECT = """
import json, logging, sys, time
from prefect import flow, task
from prefect.cache_policies import INPUTS, NO_CACHE

@task(cache_policy=NO_CACHE)
def add(x): return x + 1

@task(cache_policy=INPUTS, persist_result=True)
def known(x): return x + 1

@flow
def chain(x):
    for _ in range(50): x = add(x)
    return x

@flow
def again(x):
    for _ in range(50): x = known(x)
    return x

@flow
def fan(x): return sum(f.result() for f in add.map([x + n for n in range(100)]))

def spend(work, rounds, steps, argument):
    best = 1e9
    for n in range(rounds):
        start = time.perf_counter(); work(argument(n)); best = min(best, time.perf_counter() - start)
    return best / steps * 1e3

told = {}
told["chain, first"] = spend(chain, 1, 50, lambda n: n)
told["chain"] = spend(chain, 2, 50, lambda n: n)
told["fan-out"] = spend(fan, 2, 100, lambda n: n)
again(1)
told["chain, known"] = spend(again, 2, 50, lambda n: 1)
print("TOLD" + json.dumps(told))
"""

DAGSTER = """
import json, time
import dagster as dg

@dg.op
def start() -> int: return 0

@dg.op
def add(x: int) -> int: return x + 1

@dg.op
def total(xs: list[int]) -> int: return sum(xs)

@dg.op(out=dg.DynamicOut(int))
def spread():
    for n in range(100): yield dg.DynamicOutput(n, mapping_key=str(n))

@dg.job
def chain():
    x = start()
    for n in range(50): x = add.alias(f"add_{n}")(x)

@dg.job
def fan(): total(spread().map(add).collect())

def spend(job, rounds, steps):
    best = 1e9
    with dg.DagsterInstance.local_temp() as instance:
        for n in range(rounds):
            begin = time.perf_counter(); assert job.execute_in_process(instance=instance).success
            best = min(best, time.perf_counter() - begin)
    return best / steps * 1e3

told = {"chain, first": spend(chain, 1, 50)}
told["chain"] = spend(chain, 2, 50)
told["fan-out"] = spend(fan, 2, 100)
print("TOLD" + json.dumps(told))
"""

HAMILTON = """
import json, tempfile, time, types
from hamilton import driver

text = "def s0(x: int) -> int: return x + 1\\n" + "\\n".join(
    f"def s{n}(s{n - 1}: int) -> int: return s{n - 1} + 1" for n in range(1, 50))
module = types.ModuleType("chain"); import sys; sys.modules["chain"] = module
import linecache, pathlib
folder = tempfile.mkdtemp(); path = pathlib.Path(folder) / "chain.py"; path.write_text(text)
exec(compile(text, str(path), "exec"), module.__dict__); module.__file__ = str(path)
plain = driver.Builder().with_modules(module).build()
cached = driver.Builder().with_modules(module).with_cache(path=folder + "/cache").build()

def spend(run, rounds, argument):
    best = 1e9
    for n in range(rounds):
        begin = time.perf_counter(); run.execute(["s49"], inputs={"x": argument(n)})
        best = min(best, time.perf_counter() - begin)
    return best / 50 * 1e3

told = {"chain, nothing kept": spend(plain, 5, lambda n: n), "chain, first": spend(cached, 1, lambda n: 0)}
told["chain"] = spend(cached, 3, lambda n: n + 10)
told["chain, known"] = spend(cached, 3, lambda n: 0)
print("TOLD" + json.dumps(told))
"""

ZENML = """
import json, time
from zenml import pipeline, step

@step(enable_cache=False)
def add(x: int) -> int: return x + 1

@step(enable_cache=True)
def known(x: int) -> int: return x + 1

@pipeline(enable_cache=False)
def chain(x: int):
    for _ in range(10): x = add(x)

@pipeline(enable_cache=False)
def fan(x: int):
    for n in range(10): add(x + n)

@pipeline(enable_cache=True)
def again(x: int):
    for _ in range(10): x = known(x)

def spend(work, rounds, argument):
    best = 1e9
    for n in range(rounds):
        start = time.perf_counter(); assert work(argument(n)).status.is_successful
        best = min(best, time.perf_counter() - start)
    return best / 10 * 1e3

told = {"chain, first": spend(chain, 1, lambda n: n)}
told["chain"] = spend(chain, 2, lambda n: n)
told["fan-out"] = spend(fan, 1, lambda n: n)
again(x=1)
told["chain, known"] = spend(lambda x: again(x=x), 2, lambda n: 1)
print("TOLD" + json.dumps(told))
"""

METAFLOW = """
import json, pathlib, subprocess, sys, time

head = ["from metaflow import FlowSpec, step"]
chain = [*head, "class Chain(FlowSpec):"]
for n, name in enumerate(["start", *(f"s{n}" for n in range(8)), "end"]):
    chain += ["  @step", f"  def {name}(self):", "    self.x = 0" if n == 0 else "    self.x += 1"]
    chain += [] if name == "end" else [f"    self.next(self.{'end' if n == 8 else 's' + str(n)})"]
fan = [*head, "class Fan(FlowSpec):"]
for signature, body in (
    ("start(self)", "self.xs = list(range(10)); self.next(self.add, foreach='xs')"),
    ("add(self)", "self.y = self.input + 1; self.next(self.join)"),
    ("join(self, inputs)", "self.total = sum(each.y for each in inputs); self.next(self.end)"),
    ("end(self)", "pass"),
):
    fan += ["  @step", f"  def {signature}: {body}"]
for name, lines in (("Chain", chain), ("Fan", fan)):
    pathlib.Path(name + ".py").write_text(chr(10).join([*lines, f"if __name__ == '__main__': {name}()"]))

def spend(*command, steps):
    start = time.perf_counter()
    subprocess.run([sys.executable, command[0], "--no-pylint", "--quiet", *command[1:]], check=True, stdout=sys.stderr)
    return (time.perf_counter() - start) / steps * 1e3

told = {"chain, first": spend("Chain.py", "run", "--run-id-file", "first", steps=10)}
told["chain"] = spend("Chain.py", "run", steps=10)
told["fan-out"] = spend("Fan.py", "run", steps=13)
origin = pathlib.Path("first").read_text().strip()
told["chain, known"] = spend("Chain.py", "resume", "end", "--origin-run-id", origin, steps=10)
print("TOLD" + json.dumps(told))
"""

PEERS = {
    "Prefect": (("prefect>=3",), PREFECT),
    "Dagster": (("dagster",), DAGSTER),
    "Hamilton": (("sf-hamilton",), HAMILTON),
    "ZenML": (("zenml[local]",), ZENML),
    "Metaflow": (("metaflow", "setuptools<81"), METAFLOW),
}


def spend(work: Callable[[int], object], *, rounds: int, steps: int, argument: Callable[[int], int]) -> float:
    """Wall milliseconds a step, the best of the rounds."""
    best = float("inf")
    for number in range(rounds):
        start = time.perf_counter()
        work(argument(number))
        best = min(best, time.perf_counter() - start)
    return best / steps * 1e3


def run_ours(folder: Path, rounds: int) -> dict[str, float]:
    """Ours, in this process and on two warm workers."""
    (folder / "tidewheel.toml").write_text('project = "bench"\n[workspace.local]\n[workspace.workers]\nexecutor = "local"\n')
    (folder / "flow.py").write_text(FLOW)
    sys.path.insert(0, str(folder))
    flow = importlib.import_module("flow")
    told: dict[str, float] = {}
    for name, suffix in (("local", ""), ("workers", ", workers")):
        with open_workspace(folder, name) as workspace:
            session = Session(
                workspace.ledger,
                workspace.artifacts,
                fingerprinter=workspace.fingerprinter,
                actor="bench",
                executor=workspace.executor,
            )
            base = 1_000_000 if suffix else 0

            def run(work: Callable[[int], int], session: Session = session, base: int = base) -> Callable[[int], object]:
                def inside(x: int) -> object:
                    with session.active():
                        return work(base + x)

                return inside

            def record(x: int, session: Session = session, workspace: Workspace = workspace) -> object:
                with workspace.runs.start("chain", experiment="pipelines", actor="bench", tags={"reason": "bench"}) as started:
                    calls = started.attach(CallLog(workspace.database, started.id, workspace.clock))
                    with session.active(calls=calls):
                        return flow.chain(x)

            chain, fan = run(flow.chain), run(flow.fan)
            told[f"chain, first{suffix}"] = spend(chain, rounds=1, steps=STEPS, argument=lambda n: 0)
            told[f"chain{suffix}"] = spend(chain, rounds=rounds, steps=STEPS, argument=lambda n: 1_000 * (n + 1))
            told[f"fan-out{suffix}"] = spend(fan, rounds=rounds, steps=FAN, argument=lambda n: 100_000 + 1_000 * n)
            if not suffix:
                told["chain, known"] = spend(chain, rounds=rounds, steps=STEPS, argument=lambda n: 0)
                told["fan-out, known"] = spend(fan, rounds=rounds, steps=FAN, argument=lambda n: 100_000)
                told["chain, on record"] = spend(record, rounds=rounds, steps=STEPS, argument=lambda n: 500_000 + 1_000 * n)
                told["chain, on record, known"] = spend(record, rounds=rounds, steps=STEPS, argument=lambda n: 0)
    return told


def run_ray(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Ours on a Ray cluster of this machine, and plain Ray tasks on the same cluster, which keep nothing."""
    import ray

    (folder / "tidewheel.toml").write_text('project = "bench"\n[workspace.local]\nexecutor = "ray"\n')
    (folder / "ray_flow.py").write_text(FLOW)
    sys.path.insert(0, str(folder))
    flow = importlib.import_module("ray_flow")
    with open_workspace(folder) as workspace:
        session = Session(
            workspace.ledger,
            workspace.artifacts,
            fingerprinter=workspace.fingerprinter,
            actor="bench",
            executor=workspace.executor,
        )

        def chain(x: int) -> object:
            with session.active():
                return flow.chain(x)

        def fan(x: int) -> object:
            with session.active():
                return flow.fan(x)

        add = ray.remote(lambda x: x + 1)

        def raw_chain(x: int) -> int:
            for _ in range(STEPS):
                x = ray.get(add.remote(x))
            return x

        def raw_fan(x: int) -> int:
            return sum(ray.get([add.remote(x + n) for n in range(FAN)]))

        raw_fan(0)
        fan(-1_000)
        ours = {
            "chain, ray": spend(chain, rounds=rounds, steps=STEPS, argument=lambda n: 1_000 * (n + 1)),
            "fan-out, ray": spend(fan, rounds=rounds, steps=FAN, argument=lambda n: 100_000 + 1_000 * n),
        }
        raw = {
            "chain, ray": spend(raw_chain, rounds=rounds, steps=STEPS, argument=lambda n: 1_000 * n),
            "fan-out, ray": spend(raw_fan, rounds=rounds, steps=FAN, argument=lambda n: 1_000 * n),
        }
    return {"ours": ours, "Ray": raw}


def run_limit(folder: Path, rounds: int) -> dict[str, float]:
    """A hash, a row and a file a step, each step in a transaction of its own."""
    connection = sqlite3.connect(folder / "limit.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE builds (recipe TEXT PRIMARY KEY, content TEXT)")

    def chain(x: int) -> int:
        for _ in range(STEPS):
            recipe = hashlib.blake2b(f"add {x}".encode()).hexdigest()
            x += 1
            data = str(x).encode()
            content = hashlib.blake2b(data).hexdigest()
            part, whole = folder / f"{content}.part", folder / content
            part.write_bytes(data)
            part.rename(whole)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO builds VALUES (?, ?)", (recipe, content))
            connection.execute("COMMIT")
        return x

    return {"chain": spend(chain, rounds=rounds, steps=STEPS, argument=lambda n: 1_000 * n)}


def run_peer(name: str, folder: Path) -> dict[str, float]:
    """A peer in its own environment; empty where it cannot be had."""
    requirements, text = PEERS[name]
    python = ensure_environment(name.lower(), requirements)
    if python is None:
        return {}
    (folder / f"{name}.py").write_text(text)
    quiet = {
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "DAGSTER_HOME": "",
        "DO_NOT_TRACK": "1",
        "ZENML_CONFIG_PATH": str(folder / "zenml"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        "METAFLOW_USER": "bench",
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "metaflow"),
    }
    environment = {key: value for key, value in ({**os.environ, **quiet}).items() if value}
    done = subprocess.run(
        [str(python), str(folder / f"{name}.py")], capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    for line in done.stdout.splitlines():
        if line.startswith("TOLD"):
            found: dict[str, float] = json.loads(line.removeprefix("TOLD"))
            return found
    print(f"{name} is left out: {done.stderr[-1_500:]}", file=sys.stderr)
    return {}


def main() -> int:
    """Run all, and print milliseconds a step with the ratio to ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ray", action="store_true", help="also on a Ray cluster of this machine, beside plain Ray tasks")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ours").mkdir()
        ours = run_ours(folder / "ours", asked.rounds)
        on_ray: dict[str, dict[str, float]] = {}
        if asked.ray:
            (folder / "ray").mkdir()
            on_ray = run_ray(folder / "ray", asked.rounds)
            ours |= on_ray["ours"]
        for work, took in ours.items():
            print(f"{'ours':<12}{work:<28}{took:9.3f} ms a step")
        others = {"raw limit": run_limit(folder, asked.rounds)}
        others |= {"Ray": on_ray["Ray"]} if on_ray else {}
        others |= {peer: run_peer(peer, folder) for peer in asked.peers}
        for peer, told in others.items():
            for work, took in told.items():
                mine = ours.get(work)
                ratio = f"{took / mine:9.1f} times ours" if mine else ""
                print(f"{peer:<12}{work:<28}{took:9.3f} ms a step {ratio}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
