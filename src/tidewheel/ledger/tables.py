"""Tables of the ledger."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from tidewheel.database.tables import metadata

nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),  # lower case: what a search looks through
    Column("seen_at", BigInteger, nullable=False),
)

recipes = Table(
    "recipes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("components", Text, nullable=False),  # JSON: name -> [value, where, note]
    Column("created_at", BigInteger, nullable=False),
)

recipe_nodes = Table(  # two nodes can have one recipe: a recipe does not hold the node's name
    "recipe_nodes",
    metadata,
    Column("recipe", Text, ForeignKey("recipes.digest"), primary_key=True),
    Column("node", Text, ForeignKey("nodes.id"), primary_key=True),
    Index(None, "node"),
)

recipe_upstreams = Table(  # what the components ``upstream:`` stand for, for lineage in both directions
    "recipe_upstreams",
    metadata,
    Column("recipe", Text, ForeignKey("recipes.digest"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("content", Text, primary_key=True),  # several, where they are equal in the columns that are used
    Index(None, "content", "node"),
)

builds = Table(
    "builds",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("live", Text),  # the recipe; empty once the build is retired, so that at most one build of a recipe lives
    Column("node", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("output", LargeBinary, nullable=False),
    Column("trace", Text, nullable=False),  # JSON: [[kind, name, value], ...]
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("retired", Text),  # why, and by whom
    Column("cpu_seconds", Float),
    Column("cost", Float),  # by the rates of the day on which it was built
    UniqueConstraint("id"),
    UniqueConstraint("live"),
    Index(None, "node", "number"),
    Index(None, "content"),
)

trails = Table(  # what was asked for after a recipe, so that a pipeline that runs again is looked up at once
    "trails",
    metadata,
    Column("first", Text, primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("recipe", Text, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

pointers = Table(
    "pointers",
    metadata,
    Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("recipe", Text, nullable=False),
    Index(None, "recipe"),
)

moves = Table(
    "moves",
    metadata,
    Column("environment", Text, ForeignKey("environments.name"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changes", Text, nullable=False),  # JSON: node -> [old, new]
)

memory = Table(
    "ledger_memory",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("remembered_at", BigInteger, nullable=False),
)
