"""Full names of what cannot be followed."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Literal

from tidewheel.fingerprint.normal import ANY_NAME

Kind = Literal["reader", "network", "process", "clock", "time", "random", "opaque", "state", "file", "environment", "identity"]
"""The last four only count where an answer must come from arguments alone, see :mod:`tidewheel.fingerprint.purity`."""

_ARROW = (
    r"pyarrow\.(parquet|dataset|csv|json|feather|orc|ipc|_(?!fs)\w+)(\.\w+)*"
    r"\.(read_\w+|dataset|parquet_dataset|open_\w+|Parquet(File|Dataset)|ORCFile|RecordBatch(File|Stream)Reader)"
)
_FRAMES = (
    r"(pandas(\.\w+)*\.read_(parquet|feather|orc|hdf)|(cudf|daft|modin\.pandas|dask\.dataframe|ray\.data)(\.\w+)*\.read_\w+)"
)
_FORMATS = (
    r"(h5py|netCDF4|tables|rasterio|fiona|pyogrio|geopandas|cv2|soundfile|lmdb|dbm|shelve|deltalake|lance|pyiceberg|faiss"
    r"|sentencepiece|fasttext|connectorx|ibis|pyspark|vaex|datatable|av)\.\w.*"
)
_CLIENTS = (
    r"(requests|httpx|aiohttp|urllib3|socket|http\.client|ftplib|smtplib|imaplib|poplib|xmlrpc|psycopg2?|asyncpg|pymongo|redis"
    r"|pymysql|MySQLdb|pyodbc|oracledb|snowflake|pycurl|grpc|boto3|botocore|obstore|paramiko|websockets?|confluent_kafka|kafka"
    r"|adbc_driver_\w+|elasticsearch|trino|huggingface_hub)\.\w.*"
)
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("reader", re.compile(r"_?duckdb(\.\w+)*\.((?!typing$|functional$|\w*type$)[a-z]\w*|DuckDBPyConnection)")),
    ("reader", re.compile(r"_?polars(\.\w+)*\.((read|scan)_\w+|sql|SQLContext|deserialize)")),
    ("reader", re.compile(_ARROW)),
    ("reader", re.compile(r"pyarrow(\.lib)?\.(memory_map|MemoryMappedFile|OSFile|input_stream)|pyarrow\._?\w*fs\.\w.*")),
    ("reader", re.compile(_FRAMES)),
    ("reader", re.compile(r"(xgboost(\.\w+)*\.(\w*DMatrix|load_model)|lightgbm(\.\w+)*\.Dataset(\.from_file)?)")),
    ("reader", re.compile(r"(xgboost|lightgbm)(\.\w+)*\.Booster|onnxruntime(\.\w+)*\.InferenceSession|catboost(\.\w+)*\.Pool")),
    ("reader", re.compile(_FORMATS)),
    (
        "reader",
        re.compile(r"(safetensors(\.\w+)*\.(load_file|safe_open)|tokenizers(\.\w+)*\.from_file|xarray(\.\w+)*\.open_\w+)"),
    ),
    ("reader", re.compile(r"posix\.(stat|lstat|access|scandir|readlink)|datasets(\.\w+)*\.load_\w+")),
    ("network", re.compile(_CLIENTS)),
    (
        "network",
        re.compile(r"urllib\.request\.(urlopen|urlretrieve|build_opener|\w*Opener\w*)|asyncio(\.\w+)*\.open_\w+connection"),
    ),
    ("process", re.compile(r"(subprocess\.\w+|(os|posix)\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*))")),
    ("process", re.compile(r"multiprocessing(\.\w+)*\.(Pool|Process|Manager|get_context)|joblib(\.\w+)*\.Parallel")),
    ("process", re.compile(r"concurrent\.futures(\.\w+)*\.ProcessPoolExecutor|asyncio(\.\w+)*\.create_subprocess_\w+")),
    ("time", re.compile(r"os\.stat_result\.\w+|(os\.path|genericpath|posixpath)\.get[acm]time")),
    ("clock", re.compile(r"time\.(time|time_ns|localtime|gmtime|ctime|asctime|strftime|clock_gettime(_ns)?)")),
    (
        "clock",
        re.compile(r"datetime\.(datetime|date)\.(now|utcnow|today)|pandas(\.\w+)*\.(Timestamp|Period)\.(now|utcnow|today)"),
    ),
    (
        "clock",
        re.compile(r"(pendulum|arrow)(\.\w+)*\.(now|utcnow|today|yesterday|tomorrow)|email\.utils\.(localtime|formatdate)"),
    ),
    (
        "random",
        re.compile(r"random\.(?!Random$|seed$|getstate$|setstate$)[a-z]\w*|(numpy|numpy\.random\.mtrand)\.random\.[a-z]\w*"),
    ),
    (
        "random",
        re.compile(
            r"uuid\.uuid[14]|secrets\.\w+|(os|posix)\.(urandom|getrandom)|random\.SystemRandom.*|polars\.(sample|shuffle)"
        ),
    ),
    ("environment", re.compile(r"sys\.(argv|orig_argv|stdin)(\.\w+)*")),
)
HARMLESS = frozenset({"numpy.random.seed", "numpy.random.default_rng", "numpy.random.get_state", "subprocess.PIPE"})
UNSEEDED = frozenset(
    (
        *("random.Random", "random.seed", "numpy.random.seed", "numpy.random.default_rng"),
        *("numpy.random._generator.default_rng", "numpy.random.mtrand.RandomState", "numpy.random.RandomState"),
    )
)
"""Random when nothing, or ``None``, is handed over as the seed."""

SEEDERS = frozenset({"seed", "manual_seed", "set_seed", "seed_everything", "set_random_seed"})
NOW = re.compile(r"(pandas|numpy)(\.\w+)*\.(Timestamp|to_datetime|datetime64|Period)")
ENGINE = re.compile(r"sqlalchemy(\.\w+)*\.create_(async_)?engine")
ADDRESS = re.compile(
    r"(postgres|postgresql|mysql|mariadb|mssql|oracle|snowflake|bigquery|redshift|clickhouse|trino)(\+\w+)?://"
)
ATTACH = re.compile(r"\battach\s+(database\b|['\"?:])", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def kind_of(name: str) -> Kind | None:
    """What is wrong with what a full name means, if anything; with ``*`` as its last part, with any of what is in a module.

    Examples
    --------
    >>> kind_of("time.time"), kind_of("time.perf_counter"), kind_of("time.*")
    ('clock', None, 'clock')
    """
    if name.endswith(f".{ANY_NAME}"):
        module = sys.modules.get(name.removesuffix(f".{ANY_NAME}"))
        inside = vars(module) if module is not None else {"read_parquet": None, "connect": None, "time": None, "get": None}
        found = (kind_of(f"{name.removesuffix(ANY_NAME)}{each}") for each in inside if not each.startswith("_"))
        return next((kind for kind in found if kind is not None), None)
    return next((kind for kind, pattern in _PATTERNS if pattern.fullmatch(name)), None)
