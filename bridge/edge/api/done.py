"""What actions answer: what was done, or with ``dry_run`` would be."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

One = TypeVar("One")


class Done(BaseModel, Generic[One]):
    """What became of each.

    Attributes:
        dry_run: nothing was changed.
        left_out: ids that were named and that it does not concern: they are not there, or not in a state for it.
    """

    dry_run: bool
    done: list[One]
    left_out: list[int]


class Retried(BaseModel):
    """A delivery. ``why``: what it waits or waited for; ``remedy``: what to do about it, empty where that is nothing."""

    delivery_id: int
    target: str
    registration_id: int | None
    why: str
    remedy: str


class Dismissed(Retried):
    """A dead letter that is ended."""


class Requeued(Retried):
    """A dead letter that is tried again; ``became`` tells where its purchase is planned anew instead."""

    became: str


class Reasked(BaseModel):
    """A lookup that is asked again."""

    lookup_id: int
    source: str
    event_id: int
    kind: str
    why: str | None


class Released(BaseModel):
    """A quarantined line. ``became``: ``released``, ``superseded`` or ``waiting``."""

    quarantine_id: int
    source: str
    remote_product_id: str
    became: str
    registration_id: int | None
    note: str


class EffectChange(BaseModel):
    """What an event did to a registration before, and does now."""

    registration_id: int
    remote_product_id: str
    before: str | None
    after: str


class Replayed(BaseModel):
    """An event. ``became``: ``replayed``, ``unchanged`` or ``impossible``. ``opened``: how much work, by target."""

    event_id: int
    source: str
    became: str
    note: str
    actions: list[str]
    effects: list[EffectChange]
    opened: dict[str, int]
    unmapped: int
    lookups: int


class RemoteRight(BaseModel):
    """One person's access to one remote course."""

    target: str
    person: str
    remote_course: dict[str, Any]


class GivenRight(RemoteRight):
    """Access that is given. ``held``: the target holds it already."""

    held: bool


class MovedRight(GivenRight):
    """Access at the other course, and when it ends."""

    expires_at: datetime | None


class TakenRight(RemoteRight):
    """Access that is let go of; ``kept`` where another purchase stands behind it."""

    kept: bool


class Cancelled(BaseModel):
    """A registration. ``became``: ``cancelled`` or ``unchanged``; ``registrations``: what was claimed of its seats."""

    registration_id: int
    source: str
    remote_product_id: str
    became: str
    before: str
    state: str
    note: str
    registrations: list[int]
    taken: list[RemoteRight]
    kept: list[RemoteRight]
    opened: list[str]


class Moved(BaseModel):
    """A registration that leads elsewhere. ``became``: ``moved`` or ``unchanged``; ``former``: where it is moved back to.

    ``mapped``: it leads where its product does, so that the mapping decides again.
    """

    dry_run: bool
    registration_id: int
    source: str
    remote_product_id: str
    became: str
    before: str
    state: str
    former: list[str]
    courses: list[str]
    mapped: bool
    given: list[MovedRight]
    taken: list[RemoteRight]
    kept: list[RemoteRight]
    opened: list[str]


class Revised(BaseModel):
    """A seat. ``became``: ``revoked``, ``renewed`` or ``unchanged``; ``code``: what the new link ends with."""

    number: int
    before: str
    became: str
    note: str
    claimed_registration_id: int | None
    renewed_as: int | None
    code: str | None


class Named(BaseModel):
    """Who somebody is; empty where nobody is meant any more."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    learner_id: int | None = None
    namespace: str | None = None
    remote_user_id: str | None = None
    email: str | None = None


class Passing(BaseModel):
    """A registration that changes hands. ``beside``: the other has bought the same, and both stand."""

    registration_id: int
    source: str
    remote_product_id: str
    state: str
    beside: bool


class ToldContact(BaseModel):
    """A contact that is brought up to date."""

    target: str
    person: str


class LeftBehind(ToldContact):
    """What stays at a target as it is."""

    remote_ids: dict[str, str]


class Joined(BaseModel):
    """Two learners. ``became``: ``merged``, ``undone`` or ``unchanged``."""

    dry_run: bool
    became: str
    learner: Named
    into: Named
    registrations: list[Passing]
    given: list[GivenRight]
    taken: list[TakenRight]
    told: list[ToldContact]
    left: list[LeftBehind]


class Switched(BaseModel):
    """A lane; ``was_paused`` where it was resumed. Of a dry run only that it can be done."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    dry_run: bool
    target: str
    paused: bool | None = None
    was_paused: bool | None = None


class Found(BaseModel):
    """One thing that was looked at. ``fixable``: ``bridge doctor --fix`` can make it."""

    what: str
    ok: bool
    said: str
    remedy: str
    fixable: bool


class Examined(BaseModel):
    """A target that was looked at. ``said`` by the target; ``findings``: where it can be reached, what was looked at there."""

    target: str
    connector: str
    ok: bool
    said: str
    remedy: str
    findings: list[Found]


class Reloaded(BaseModel):
    """What is different by the configuration that was read: names of sources, targets and courses."""

    added: dict[str, list[str]]
    removed: dict[str, list[str]]
    changed_targets: list[str]
    mapping_changed: bool


class RequeuedAnswer(Done[Requeued]):
    """What became of each dead letter."""


class RetriedAnswer(Done[Retried]):
    """What became of each delivery."""


class DismissedAnswer(Done[Dismissed]):
    """What became of each dead letter."""


class ReaskedAnswer(Done[Reasked]):
    """What became of each lookup."""


class ReleasedAnswer(Done[Released]):
    """What became of each line."""


class ReplayedAnswer(Done[Replayed]):
    """What became of each event."""


class CancelledAnswer(Done[Cancelled]):
    """What became of each registration."""


class RevisedAnswer(Done[Revised]):
    """What became of each seat."""
