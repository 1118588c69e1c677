"""What is known of one thing, to show. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tidewheel.ledger.definition import NodeId


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """One node in full: titled lists of names and values."""

    id: NodeId
    where: str
    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"id": self.id, "where": self.where} | {title: dict(pairs) for title, pairs in self.sections}
