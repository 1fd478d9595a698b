"""What the API tells of the ledger, in the words of docs/flow.md. Times are UTC; learners are masked unless they are revealed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Row = TypeVar("Row")


class Page(BaseModel, Generic[Row]):
    """A part of a list, newest first. ``next_cursor``: what gives the part after it; null at the end."""

    items: list[Row]
    next_cursor: str | None


class Event(BaseModel):
    """What a source sent. ``state``: ``accepted``, ``refused``, ``unreadable`` or ``ignored``; ``note`` says why."""

    event_id: int
    source: str
    adapter: str
    event_key: str | None
    received_at: datetime
    method: str
    path: str
    state: str
    note: str | None


class Effect(BaseModel):
    """What an event did to a registration."""

    registration_id: int
    effect: str


class Lookup(BaseModel):
    """A question to a source about a thin event. ``state``: ``open``, ``done`` or ``dead``."""

    lookup_id: int
    source: str
    kind: str
    key: str
    state: str
    event_id: int
    tried: int
    due_at: datetime | None
    why: str | None
    remedy: str | None
    created_at: datetime
    updated_at: datetime


class Quarantined(BaseModel):
    """What waits in quarantine. ``kind``: ``unmapped``, ``unreadable``, ``early`` or ``seats``."""

    quarantine_id: int
    source: str
    kind: str
    remote_product_id: str
    person: str
    state: str
    seen: int
    note: str | None
    event_id: int
    registration_id: int | None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime


class QuarantinedInFull(Quarantined):
    """One quarantined line with the command that waits."""

    command: dict[str, Any] | None


class EventInFull(Event):
    """One event in full: what was sent, its credential fields blank, and what it did."""

    query: dict[str, Any]
    headers: dict[str, Any]
    body: Any = Field(description="as JSON or as fields where it was, else as text")
    effects: list[Effect]
    quarantine: list[Quarantined]
    lookups: list[Lookup]


class Cause(BaseModel):
    """What waits in quarantine, counted. ``quarantine_id``: its first line."""

    source: str
    kind: str
    remote_product_id: str
    waiting: int
    since: datetime
    last_seen: datetime
    note: str | None
    quarantine_id: int


class Causes(BaseModel):
    """Why things wait in quarantine, the most frequent first; counted up to 10,000."""

    items: list[Cause]


class Purchase(BaseModel):
    """One order line: a learner and a product. ``intent``: what its source wants; ``state``: what has become of it.

    ``never_mapped``: it was taken back while it waited in quarantine, so that nobody ever got in by it.
    """

    registration_id: int
    source: str
    remote_product_id: str
    line: str
    intent: str
    state: str
    quantity: int
    amount_paid: str | None
    currency: str | None
    order_number: str | None
    transaction_id: str | None
    subscription_id: str | None
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
    learner_id: int
    never_mapped: bool


class Registration(Purchase):
    """A registration, and who its learner is."""

    remote_user_id: str | None
    email: str | None


class Delivery(BaseModel):
    """A piece of work for one target. ``kind``: ``right``, ``contact`` or ``notice``; ``tried``: how often so far."""

    delivery_id: int
    target: str
    kind: str
    state: str
    person: str
    notice: str | None
    recipient: str | None
    registration_id: int | None
    right_id: int | None
    event_id: int | None
    tried: int
    unknown: bool = Field(description="an answer was lost: nobody knows whether it had its effect")
    due_at: datetime | None
    outcome: str | None
    why: str | None
    remedy: str | None
    created_at: datetime
    updated_at: datetime


class Attempt(BaseModel):
    """One try of a delivery."""

    attempt_id: int
    delivery_id: int
    at: datetime
    ms: int
    operation: str
    outcome: str
    why: str


class AttemptInFull(Attempt):
    """One try, with what was sent and what came back, masked."""

    exchanges: list[dict[str, Any]]


class Right(BaseModel):
    """What one person should hold of one remote course. ``held``: what the target last confirmed (yes, no, unknown)."""

    right_id: int
    target: str
    person: str
    remote_course: dict[str, Any]
    wanted: bool
    held: str
    held_at: datetime | None


class Removed(BaseModel):
    """What is not kept of the time before a moment: ``attempts``, ``deliveries`` or ``actions``."""

    what: str
    before: datetime


class DeliveryInFull(Delivery):
    """One delivery with every attempt that is kept, and the right that it is about."""

    steps: list[str]
    right: Right | None
    attempts: list[AttemptInFull]
    removed: list[Removed]


class Pause(BaseModel):
    """Who paused a lane, and why."""

    paused_at: datetime
    paused_by: str
    why: str
    remedy: str


class Trouble(BaseModel):
    """The newest attempt of a lane that came to nothing."""

    at: datetime
    outcome: str
    why: str
    delivery_id: int


class Lane(BaseModel):
    """The queue of one target. Counted up to 10,000.

    Attributes:
        status: ``running``, ``paused``, or ``open`` for a breaker; ``elsewhere`` where this bridge does not deliver.
    """

    target: str
    connector: str
    status: str
    queued: int
    in_flight: int
    waiting: int
    dead: int
    oldest_due_seconds: float | None
    paused: Pause | None
    trouble: Trouble | None


class Lanes(BaseModel):
    """The lanes of all targets."""

    items: list[Lane]


class Told(BaseModel):
    """What became of telling an alert through one channel."""

    channel: str
    told: str
    told_at: datetime | None
    times: int
    tries: int
    tried_at: datetime | None
    why: str | None


class Alert(BaseModel):
    """What is, or was, wrong. ``state``: ``open`` or ``over``."""

    alert_id: int
    uid: str
    kind: str
    cause: str
    said: str
    remedy: str
    count: int
    state: str
    first_seen: datetime
    last_seen: datetime
    told_at: datetime | None
    recovered_at: datetime | None
    told_recovery_at: datetime | None
    channels: list[Told]


class Alerts(BaseModel):
    """Open alerts first, then those of late."""

    items: list[Alert]


class Action(BaseModel):
    """Who did what. ``subject``: the ids, or the target, that it was done to."""

    at: datetime
    operator: str
    action: str
    subject: str
    note: str


class Audited(Action):
    """One entry of the audit."""

    action_id: int


class Twin(BaseModel):
    """A learner who is likely the same person."""

    learner_id: int
    why: str


class Person(BaseModel):
    """A learner, as they were told of."""

    learner_id: int
    namespace: str
    remote_user_id: str | None
    email: str | None
    first_name: str
    last_name: str


class Learner(Person):
    """A learner, how much they bought, and who may be the same person."""

    merged_into: int | None
    created_at: datetime
    registrations: int
    twins: list[Twin]


class Learners(BaseModel):
    """Learners who were found."""

    items: list[Learner]


class StoryEntry(BaseModel):
    """Something that happened to a purchase. ``what``: event, attempt, quarantine or action; the rest is that one's own."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    what: str


class EventPage(Page[Event]):
    """A part of the list of events, newest first."""


class RegistrationPage(Page[Registration]):
    """A part of the list of registrations, newest first."""


class DeliveryPage(Page[Delivery]):
    """A part of the list of deliveries, newest first."""


class LookupPage(Page[Lookup]):
    """A part of the list of lookups, newest first."""


class QuarantinedPage(Page[Quarantined]):
    """A part of the list of what waits, or waited, in quarantine, newest first."""


class AuditedPage(Page[Audited]):
    """A part of the audit, newest first."""
