"""The feature server over HTTP: ours, three minimal servers with the same answer, and ``feast serve``, in one run.

20 look-ups of 64-bit floats for 1, 10 and 100 entities, on one worker and 16 connections that stay open, asked by one process
with raw sockets. The minimal servers: *ahead* sends bytes that were made ahead; *by hand* reads the request, gets the rows out
of LMDB, takes them apart with ``struct`` and writes the same JSON by msgspec, both with httptools under uvloop and nothing
between; *ordinary* does the same as an ASGI application under uvicorn, which is what one writes who writes a small server (an
environment of its own, made on demand; left out when it cannot be had). Rounds are interleaved; the median counts. CPU
microseconds of a request are those of the server, and say more than requests a second where the machine has other work.

``--seconds`` of each measurement, ``--rounds``, ``--no-feast``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httptools
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
from peers import FEAST, ensure_environment

UVICORN = ("uvicorn[standard]>=0.38", "lmdb", "msgspec")

ENTITIES, FEATURES, CONNECTIONS = 2_000, 20, 16
SIZES = (1, 10, 100)
NAMES = [f"f{i:02}" for i in range(FEATURES)]
ROW = struct.Struct(f"<q{FEATURES}d")
DEFINITIONS = """
import tidewheel as tw

facts = tw.source("facts", "facts.parquet", time="ts")


@tw.features(facts, by=tw.entity("user", uid=int))
class Facts:
"""
FEAST_DEFINITIONS = """
from datetime import timedelta
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

user = Entity(name="user", join_keys=["uid"], value_type=ValueType.INT64)
facts = FeatureView(
    name="facts", entities=[user], ttl=timedelta(days=3650), schema=[Field(name=f"f{i:02}", dtype=Float64) for i in range(20)],
    source=FileSource(path="facts.parquet", timestamp_field="ts"),
)
"""
ORDINARY = """
import json, socket, struct
from datetime import UTC, datetime
import lmdb, msgspec, uvicorn

ROW = struct.Struct("<q20d")
NAMES = [f"f{i:02}" for i in range(20)]
environment = lmdb.open("hand.lmdb", readonly=True, lock=False)
decode = msgspec.json.Decoder(dict[str, list[dict[str, int]]]).decode
encode = msgspec.json.Encoder().encode


async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    values, statuses, times = [], [], []
    with environment.begin() as transaction:
        for row in decode(body)["rows"]:
            ts, *found = ROW.unpack(transaction.get(b"%d" % row["uid"]))
            values.append(found)
            statuses.append(["PRESENT"] * 20)
            times.append([datetime.fromtimestamp(ts / 1e6, UTC)] * 20)
    told = {"service": "facts20", "names": NAMES, "at": datetime.now(UTC)}
    answer = encode({**told, "values": values, "statuses": statuses, "event_times": times})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


listening = socket.socket()
listening.bind(("127.0.0.1", 0))
print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
server.run(sockets=[listening])
"""
FEAST_STORE = """
project: bench
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""


# ── data ─────────────────────────────────────────────────────────────────────────────────────────


def make_data(folder: Path) -> tuple[int, np.ndarray]:
    """One row per entity, a minute old; the file, our project, and the time of the rows."""
    draw = np.random.default_rng(5)
    values = draw.normal(100, 30, (ENTITIES, FEATURES)).round(4)
    ts = (int(time.time()) - 60) * 1_000_000
    columns = {"uid": np.arange(ENTITIES), "ts": pa.array([ts] * ENTITIES, pa.timestamp("us", "UTC"))}
    pq.write_table(pa.table(columns | dict(zip(NAMES, values.T, strict=True))), folder / "facts.parquet")
    (folder / "tidewheel.toml").write_text('project = "bench"\ndefinitions = ["definitions"]\n')
    lookups = "".join(f'    {name} = tw.lookup("{name}")\n' for name in NAMES)
    (folder / "definitions.py").write_text(DEFINITIONS + lookups + '\n\nfacts20 = tw.service("facts20", Facts)\n')
    return ts, values


def request_of(path: str, sent: object) -> bytes:
    """A request's bytes."""
    body = json.dumps(sent).encode()
    return b"POST %b HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


# ── the minimal servers ──────────────────────────────────────────────────────────────────────────


