"""What code uses that cannot be followed: files that C++ opens, the network, the clock, randomness without a seed."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

from tidewheel.artifacts.file import File
from tidewheel.fingerprint.normal import Chain, Normal
from tidewheel.fingerprint.reach import Reached, Unloaded

Kind = Literal["reader", "network", "process", "clock", "time", "random", "opaque", "state", "file", "environment", "identity"]
"""The last four only count where an answer must come from arguments alone, see :mod:`tidewheel.fingerprint.purity`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One use of something that cannot be followed.

    Examples
    --------
    >>> str(Finding("clock", "time.time", "taxi/eta.py:12"))
    'taxi/eta.py:12: time.time reads the clock, which no recipe can hold'
    """

    kind: Kind
    name: str
    where: str | None

    @property
    def message(self) -> str:
        """What is wrong with it."""
        return f"{self.name} {_MESSAGES[self.kind]}"

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


_MESSAGES: Mapping[Kind, str] = {
    "reader": "opens files where Python does not see it: hand it a tw.File or a tw.Table, or name the files in reads=",
    "network": "reads the network, which cannot be followed: say for how long an answer holds, fresh='1h'",
    "process": "runs in another process, which cannot be followed: name what it reads in reads=, an empty list for nothing",
    "time": "tells about a file what cannot be followed, its times or the size of an entry of a listing: read what is in it",
    "clock": "reads the clock, which no recipe can hold",
    "opaque": "holds something whose content cannot be seen: build it inside of the function that uses it",
    "random": "is random without a seed: give it one",
    "state": "can change from call to call, and an answer must not depend on the calls before",
    "file": "reads or writes outside of the process",
    "environment": "reads settings of the process, which differ where it trains and where it serves",
    "identity": "is another one in each process",
}
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("reader", re.compile(r"duckdb(\.\w+)*\.(connect|sql|query|execute|read_\w+|from_\w+)")),
    ("reader", re.compile(r"_?polars(\.\w+)*\.(read|scan)_\w+")),
    (
        "reader",
        re.compile(r"pyarrow\.(parquet|dataset|csv|json|feather|orc|_\w+)(\.\w+)*\.(read_\w+|dataset|open_\w+|ParquetFile)"),
    ),
    ("reader", re.compile(r"pandas(\.\w+)*\.read_(parquet|feather|orc)")),
    ("reader", re.compile(r"(xgboost(\.\w+)*\.\w*DMatrix|lightgbm(\.\w+)*\.Dataset\.from_file)")),
    ("reader", re.compile(r"(xgboost|lightgbm)(\.\w+)*\.Booster|onnxruntime(\.\w+)*\.InferenceSession|catboost(\.\w+)*\.Pool")),
    ("reader", re.compile(r"(h5py|netCDF4|tables|rasterio|fiona|pyogrio|geopandas|cv2|soundfile|lmdb|dbm|shelve)\.\w.*")),
    ("reader", re.compile(r"posix\.(stat|lstat|access|scandir)")),
    ("network", re.compile(r"(requests|httpx|aiohttp|urllib3|socket|http\.client|ftplib|smtplib)\.\w.*")),
    ("network", re.compile(r"urllib\.request\.(urlopen|urlretrieve)")),
    ("process", re.compile(r"(subprocess\.\w+|(os|posix)\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*))")),
    ("process", re.compile(r"multiprocessing(\.\w+)*\.(Pool|Process|Manager|get_context)|joblib(\.\w+)*\.Parallel")),
    ("process", re.compile(r"concurrent\.futures(\.\w+)*\.ProcessPoolExecutor|asyncio(\.\w+)*\.create_subprocess_\w+")),
    ("time", re.compile(r"os\.stat_result\.\w+|(os\.path|genericpath|posixpath)\.get[acm]time")),
    ("clock", re.compile(r"time\.(time|time_ns|localtime|gmtime|ctime)|datetime\.(datetime|date)\.(now|utcnow|today)")),
    (
        "random",
        re.compile(r"random\.(?!Random$|seed$|getstate$|setstate$)[a-z]\w*|(numpy|numpy\.random\.mtrand)\.random\.[a-z]\w*"),
    ),
    ("random", re.compile(r"uuid\.uuid[14]|secrets\.\w+|os\.urandom|random\.SystemRandom.*")),
)
_HARMLESS = frozenset({"numpy.random.seed", "numpy.random.default_rng", "numpy.random.get_state", "subprocess.PIPE"})


def findings(reached: Reached) -> list[Finding]:
    """What a walk came across that cannot be followed, in order of place.

    A call that seeds a generator of a module allows that module's random functions.
    """
    names = [
        (name, line, unit.where)
        for _, unit, spaces in reached.units
        for name, line in names_of(_not_handed(unit.normal, spaces), spaces)
    ]
    used = {name for name, _, _ in names}
    bare = {name for _, unit, spaces in reached.units for name, _ in names_of(dict.fromkeys(unit.normal.bare_calls, 1), spaces)}
    names += [(name, 0, unit.where) for _, unit, _ in reached.units for name in _times(unit.normal.attributes)]
    seeded = {name.rpartition(".")[0] for name in used if name in ("random.seed", "numpy.random.seed")}
    found = {Finding("opaque", name, where) for name, where in reached.opaque}
    for name, line, where in names:
        place = f"{where.rpartition(':')[0]}:{line}" if where and line else where
        if name == "numpy.random.default_rng" and name in bare:
            found.add(Finding("random", name, place))
        if name in _HARMLESS or name.rpartition(".")[0] in seeded:
            continue
        for kind, pattern in _PATTERNS:
            if pattern.fullmatch(name):
                found.add(Finding(kind, name, place))
                break
    return sorted(found, key=lambda each: (each.where or "", each.name))


_FILE_TIMES = frozenset(f"st_{which}time{unit}" for which in "amc" for unit in ("", "_ns"))


def _times(attributes: Set[str]) -> list[str]:
    """Attributes that tell a file's time, or, of an entry of a listing, its size."""
    found = sorted(attributes & _FILE_TIMES)
    return [f"os.stat_result.{name}" for name in (*found, *(["st_size"] if {"scandir", "st_size"} <= attributes else []))]


