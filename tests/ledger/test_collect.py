"""What is reached, against a brute force over the same random world."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tidewheel.clock import DAY, Micros
from tidewheel.database.open import Database
from tidewheel.digest import Digest, digest
from tidewheel.fingerprint.recipe import Component, Recipe
from tidewheel.ledger.collect import Retention, mark, retire
from tidewheel.ledger.definition import NodeId, node_id
from tidewheel.ledger.record import Build, Ledger

pytestmark = pytest.mark.slow

NOW = Micros(1_000 * DAY)
KEPT = Retention(moves=2, span=Micros(10 * DAY))


@dataclass
class Made:
    """A build of the random world, as the brute force knows it."""

    number: int
    recipe: Recipe
    content: Digest
    blobs: set[Digest]
    uses: set[int]
    young: bool


@dataclass
class World:
    """A ledger, and beside it the same facts as plain values."""

    draw: random.Random
    made: list[Made] = field(default_factory=list)
    trails: list[list[int]] = field(default_factory=list)
    rooted: set[int] = field(default_factory=set)
    far: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = Micros(0)
        self.database = Database.open("sqlite://")
        self.ledger = Ledger(self.database, lambda: self.now)

    def build(self, number: int) -> None:
        uses = set(self.draw.sample(range(number), self.draw.randint(0, min(2, number))))
        parts = {f"upstream:step:n{one}": Component(self.made[one].content) for one in uses}
        recipe = Recipe("step", {"param:n": Component(str(number)), **parts})
        blobs = {digest(["blob", self.draw.randint(0, 30)]) for _ in range(self.draw.randint(0, 3))}
        output = '{{"parts": [{}]}}'.format(",".join(f'"{blob}"' for blob in blobs))
        if self.draw.random() < 0.3:  # where a table is can be written down in a blob of its own
            place = digest(["place", number])
            self.far[place] = output.encode()
            output = f'{{"$":"Table","place":{{"$":"blob","v":"{place}"}}}}'
            blobs.add(place)
        content = digest(["content", self.draw.randint(0, number)])
        young = self.draw.random() < 0.15
        ended = Micros(NOW - (DAY if young else 100 * DAY))
        node = node_id("step", f"n{number}")
        self.ledger.record_build(
            Build(recipe.digest, node, content, output.encode(), (), ended, ended, "ann", f"b{number}"), recipe
        )
        self.made.append(Made(number, recipe, content, blobs, uses, young))

    def move(self, age: int, environment: str) -> set[int]:
        """One move of an environment; the builds that it names, before or after."""
        self.now = Micros(NOW - age * DAY)
        before = self.ledger.environment(environment)
        node = node_id("step", f"p{self.draw.randint(0, 2)}")
        new = self.draw.choice([None, *self.made])
        wanted: dict[NodeId, Digest | None] = {node: None if new is None else new.recipe.digest}
        self.ledger.move(environment, wanted, expected=before.version, actor="ann", reason="")
        old = before.pointers.get(node)
        named = {one.number for one in self.made if one.recipe.digest == old}
        if old == wanted[node]:
            return set()
        return named | ({new.number} if new is not None else set())

    def expected(self) -> set[int]:
        """Numbers of the builds that are reached, by going over everything until nothing changes."""
        kept = {one.number for one in self.made if one.young} | self.rooted
        while True:
            more = set(kept)
            for one in self.made:
                contents = {self.made[use].content for use in one.uses} | {one.content}
                if one.number in kept:
                    more |= {other.number for other in self.made if other.content in contents}
            for trail in self.trails:
                if kept & set(trail):
                    more |= set(trail)
            if more == kept:
                return kept
            kept = more


def random_world(seed: int) -> World:
    world = World(random.Random(seed))
    for number in range(world.draw.randint(3, 25)):
        world.build(number)
    for environment in ("dev", "prod"):
        ages = sorted((world.draw.randint(1, 60) for _ in range(world.draw.randint(0, 6))), reverse=True)
        named = [(age, world.move(age, environment)) for age in ages]
        for place, (age, numbers) in enumerate(reversed(named)):
            if place < KEPT.moves or age <= 10:
                world.rooted |= numbers
        pointed = set(world.ledger.environment(environment).pointers.values())
        world.rooted |= {one.number for one in world.made if one.recipe.digest in pointed}
    for _ in range(world.draw.randint(0, 3)):
        steps = world.draw.sample(range(len(world.made)), min(len(world.made), world.draw.randint(1, 3)))
        world.trails = [trail for trail in world.trails if trail[0] != steps[0]] + [steps]
        world.ledger.trails.put([world.made[one].recipe.digest for one in steps])
    if world.draw.random() < 0.5:  # what some other noun names is kept, whoever it is
        named_elsewhere = world.draw.choice(world.made)
        world.ledger.remember("note", f"see {named_elsewhere.recipe.digest}".encode())
        world.rooted.add(named_elsewhere.number)
    world.ledger.remember("garbage:since", f"{digest('content')} {world.made[0].recipe.digest}".encode())
    return world


@pytest.mark.parametrize("seed", range(24))
def test_what_is_reached_is_what_brute_force_reaches(seed: int) -> None:
    world = random_world(seed)
    expected = world.expected()
    with world.database.write() as connection:
        marked = mark(connection, KEPT, now=NOW, read=world.far.get)
        retire(connection, marked.unreached, actor="gc", at=NOW)
    assert {one.id for one in marked.unreached} == {f"b{one.number}" for one in world.made if one.number not in expected}
    blobs = {blob for one in world.made if one.number in expected for blob in one.blobs}
    assert blobs <= marked.reached
    assert not ({blob for one in world.made for blob in one.blobs} - blobs) & marked.reached
    for one in world.made:
        assert (world.ledger.find_build(one.recipe.digest) is not None) == (one.number in expected)
        assert world.ledger.builds_like(f"b{one.number}")  # the record stays
    with world.database.write() as connection:
        again = mark(connection, KEPT, now=NOW, read=world.far.get)
    assert not again.unreached
    assert {blob for blob in again.reached if blob in blobs} == blobs
    world.database.close()