class Minimal(asyncio.Protocol):
    """As little as a server can do."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer, self._body = answer, b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body = self._answer(self._body)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)  # type: ignore[attr-defined]


def ahead(folder: Path) -> Callable[[bytes], bytes]:
    """Answers made ahead, by the size of the request."""
    made = {int(path.stem): path.read_bytes() for path in folder.glob("*.answer")}
    decode = msgspec.json.Decoder(dict[str, list[dict[str, int]]]).decode
    return lambda body: made[len(decode(body)["rows"])]


def by_hand(folder: Path) -> Callable[[bytes], bytes]:
    """Rows out of LMDB, and the same answer."""
    import lmdb

    environment = lmdb.open(str(folder / "hand.lmdb"), readonly=True, lock=False)
    decode = msgspec.json.Decoder(dict[str, list[dict[str, int]]]).decode
    encode = msgspec.json.Encoder().encode

    def answer(body: bytes) -> bytes:
        from datetime import UTC, datetime

        values, statuses, times = [], [], []
        with environment.begin() as transaction:
            for row in decode(body)["rows"]:
                ts, *found = ROW.unpack(transaction.get(b"%d" % row["uid"]))
                values.append(found)
                statuses.append(["PRESENT"] * FEATURES)
                times.append([datetime.fromtimestamp(ts / 1e6, UTC)] * FEATURES)
        told = {"service": "facts20", "names": NAMES, "at": datetime.now(UTC)}
        return encode({**told, "values": values, "statuses": statuses, "event_times": times})

    return answer


def serve_minimal(kind: str, folder: Path) -> None:
    """A minimal server; its port is the first line of stdout."""
    answer = ahead(folder) if kind == "ahead" else by_hand(folder)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Minimal(answer), "127.0.0.1", 0)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()

    uvloop.run(run())


# ── the load ─────────────────────────────────────────────────────────────────────────────────────


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, requests: Iterator[bytes], until: float, seconds: list[float]) -> None:
        self._requests, self._until, self._seconds = requests, until, seconds
        self._parser = httptools.HttpResponseParser(self)
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():  # servers that renew their workers hang up; the caller connects again
            self.ended.set_result(None)

    def _ask(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(next(self._requests))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise SystemExit(f"status {self._parser.get_status_code()}")
        now = time.perf_counter()
        self._seconds.append(now - self._started)
        if now < self._until:
            self._ask()
        else:
            self._transport.close()


def load(port: int, requests: list[bytes], seconds: float) -> list[float]:
    """Seconds of each request that was answered."""

    async def run() -> list[float]:
        took: list[float] = []
        until = time.perf_counter() + seconds

        def turn(start: int) -> Iterator[bytes]:
            while True:
                start += 1
                yield requests[start % len(requests)]

        async def ask(number: int) -> None:
            requests_of_one = turn(number * 7)
            while time.perf_counter() < until:
                try:
                    made = await asyncio.get_running_loop().create_connection(
                        lambda: Asking(requests_of_one, until, took), "127.0.0.1", port
                    )
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                await made[1].ended

        await asyncio.gather(*(ask(number) for number in range(CONNECTIONS)))
        return took

    return uvloop.run(run())


# ── the servers ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def server(command: list[str], folder: Path, **environment: str) -> Iterator[tuple[int, int]]:
    """A server that says its port on the first line of stdout: the port, and the process."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=dict(os.environ) | environment)
    assert process.stdout is not None
    try:
        yield int(json.loads(process.stdout.readline())["port"]), process.pid
    finally:
        process.terminate()
        process.wait()


def await_port(port: int) -> None:
    """Return when a server accepts connections; the load begins at once."""
    with contextlib.suppress(OSError):
        for _ in range(300):
            with contextlib.suppress(ConnectionError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.1)


