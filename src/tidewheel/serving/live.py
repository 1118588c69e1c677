"""What is loaded: an immutable table of deployments, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from tidewheel.errors import NotFound, near_miss
from tidewheel.serving.arm import Arm, Route, bucket, choose
from tidewheel.serving.inputs import InputReader
from tidewheel.serving.served import ServedModel


@dataclass(frozen=True, slots=True, eq=False)
class LiveArm:
    """An arm with its version in memory."""

    arm: Arm
    served: ServedModel
    reader: InputReader


@dataclass(frozen=True, slots=True, eq=False)
class LiveDeployment:
    """A deployment that answers.

    Parameters
    ----------
    split_by
        Inputs whose values decide the arm.
    """

    name: str
    route: Route
    answering: tuple[LiveArm, ...]
    shadows: tuple[LiveArm, ...]
    split_by: tuple[str, ...]

    @property
    def champion(self) -> LiveArm:
        """The arm of most traffic, whose inputs the metadata shows."""
        return self.answering[-1]

    def pick(self, sent: object, key: str | None) -> tuple[LiveArm, int]:
        """The arm of a request and the place of its key; equal keys get equal arms for as long as the route stands."""
        if len(self.answering) == 1 and not self.shadows:
            return self.answering[0], 0
        if key is not None:
            place = bucket(self.name, key.encode())
        else:
            values = [sent.get(name) for name in self.split_by] if isinstance(sent, dict) else []
            place = bucket(self.name, msgspec.json.encode(values))
        return self.answering[choose([live.arm for live in self.answering], place)], place

    def version(self, version: str) -> LiveArm:
        """The arm, shadows included, with a version number as it stands in a URL."""
        for live in (*self.answering, *self.shadows):
            if str(live.arm.version) == version:
                return live
        known = [str(live.arm.version) for live in (*self.answering, *self.shadows)]
        raise NotFound(
            f"deployment {self.name!r} has no version {version!r} loaded", where="version", fix=near_miss(version, known)
        )


LiveTable = Mapping[str, LiveDeployment]
