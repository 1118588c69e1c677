"""Servers of a test's own, which it may kill and start again, with TLS if asked; on 127.0.0.1 only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

_POSTGRES = Path("/usr/lib/postgresql")
_PATIENCE_SECONDS = 30.0


def free_port() -> int:
    """A port that nobody listens on, nor on that 10,000 above it, where a node of a cluster talks to the others."""
    while True:
        with socket.socket() as free, socket.socket() as above, contextlib.suppress(OSError, OverflowError):
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
            above.bind(("127.0.0.1", port + 10_000))
            return port


def certify(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key, certificate = folder / "server.key", folder / "server.crt"
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    asked += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(asked, check=True, capture_output=True)
    key.chmod(0o600)
    return key, certificate


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that another user may be given: those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix="tidewheel-server-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


class RedisServer:
    """A Redis that keeps every write before it answers."""

    def __init__(self, folder: Path, *options: str, tls: tuple[Path, Path] | None = None) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed: .ci/servers.sh installs it")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._client: Callable[[], Redis] = lambda: Redis("127.0.0.1", self.port)
        places = ["--port", str(self.port)]
        if tls is not None:
            key, certificate = map(str, tls)
            self.url = f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={certificate}"
            self._client = lambda: Redis("127.0.0.1", self.port, ssl=True, ssl_ca_certs=certificate)
            places = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", certificate, "--tls-key-file", key]
            places += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._command = ["redis-server", "--bind", "127.0.0.1", *places, "--dir", str(folder), *kept, *options]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        _await(self._process, self._answers)

    def _answers(self) -> bool:
        with contextlib.closing(self._client()) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class PostgresServer:
    """A PostgreSQL that keeps every transaction before it answers."""

    def __init__(self, folder: Path, *, tls: tuple[Path, Path] | None = None) -> None:
        found = sorted(_POSTGRES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        if not found:
            pytest.skip("PostgreSQL is not installed: .ci/servers.sh installs it")
        self._bin, self._data, self.port = found[-1].parent, folder / "data", free_port()
        self._user = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
        self.url = f"postgresql://tidewheel@127.0.0.1:{self.port}/postgres"
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "shared_buffers": "16MB"}
        if tls is not None:
            self.url += f"?sslmode=verify-full&sslrootcert={tls[1]}"
            settings |= {"ssl": "on", "ssl_key_file": str(tls[0]), "ssl_cert_file": str(tls[1])}
        for path in (folder, *(tls or ())):
            if self._user is not None:
                shutil.chown(path, self._user)
        made = [str(self._bin / "initdb"), "-D", str(self._data), "-U", "tidewheel", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, user=self._user, cwd=folder)
        if tls is not None:
            (self._data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        self.start()

    def start(self) -> None:
        with (self._data.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, user=self._user, cwd=self._data.parent, start_new_session=True
            )
        _await(self._process, self._answers)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server and its children, which have sessions of their own."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self._process.wait()
        until = time.monotonic() + _PATIENCE_SECONDS
        while any(_lives(one) for one in children) and time.monotonic() < until:
            time.sleep(0.01)


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _await(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise AssertionError(f"the server does not answer: {process.args!r}")
        time.sleep(0.02)