@contextmanager
def feast(folder: Path) -> Iterator[int | None]:
    """``feast serve`` with one worker on SQLite, when it can be installed."""
    python = ensure_environment("feast", FEAST)
    if python is None:
        yield None
        return
    (folder / "feature_store.yaml").write_text(FEAST_STORE)
    (folder / "repo.py").write_text(FEAST_DEFINITIONS)
    (folder / ".feastignore").write_text("definitions.py\n")
    command = [str(python.parent / "feast")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = dict(os.environ) | {"FEAST_USAGE": "False"}
    subprocess.run([*command, "apply"], cwd=folder, check=True, env=environment, **quiet)  # type: ignore[call-overload]
    end = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    subprocess.run(  # type: ignore[call-overload]
        [*command, "materialize", "2020-01-01T00:00:00", end], cwd=folder, check=True, env=environment, **quiet
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(  # type: ignore[call-overload]
        [
            *command,
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--max-requests",
            "0",
            "--no-access-log",
        ],
        cwd=folder,
        env=environment,
        start_new_session=True,
        **quiet,
    )
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def materialize(folder: Path, ts: int, values: np.ndarray) -> None:
    """Our store, and the rows by hand."""
    import lmdb

    from tidewheel.project.load import load_project
    from tidewheel.project.open import open_workspace
    from tidewheel.project.prepare_services import list_views

    project = load_project(folder)
    with open_workspace(folder) as workspace:
        workspace.materializer.materialize(list_views(project)["Facts"], until=workspace.clock())
    with lmdb.open(str(folder / "hand.lmdb"), map_size=1 << 28) as environment, environment.begin(write=True) as transaction:
        for uid, row in enumerate(values.tolist()):
            transaction.put(b"%d" % uid, ROW.pack(ts, *row))


def main() -> None:
    """Print requests a second, latencies and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-feast", action="store_true")
    parser.add_argument("--minimal", choices=["ahead", "by_hand"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.minimal:
        serve_minimal(given.minimal, Path.cwd())
        return
    folder = Path(tempfile.mkdtemp(prefix="tidewheel-server-"))
    ts, values = make_data(folder)
    materialize(folder, ts, values)
    draw = np.random.default_rng(11)
    asked = {size: [draw.integers(0, ENTITIES, size).tolist() for _ in range(200)] for size in SIZES}
    ours = {n: [request_of("/features/facts20", {"rows": [{"uid": uid} for uid in ids]}) for ids in asked[n]] for n in SIZES}
    theirs = {
        n: [
            request_of("/get-online-features", {"features": [f"facts:{name}" for name in NAMES], "entities": {"uid": ids}})
            for ids in asked[n]
        ]
        for n in SIZES
    }
    with ExitStack() as stack:
        serving = [sys.executable, "-m", "tidewheel", "serve", "--features", "--port", "0", "--json"]
        port, pid = stack.enter_context(server(serving, folder))
        ports, pids = {"tidewheel": port}, {"tidewheel": pid}
        for size in SIZES:
            body = ours[size][0].partition(b"\r\n\r\n")[2]
            asking = urllib.request.Request(f"http://127.0.0.1:{ports['tidewheel']}/features/facts20", body)
            with urllib.request.urlopen(asking) as answered:
                (folder / f"{size}.answer").write_bytes(answered.read())
        for kind in ("ahead", "by_hand"):
            minimal = [sys.executable, str(Path(__file__).resolve()), "--minimal", kind]
            name = f"minimal, {kind.replace('_', ' ')}"
            ports[name], pids[name] = stack.enter_context(server(minimal, folder))
        ordinary = ensure_environment("uvicorn", UVICORN)
        if ordinary is not None:
            name = "minimal, ordinary"
            ports[name], pids[name] = stack.enter_context(server([str(ordinary), "-c", ORDINARY], folder))
            await_port(ports[name])
        if not given.no_feast:
            theirs_port = stack.enter_context(feast(folder))
            if theirs_port is not None:
                ports["feast serve"] = theirs_port
        for size in SIZES:
            asked_of = {name: theirs[size] if name == "feast serve" else ours[size] for name in ports}
            measure(size, ports, pids, asked=asked_of, seconds=given.seconds, rounds=given.rounds)
    print("load of the machine", os.getloadavg()[0])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    size: int, ports: dict[str, int], pids: dict[str, int], *, asked: dict[str, list[bytes]], seconds: float, rounds: int
) -> None:
    """One size, all servers in turn."""
    spent: dict[str, list[float]] = {name: [] for name in pids}
    speed: dict[str, list[float]] = {name: [] for name in ports}
    took: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            used = cpu_seconds(pids[name]) if name in pids else 0.0
            started = time.perf_counter()
            found = load(port, asked[name], seconds)
            speed[name].append(len(found) / (time.perf_counter() - started))
            took[name] += found
            if name in pids:
                spent[name].append((cpu_seconds(pids[name]) - used) / max(1, len(found)) * 1e6)
    own = statistics.median(speed["tidewheel"])
    print(f"{size} entities x {FEATURES} features, {CONNECTIONS} connections")
    for name in ports:
        ranked = sorted(took[name])
        p50, p99 = (ranked[int(q * (len(ranked) - 1))] * 1e3 for q in (0.5, 0.99))
        median = statistics.median(speed[name])
        told = "" if name == "tidewheel" else f"   ours is {own / median:.2f} times as quick"
        cpu = f"   {statistics.median(spent[name]):5.0f} us CPU" if name in spent else ""
        print(f"  {name:18} {median:8.0f} req/s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms{cpu}{told}")


if __name__ == "__main__":
    main()
