"""What an operator asks for: the arguments of each action, as console, API and command line send them."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

_LARGEST_ID: Final = 2**63 - 1
_MOST: Final = 500  # in one transaction

Id = Annotated[int, Field(ge=1, le=_LARGEST_ID)]


class Requeue(BaseModel):
    """Try dead letters again: these, a target's, or all; or the lookups that were given up: these, a source's, or all.

    Attributes:
        lookups: it is lookups that are meant.
        dry_run: only say which they are.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = ()
    target: str | None = None
    source: str | None = None
    lookups: bool = False
    every: bool = False
    dry_run: bool = False


class Dismiss(BaseModel):
    """End dead letters for good: these, settled at their targets by hand.

    Attributes:
        why: what was done there; kept with the delivery and with the action.
        dry_run: only say which they are.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = Field(min_length=1)
    why: str = Field(min_length=1, max_length=500)
    dry_run: bool = False


class RetryNow(BaseModel):
    """Try deliveries at once that wait for their next try; the count of tries goes on."""

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = Field(min_length=1)
    dry_run: bool = False


class ReleaseLines(BaseModel):
    """Accept quarantined lines whose product is mapped by now: these, a source's, a product's, or all."""

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = ()
    source: str | None = None
    product: str | None = None
    every: bool = False
    dry_run: bool = False


class LaneSwitch(BaseModel):
    """Pause or resume a target's lane; with ``dry_run`` only say whether it could be done."""

    model_config = ConfigDict(extra="forbid")

    target: str
    why: str = Field(default="", max_length=500)
    dry_run: bool = False


class ReplayEvents(BaseModel):
    """Understand events anew from their stored bytes: these, or a source's in one state.

    Attributes:
        state: as in ``bridge events``: ``accepted``, ``unreadable``, ``refused``.
        after: only events with greater ids than this, so that whoever asks for a part can go on where it ended.
        most: at most so many, the oldest; None for all that there are.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = ()
    source: str | None = None
    state: str | None = None
    after: int = Field(default=0, ge=0, le=_LARGEST_ID)
    most: int | None = Field(default=None, ge=1)
    dry_run: bool = False


class CancelRegistrations(BaseModel):
    """Take the access of these registrations away, as if their sources had cancelled them.

    Attributes:
        why: kept with the action.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    ids: tuple[Id, ...] = Field(min_length=1, max_length=_MOST)
    why: str = Field(default="", max_length=500)
    dry_run: bool = False


class MoveRegistration(BaseModel):
    """Let a registration lead to these courses instead of those it leads to.

    Attributes:
        to: keys of courses, as in the tables ``courses.KEY``.
        why: kept with the action.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    registration_id: Id
    to: tuple[str, ...] = Field(min_length=1, max_length=50)
    why: str = Field(default="", max_length=500)
    dry_run: bool = False


class ReviseSeats(BaseModel):
    """Take seats of an order line back: these numbers, or all that are open; with ``renew`` each gets a new link instead."""

    model_config = ConfigDict(extra="forbid")

    registration_id: Id
    numbers: tuple[Id, ...] = ()
    every_open: bool = False
    renew: bool = False
    dry_run: bool = False


class MergeLearners(BaseModel):
    """Say that two learners are one person, or, with ``undo``, that they are not.

    Attributes:
        learner: who becomes somebody else.
        into: who they are; not needed to undo it.
        dry_run: only say what would come of it.
    """

    model_config = ConfigDict(extra="forbid")

    learner: Id
    into: Id | None = None
    undo: bool = False
    dry_run: bool = False


class Examine(BaseModel):
    """Look closely at a target: whether it can be reached, takes our credentials, and has everything that is mapped."""

    model_config = ConfigDict(extra="forbid")

    target: str


class Reload(BaseModel):
    """Read the configuration again."""

    model_config = ConfigDict(extra="forbid")