def _not_handed(normal: Normal, spaces: tuple[Mapping[str, object], ...]) -> Mapping[Chain, int]:
    """Names by line, without those that are only ever called with a typed handle: what that points at is followed."""
    safe = {
        chain
        for chain, handles in normal.handed.items()
        if len(handles) == normal.mentions[chain] and all(_is_file(handle, normal, spaces) for handle in handles)
    }
    return {chain: line for chain, line in normal.lines.items() if chain not in safe} if safe else normal.lines


def _is_file(handle: Chain, normal: Normal, spaces: tuple[Mapping[str, object], ...]) -> bool:
    if not handle:
        return False
    if handle[-1] == "()":
        return _value(handle[:-1], spaces) is File
    kinds = normal.typed.get(handle[0]) if len(handle) == 1 else None
    if kinds is not None:
        return all(_value(kind, spaces) is File for kind in kinds)
    return isinstance(_value(handle, spaces), File)


def _value(chain: Chain, spaces: tuple[Mapping[str, object], ...]) -> object:
    """What a dotted name means, as far as it is known before the code runs."""
    for space in spaces:
        if chain and chain[0] in space:
            value = space[chain[0]]
            for name in chain[1:]:
                value = getattr(value, name, None) if isinstance(value, types.ModuleType) else None
            return value
    return None


def names_of(lines: Mapping[Chain, int], spaces: tuple[Mapping[str, object], ...]) -> list[tuple[str, int]]:
    """Full names of what some code uses, with the lines.

    Examples
    --------
    >>> names_of({("re", "compile"): 3}, ({"re": re},))
    [('re.compile', 3)]
    """
    found = []
    for chain, line in lines.items():
        for space in spaces:
            if chain[0] in space:
                found.append((".".join([_full_name(space[chain[0]]) or chain[0], *chain[1:]]), line))
                break
    return found


def _full_name(value: object) -> str | None:
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, Unloaded):
        return value.name
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.BuiltinFunctionType | types.MethodType) and type(owner).__module__ in (
        "random",
        "numpy.random.mtrand",
    ):
        # Functions of the random modules are methods of a hidden generator.
        return f"{type(owner).__module__.removesuffix('.mtrand')}.{value.__name__}"
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None
