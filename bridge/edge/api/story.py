"""The whole story of a purchase, as the API tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from bridge.edge.api.rows import (
    Action,
    Attempt,
    Delivery,
    Event,
    Lookup,
    Person,
    Purchase,
    Quarantined,
    Removed,
    Right,
    StoryEntry,
)


class Caused(Event):
    """An event, and what it did to the purchase."""

    effect: str


class Merged(Person):
    """A learner who was merged into the purchase's."""

    registrations: int


class Buyer(Person):
    """The learner of a purchase, and who is one person with them."""

    phone: str
    attributes: dict[str, Any]
    merged: list[Merged]


class HeldRight(Right):
    """A right, with the ids that the target gave."""

    remote_ids: dict[str, str]


class Grant(BaseModel):
    """A course of the purchase. ``superseded``: another mapping, address, learner or move took its place."""

    course: str
    live: bool
    expires_at: datetime | None
    full_access: bool
    superseded: bool
    right: HeldRight | None


class Work(Delivery):
    """Work for a target, with its attempts and the ids that the target gave."""

    attempts: list[Attempt]
    remote_ids: dict[str, str]


class Contact(BaseModel):
    """A target that is told of the purchase without giving access, and the ids by which it knows the learner."""

    target: str
    remote_ids: dict[str, str]


class Seat(BaseModel):
    """A seat of the order line, without its link."""

    number: int
    state: str
    why: str
    told_at: datetime | None
    claimed_at: datetime | None
    claimed_registration_id: int | None
    claimed_state: str | None


class SeatOf(BaseModel):
    """The order line whose seat the purchase is."""

    registration_id: int
    number: int
    state: str


class Scheduled(BaseModel):
    """A change that takes effect later."""

    action: str
    at: datetime
    event_id: int
    occurred_at: datetime


class Step(BaseModel):
    """What comes next at a target."""

    delivery_id: int
    target: str
    kind: str
    event_id: int | None
    state: str
    due_at: datetime | None
    why: str | None
    remedy: str | None
    paused_by: str | None
    paused_why: str | None
    paused_remedy: str | None


class PurchaseInFull(Purchase):
    """Everything the ledger knows of one purchase; ``story``: what happened, in time order."""

    learner: Buyer
    events: list[Caused]
    grants: list[Grant]
    deliveries: list[Work]
    contacts: list[Contact]
    quarantine: list[Quarantined]
    seats: list[Seat]
    claimed_from: list[SeatOf]
    actions: list[Action]
    story: list[StoryEntry]
    removed: list[Removed]
    scheduled: list[Scheduled]
    next: list[Step]
    found_by: list[str]


class Loose(Event):
    """An event that led to no purchase, and what its source is still to be asked about it."""

    lookups: list[Lookup]


class Trace(BaseModel):
    """What was found: purchases, lines that wait without one, and events that led to none (yet)."""

    what: str
    purchases: list[PurchaseInFull]
    waiting: list[Quarantined]
    events: list[Loose]
