"""What goes into a group of accepts, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.contract.catalogue import Catalogue, MailerEntry, SourceEntry, TargetEntry
from bridge.contract.inbound import AcceptedLine, Lookup
from bridge.intake.plan import CommandPlan
from bridge.ledger.events import EventRow, placeholder


@dataclass(slots=True)
class Member:
    """One verified event with what its commands come to.

    Attributes:
        product_url: address of a product of this source, for the answer to a repeat.
        mapping: (digest, JSON) of the mapping the plans were made with.
        catalogue: that mapping, for what follows from a purchase later on.
        targets: all configured targets, for changes that follow to whoever holds something of the person.
        unreadable: by row (empty: the whole event) why no adapter could make sense of it, where that is so.
        lookups: what is still to be asked at the sender.
        now: time of receipt, in milliseconds.
        again: the event is replayed: a purchase that stands becomes what the mapping of today says of it.
        mailer: None where no notices are sent.
        late: the event was kept earlier, and newer ones may have been accepted since, which it must not undo.
        traceparent: of the request it came with; None where requests are not traced.
    """

    source: SourceEntry
    event: EventRow
    plans: tuple[CommandPlan, ...]
    product_url: Callable[[str], str | None]
    mapping: tuple[str, str]
    catalogue: Catalogue
    now: int
    targets: tuple[TargetEntry, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    lookups: tuple[Lookup, ...] = ()
    again: bool = False
    late: bool = False
    mailer: MailerEntry | None = None
    traceparent: str | None = None


def of_kept(source: SourceEntry, plans: tuple[CommandPlan, ...], catalogue: Catalogue, now: int, **more: Any) -> Member:
    """Return a member for an event that is in the ledger already: nobody waits for an answer to it."""
    return Member(
        source=source,
        event=placeholder(source.name, source.adapter, now),
        plans=plans,
        product_url=lambda _product: None,
        mapping=(catalogue.digest, catalogue.text),
        catalogue=catalogue,
        now=now,
        targets=tuple(catalogue.targets.values()),
        mailer=catalogue.mailer,
        **more,
    )


@dataclass(slots=True)
class Result:
    """What became of a member.

    Attributes:
        parked: commands that wait for a purchase nobody has told us of yet.
        learner_id: the last person it concerned.
        held: registrations that are there again by a purchase, and under a hold that is newer than it.
    """

    event_id: int | None = None
    lines: list[AcceptedLine] = field(default_factory=list)
    unmapped: int = 0
    ignored: int = 0
    parked: int = 0
    not_found: bool = False
    repeat: bool = False
    learner_id: int | None = None
    held: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One command of one member."""

    member: Member
    event_id: int
    plan: CommandPlan
    result: Result
