"""The outbound contract: what a connector is asked to do, and what it answers.

A connector is one file in ``connectors/outbound``; its last line is ``CONNECTOR: type[OutboundConnector] = ...``.
It neither sleeps nor retries nor catches transport faults: dispatch alone decides what follows an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from bridge.contract.command import Cancellation, Learner, Order
from bridge.contract.mail import Notice, NoticeKind
from bridge.contract.settings import CourseTable, Milestone, Rate, TargetSettings


class Operation(StrEnum):
    """What is to be done at a target. Computed when the delivery is claimed, from what is wanted and what is held.

    GRANT, UPDATE and REVOKE bring one right of one person to what is wanted; CONTACT brings one person's record; NOTICE sends
    one mail.
    """

    GRANT = "grant"
    UPDATE = "update"
    REVOKE = "revoke"
    CONTACT = "contact"
    NOTICE = "notice"


class Repeat(StrEnum):
    """Why an operation may be sent again after nobody knows whether the first one had its effect."""

    KEYED = "keyed"
    """Our key stands in the vendor's external-id field."""
    LOOKUP = "lookup"
    """The connector looks first."""
    ASSUMED = "assumed"
    """The vendor documents a repeat as harmless."""
    UNSAFE = "unsafe"
    """It would be done twice: the operator decides."""


@dataclass(frozen=True, slots=True)
class Refs:
    """Remote ids, by kind, as the target gave them.

    Attributes:
        person: ids of the person at this target (``{"user": "81"}``); shared by all its deliveries. A kind with a colon
            is of one registration (``deal:7``): it is known wherever the registration goes, also when the person's own
            ids stay behind with somebody else of the former address.
        right: ids of this one right (``{"enrollment": "112"}``). Under ``former`` a target that knows people by e-mail may keep
            earlier addresses at which it still holds the right, parted by commas. Where the right is to be taken away, those
            are left out that are the address of somebody else who is to hold the same course; and under ``shared`` stands the
            right's own address (as :func:`email_key` writes it) where it is an earlier one of somebody else who is to hold the
            course: nothing is to be taken away there.
    """

    person: Mapping[str, str] = field(default_factory=dict)
    right: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a right is to be held.

    Attributes:
        expires_at: end of access, UTC; None is without end.
        full_access: everything at once.
        send_email: whether the target shall write to the learner; None leaves it to the target.
    """

    expires_at: datetime | None = None
    full_access: bool = False
    send_email: bool | None = None


@dataclass(frozen=True, slots=True)
class CourseView:
    """A course as field templates see it."""

    key: str
    title: str
    product_url: str | None = None


@dataclass(frozen=True, slots=True)
class Enrollment:
    """One registration of a person and one of its courses, for CRM and mailing targets.

    Attributes:
        state: of the registration: ``active``, ``cancelled``, ... (docs/flow.md).
        table: the course's table for this target, or None when it has none.
        milestones: what this enrollment has come to so far, and when. What was undone is not among them: of a purchase
            that was cancelled and lives again there is no ``cancelled``.
        percent: how far the learner is, as the LMS told last; None when it never did.
    """

    registration_id: int
    source: str
    remote_product_id: str
    state: str
    course: CourseView
    order: Order
    amount_paid: Decimal | None
    currency: str | None
    registered_at: datetime
    changed_at: datetime
    table: CourseTable | None = None
    milestones: Mapping[Milestone, datetime] = field(default_factory=dict)
    percent: int | None = None

    @property
    def live(self) -> bool:
        """Whether the person is in the course because of this registration."""
        return self.state == "active"

    @property
    def started_at(self) -> datetime | None:
        """When the learner began, as the LMS told."""
        return self.milestones.get(Milestone.STARTED)

    @property
    def completed_at(self) -> datetime | None:
        """When the learner completed the course, as the LMS told."""
        return self.milestones.get(Milestone.COMPLETED)


Ended = Literal["", "cancelled", "refunded", "suspended", "expired"]
"""Why a right ends."""


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work, complete: a connector needs nothing else to do it.

    Attributes:
        delivery_id: for logs.
        key: stable key of this right or contact; the same on every try. Goes into external-id fields.
        person: the person as this target knows them (``email:ada@example.org``, ``id:members:42``).
        course: the course's table, resolved for the product that was bought; None for CONTACT.
        remote_product_id: of the registration behind the right.
        order: behind the registration, for a right.
        ended: for REVOKE: why nobody wants the right any more; empty where that is not known.
        enrollments: for CONTACT: the person's enrollments, oldest change first.
        notice: for NOTICE: the mail.
        unknown: an earlier try ended without anybody knowing whether it had its effect.
        refs: what is known of earlier answers. ``steps``: what an earlier try of this delivery finished.
    """

    delivery_id: int
    key: str
    operation: Operation
    person: str
    learner: Learner
    course: CourseTable | None = None
    remote_product_id: str = ""
    amount_paid: Decimal | None = None
    currency: str | None = None
    terms: Terms = Terms()
    cancellation: Cancellation | None = None
    order: Order = field(default_factory=Order)
    ended: Ended = ""
    enrollments: tuple[Enrollment, ...] = ()
    notice: Notice | None = None
    refs: Refs = Refs()
    steps: frozenset[str] = frozenset()
    attempt: int = 1
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """It is so at the target, done now or already there."""

    refs: Refs = Refs()
    note: str = ""


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now.

    Attributes:
        why: in words for the operator; no secret, no learner data.
        after: seconds the target asked for, or None.
        scope: ``lane`` when the whole target is concerned.
        applied: ``unknown`` when the request may have had its effect.
        cause: ``outage`` counts for the breaker; ``throttled`` slows the lane and is not counted as an attempt;
            ``busy`` is this record's own trouble (a lock).
        steps: what this try finished, so that the next one goes on from there.
    """

    why: str
    after: float | None = None
    scope: Literal["delivery", "lane"] = "delivery"
    applied: Literal["no", "unknown"] = "no"
    cause: Literal["outage", "throttled", "busy"] = "busy"
    refs: Refs = Refs()
    steps: frozenset[str] = frozenset()


BY_HAND: Final = "by-hand"
"""A step of :class:`NeedsOperator`: trying this delivery again means that a person has done what its remedy asks for.

