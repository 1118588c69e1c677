"""A Ray cluster of two raylets on this machine, whose nodes do not see the folders that are hidden from them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tidewheel.testing.executor import wait_for

_STARTS = 4
"""How often a node is started that gave up: Ray waits 30 seconds for its own processes, too short on a busy machine."""
OBJECT_STORE_BYTES = 100 << 20


@dataclass(frozen=True)
class RayCluster:
    """Where to reach it, and whether the hidden folder really is hidden: not every machine allows a mount namespace."""

    hidden: Path
    is_hidden: bool
    address: str


_NEW_NETWORK = 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


@contextmanager
def network_of_its_own() -> Iterator[None]:
    """A network of nothing but 127.0.0.1, for this thread and all that it starts: Ray's sockets listen on every interface.

    Raises
    ------
    OSError
        Where the machine does not allow it.
    """
    system = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if system.unshare(_NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
                flags = struct.unpack("16sh", fcntl.ioctl(opened, _GET_FLAGS, struct.pack("16sh", b"lo", 0)))[1]
                fcntl.ioctl(opened, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP))
            yield
        finally:
            if system.setns(before.fileno(), _NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def ray_cluster(base: Path) -> Iterator[RayCluster]:
    """Start a head and another node, each with a folder of its own for temporary files."""
    hidden = base / "driver"
    hidden.mkdir()
    alone = _alone(hidden)
    # Ray's sockets have paths of at most 107 bytes, and pytest's folders are long.
    session = Path(tempfile.mkdtemp(prefix="tw-ray-"))
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        nodes.append(_start(alone, base / "head", "--head", "--port=0", f"--temp-dir={session}", "--include-dashboard=false"))
        address = wait_for(session / "ray_current_cluster").strip()
        nodes.append(_start(alone, base / "far", f"--address={address}"))
        yield RayCluster(hidden, bool(alone), address)
    finally:
        for node in reversed(nodes):
            _stop(node)
        shutil.rmtree(session, ignore_errors=True)


def _alone(hidden: Path) -> list[str]:
    """What hides a folder from a command."""
    script = f'mount -t tmpfs none {hidden} && exec "$@"'
    for flags in ("-m", "-Urm"):
        prefix = ["unshare", flags, "sh", "-c", script, "sh"]
        try:
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
                return prefix
        except FileNotFoundError:
            return []
    return []


def _start(alone: list[str], folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a node, again when it gave up, and wait until it is one."""
    (folder / "tmp").mkdir(parents=True)
    # Else the nodes would ask for a token where the home folder happens to have one.
    quiet = {"TMPDIR": str(folder / "tmp"), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    for _ in range(_STARTS):
        with (folder / "log").open("wb") as log:
            node = subprocess.Popen(
                [*alone, *command, f"--object-store-memory={OBJECT_STORE_BYTES}", *arguments],
                cwd=folder,
                env={**os.environ, **quiet},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while node.poll() is None and "Ray runtime started" not in (folder / "log").read_text():
            time.sleep(0.05)
        if node.poll() is None:
            return node
        _stop(node)
    raise OSError(f"Ray does not start: {(folder / 'log').read_text()[-2_000:]}")


def _stop(node: subprocess.Popen[bytes]) -> None:
    """End a node: `ray start --block` ends what it started; what is left is of its process group."""
    node.terminate()
    try:
        node.wait(20)
    except subprocess.TimeoutExpired:
        node.kill()
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
