"""What goes into a group of accepts, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.contract.catalogue import SourceEntry, TargetEntry
from bridge.contract.inbound import AcceptedLine
from bridge.intake.plan import CommandPlan
from bridge.ledger.events import EventRow


@dataclass(slots=True)
class Member:
    """One verified event with what its commands come to.

    Attributes:
        product_url: address of a product of this source, for the answer to a repeat.
        mapping: (digest, JSON) of the mapping the plans were made with.
        targets: all configured targets, for changes that follow to whoever holds something of the person.
        unreadable: why no adapter could make sense of it, when that is so.
        now: time of receipt, in milliseconds.
    """

    source: SourceEntry
    event: EventRow
    plans: tuple[CommandPlan, ...]
    product_url: Callable[[str], str | None]
    mapping: tuple[str, str]
    now: int
    targets: tuple[TargetEntry, ...] = ()
    unreadable: str | None = None


@dataclass(slots=True)
class Result:
    """What became of a member."""

    event_id: int | None = None
    lines: list[AcceptedLine] = field(default_factory=list)
    unmapped: int = 0
    ignored: int = 0
    not_found: bool = False
    repeat: bool = False


@dataclass(slots=True)
class Entry:
    """One command of one member."""

    member: Member
    event_id: int
    plan: CommandPlan
    result: Result