So it is tried again only where it is named by itself, and left alone where many are.
"""


@dataclass(frozen=True, slots=True)
class NeedsOperator:
    """A person has to act: ``lane`` when it is the credential or the configuration of the whole target."""

    why: str
    remedy: str
    scope: Literal["delivery", "lane"] = "delivery"
    refs: Refs = Refs()
    steps: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refused:
    """The target will never take it as it is."""

    why: str
    remedy: str
    refs: Refs = Refs()
    steps: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pending:
    """The target works on it; ask again with ``handle`` after some seconds.

    The handle is kept as the right's ref ``pending``, of a contact as the person's; it is emptied when the work has ended.
    """

    handle: str
    after: float
    refs: Refs = Refs()
    steps: frozenset[str] = frozenset()


Outcome = Receipt | TryLater | NeedsOperator | Refused | Pending


@dataclass(frozen=True, slots=True)
class Explanation:
    """A fault that a target is known to answer, in an operator's words. Data beside the connector; the docs list it.

    Attributes:
        sentence: what is wrong: a whole sentence, the same for everybody. Particulars follow it.
        next_step: what the operator does about it: a whole sentence, the same for everybody.
    """

    sentence: str
    next_step: str

    def needs_operator(
        self,
        said: str,
        scope: Literal["delivery", "lane"] = "delivery",
        refs: Refs = Refs(),
        steps: frozenset[str] = frozenset(),
    ) -> NeedsOperator:
        """Return the outcome that asks a person to act; ``said`` is what was tried and what came back."""
        return NeedsOperator(self._why(said), self.next_step, scope, refs, steps)

    def refused(
        self,
        said: str,
        refs: Refs = Refs(),
        steps: frozenset[str] = frozenset(),
    ) -> Refused:
        """Return the outcome of what the target will never take as it is."""
        return Refused(self._why(said), self.next_step, refs, steps)

    def _why(self, said: str) -> str:
        # What was said stands last: it may be cut short, and what hides secrets in it looks for that at the end.
        return f"{self.sentence} {said[:1].upper()}{said[1:]}" if said else self.sentence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``bridge doctor`` looked at.

    Attributes:
        what: "course 42", "scope crm.objects.deals.write", "property course_status of contacts".
        ok: whether it is as it has to be.
        said: what was found, in a few words.
        remedy: what to do about it; empty when it is fine.
        fixable: ``bridge doctor --fix`` can do that by itself, or has just done it.
    """

    what: str
    ok: bool
    said: str = ""
    remedy: str = ""
    fixable: bool = False


