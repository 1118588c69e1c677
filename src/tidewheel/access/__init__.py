"""Access: who acts, and the audit trail of what they did.

Every change that a person or a program makes through Tidewheel is written to the trail in the same transaction as the change
itself, so that there is no change without its line and no line without its change.

Examples
--------
>>> from tidewheel.access import Actor
>>> Actor("ann").name
'ann'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel.access.definition import Actor, Entry

if TYPE_CHECKING:
    from tidewheel.access.audit import AuditTrail as AuditTrail

__all__ = ["Actor", "AuditTrail", "Entry"]


def __getattr__(name: str) -> object:
    if name == "AuditTrail":
        from tidewheel.access.audit import AuditTrail

        return AuditTrail
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
