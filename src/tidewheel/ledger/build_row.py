"""Builds as rows of the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidewheel.clock import Micros
from tidewheel.digest import Digest
from tidewheel.fingerprint.reads import Read
from tidewheel.ledger.build import Build
from tidewheel.ledger.definition import NodeId


def dump_build(build: Build) -> dict[str, object]:
    """The columns of a build that lives."""
    reads = json.dumps([[read.kind, read.name, read.value] for read in build.trace], separators=(",", ":"))
    return {
        "id": build.id,
        "recipe": build.recipe,
        "live": build.recipe,
        "node": build.node,
        "content": build.content,
        "output": build.output,
        "trace": reads,
        "started_at": build.started_at,
        "ended_at": build.ended_at,
        "actor": build.actor,
        "cpu_seconds": build.cpu_seconds,
        "cost": build.cost,
    }


def load_build(row: Mapping[Any, Any]) -> Build:
    """The build of a row of ``builds``, by column."""
    reads: Sequence[tuple[str, str, str | None]] = json.loads(row["trace"])
    return Build(
        recipe=Digest(row["recipe"]),
        node=NodeId(row["node"]),
        content=Digest(row["content"]),
        output=bytes(row["output"]),
        trace=tuple(Read(kind, name, value) for kind, name, value in reads),  # type: ignore[arg-type]  # as it was dumped
        started_at=Micros(row["started_at"]),
        ended_at=Micros(row["ended_at"]),
        actor=row["actor"],
        id=row["id"],
        cpu_seconds=row["cpu_seconds"],
        cost=row["cost"],
    )