@runtime_checkable
class Mails(Protocol):
    """Optional: a target that writes to people itself.

    Class attributes:
        mails: the notices that it makes superfluous, because it passes on what the sender asked for.
    """

    mails: ClassVar[frozenset[NoticeKind]]


@runtime_checkable
class OutboundConnector(Protocol):
    """One kind of target.

    Class attributes:
        Settings: model of ``[targets.NAME]``.
        Course: model of the course's table, or None when the target needs nothing per course.
        needs_table: whether a course without the table is not for this target (an LMS), or is all the same (a CRM).
        stage: ``lms`` work opens at once, ``crm`` work when the learner is in.
        known_by: how the target knows a person: by e-mail, or by the source's user id.
        operations: what it can do, and why each may be repeated.
        batch_size: the most that one :meth:`deliver` takes.
        rate_limit: the vendor's published limits, or a polite guess; the operator's setting replaces it.
        errors: the faults that it knows, by a short name; every :class:`NeedsOperator` and :class:`Refused` is one of them.
    """

    Settings: ClassVar[type[TargetSettings]]
    Course: ClassVar[type[CourseTable] | None]
    needs_table: ClassVar[bool]
    stage: ClassVar[Literal["lms", "crm"]]
    known_by: ClassVar[Literal["email", "user_id"]]
    operations: ClassVar[Mapping[Operation, Repeat]]
    batch_size: ClassVar[int]
    rate_limit: ClassVar[Sequence[Rate]]
    errors: ClassVar[Mapping[str, Explanation]]

    def __init__(self, settings: Any, http: Any, clock: Any) -> None:
        """Take validated settings, the lane's :class:`bridge.kit.http.Http` and a clock. No network yet."""

    @classmethod
    def course_for(cls, table: Any, remote_product_id: str) -> CourseTable:
        """Return the remote course as a complete table; two equal ones are one remote course."""

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Bring every piece of work to effect and return one outcome per piece, in the order of the batch.

        Raises:
            TransportFault: no answer came back; dispatch makes a :class:`TryLater` of it for the whole batch.
        """

    async def check(self) -> Outcome:
        """Say with one harmless request whether the target can be reached and the credentials are good."""

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look closer, once :meth:`check` was content: scopes, the ids that courses name, what has to exist there.

        Reads only, unless ``fix``: then what is missing and can be made is made, and the finding says so.

        Args:
            courses: every course's table for this target, complete.
            fix: make what is missing.

        Raises:
            TransportFault: no answer came back.
        """


@runtime_checkable
class HasPages(Protocol):
    """Optional: a target with web pages of its own for what its ids name, so that an operator gets there with one click."""

    @classmethod
    def page_of(cls, settings: Any, kind: str, remote_id: str) -> str | None:
        """Return the address of the page for an id as this connector keeps it in :class:`Refs`; None where there is none.

        No request is made. The id came from the target: only one in its usual form may get into an address.
        """
