"""Make a new project: small, with data of its own, and running from the first command."""

from __future__ import annotations

import csv
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tidewheel.errors import AlreadyExists, Invalid
from tidewheel.project.load import FILE

_DEFINITIONS = '''"""Features and a model of {name}. Edit this file, then: tidewheel plan."""

import tidewheel as tw

shop = tw.entity("shop", shop_id=int)

orders = tw.source("orders", "data/*.csv", time="paid_time", event_id="order_id", owner="me")


@tw.features(orders, by=shop)
class ShopLately:
    """How a shop has sold lately."""

    orders_1d = tw.count("1d")
    amount_1d = tw.mean("amount", "1d")
    amount_7d = tw.mean("amount", "7d")


inputs = tw.service("inputs", ShopLately, tw.request(items=int))

basket = tw.training_set(
    "basket", spine=tw.spine(orders, time="order_time"), label="amount", features=inputs, split=tw.by_time(test="7d")
)


@tw.model("amount", data=basket, metric="mae")
def amount(train, test, run):
    """What an order will come to, when it is placed."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(), LinearRegression()).fit(train.x, train.y)


gate = tw.gate(amount, tw.beats("champion", "mae"))
api = tw.deployment("amount", model=amount)
watch = tw.monitor(api)
'''


def initialize(folder: Path) -> Path:
    """Write a new project into a folder that does not exist or is empty; answer the folder.

    Raises
    ------
    AlreadyExists
        When the folder holds anything.
    """
    name = folder.resolve().name
    package = re.sub(r"\W", "_", name)
    if not package.isidentifier():
        raise Invalid(f"{name!r} cannot name a Python package", where=str(folder), fix="start with a letter")
    if folder.exists() and any(folder.iterdir()):
        raise AlreadyExists(f"{folder} is not empty", where=str(folder), fix="choose another name")
    (folder / package).mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / FILE).write_text(f'project = "{package}"\nenvironment = "dev"\n')
    (folder / ".gitignore").write_text(".tidewheel/\n__pycache__/\n")
    (folder / package / "__init__.py").write_text(f'"""The {name} project."""\n')
    (folder / package / "definitions.py").write_text(_DEFINITIONS.format(name=name))
    _write_orders(folder / "data" / "orders.csv")
    return folder.resolve()


def _write_orders(path: Path) -> None:
    """Sixty days of made-up orders of five shops, the same every time."""
    draw = random.Random(7)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["order_id", "order_time", "paid_time", "shop_id", "items", "amount"])
        for number in range(3_000):
            placed = start + timedelta(minutes=28.8 * number + draw.uniform(0, 20))
            paid = placed + timedelta(minutes=draw.uniform(1, 90))
            shop, items = draw.randint(1, 5), draw.randint(1, 6)
            amount = round(items * (4 + 2 * shop) + draw.gauss(0, 3), 2)
            out.writerow([f"o{number}", placed.isoformat(), paid.isoformat(), shop, items, amount])
