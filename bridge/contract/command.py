"""The canonical enrollment command: what a sender's event means, whoever sent it.

Frozen models. One event yields any number of commands. The words are those of docs/flow.md.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal

import idna
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Action(StrEnum):
    """What the sender wants to become true."""

    ENROLL = "enroll"
    CANCEL = "cancel"
    REFUND = "refund"
    UPDATE = "update"
    SUSPEND = "suspend"
    RESUME = "resume"
    PROGRESS = "progress"


@lru_cache(maxsize=65_536)
def email_key(email: str) -> str:
    """Return the form in which two spellings of one address compare equal: case-folded, IDNA-normalised.

    The address itself is stored as given; only comparisons use this form.
    """
    local, _, domain = email.strip().rpartition("@")
    local, domain = local.casefold(), domain.lower()  # folded, two domains that differ by an ß would become one
    if domain.isascii():  # nearly all are; what punycode stands for is compared as punycode
        return f"{local}@{domain}"
    with suppress(idna.IDNAError):  # a domain no resolver would take is compared as it stands
        domain = idna.encode(domain, uts46=True).decode("ascii")
    return f"{local}@{domain}"


def _email(value: str) -> str:
    value = value.strip()
    local, at, domain = value.rpartition("@")
    # The space is the only white space that counts as printable.
    if not (at and local and domain) or len(value) > 254 or " " in value or not value.isprintable():
        msg = "must be an e-mail address"
        raise ValueError(msg)
    return value


def _moment(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Email = Annotated[str, AfterValidator(_email)]
"""An address with something on both sides of its last ``@`` and no white space; at most 254 characters."""

Moment = Annotated[datetime, AfterValidator(_moment)]
"""A point in time, always UTC; a naive one is taken to be UTC."""

Name = Annotated[str, Field(max_length=500)]
Key = Annotated[str, Field(min_length=1, max_length=500)]
"""What something is found by: longer than any that is in use, and shorter than what an index takes."""


class Frozen(BaseModel):
    """Base of the command's parts: immutable, and an unknown field is a fault of the adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Learner(Frozen):
    """A person: known by ``remote_user_id`` where the source gives one, else by e-mail."""

    remote_user_id: Key | None = None
    email: Email | None = None
    first_name: Name = ""
    last_name: Name = ""
    phone: Name = ""
    attributes: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_somehow(self) -> Learner:
        if self.remote_user_id is None and self.email is None:
            msg = "a learner needs a remote_user_id or an email"
            raise ValueError(msg)
        return self


class Item(Frozen):
    """One order line.

    Attributes:
        remote_product_id: what the source calls its product.
        amount_paid: in major units (49.90 is forty-nine ninety); None when the sender doesn't say.
        line: the sender's reference of the line, where one order may hold a product twice.
        returned: of a refund: how many of the line's units came back; None is the whole line, as all that it still had are.
    """

    remote_product_id: Key
    quantity: int = Field(default=1, ge=1, le=2**31 - 1)  # what every database's integer holds
    amount_paid: Decimal | None = None
    currency: str | None = None
    line: Name = ""
    returned: int | None = Field(default=None, ge=1, le=2**31 - 1)


class Order(Frozen):
    """The order behind the command. The ids are kept because refunds and disputes often carry only those.

    Attributes:
        refs: further ids by which a later event may name this purchase (a charge, a capture, an invoice), or by which this
            event names an earlier one.
    """

    number: Name | None = None
    status: str | None = None
    total: Decimal | None = None
    currency: str | None = None
    coupon: str | None = None
    payment_method: str | None = None
    transaction_id: Name | None = None
    subscription_id: Name | None = None
    refs: tuple[Key, ...] = ()


class Cancellation(Frozen):
    """Texts that go with a cancellation.

    Attributes:
        admin_email: who is told about it.
        admin_text: explanation for that person.
        notify_learner: whether the learner is told; None leaves it to the target.
        learner_text: explanation for the learner.
    """

    admin_email: str | None = None
    admin_text: str | None = None
    notify_learner: bool | None = None
    learner_text: str | None = None


class Options(Frozen):
    """How access is to be given or taken.

    Attributes:
        send_email: whether the target shall write to the learner; None leaves it to the target.
        full_access: everything at once, even where a course releases its content drop by drop.
        expires_at: end of access; None is without end, or as the course says.
        groups: names of groups at the source.
    """

    send_email: bool | None = None
    full_access: bool = False
    expires_at: Moment | None = None
    groups: tuple[str, ...] = ()
    cancellation: Cancellation | None = None


def _is_none(value: object) -> bool:
    return value is None


class Refund(Frozen):
    """What kind of refund: a pending one waits, a partial one touches its own lines.

    Beside a resume that undoes refunds: which of them has failed, as far as the sender says so.

    Attributes:
        ref: the sender's own id of the refund. None where what is said is not of one refund alone, as that all of the money is
            back after several.
        made_at: when it was made, if that is not when it is told of.
    """

    full: bool = True
    pending: bool = False
    # Not told where they say nothing: a bridge of the version before them reads what waits in quarantine, too.
    ref: Key | None = Field(default=None, exclude_if=_is_none)
    made_at: Moment | None = Field(default=None, exclude_if=_is_none)


class ProgressKind(StrEnum):
    """What an LMS reports and a CRM wants to know."""

    STARTED = "started"
    PERCENT = "percent"
    COMPLETED = "completed"
    EXPIRED = "expired"


class Progress(Frozen):
    """How far a learner is."""

    kind: ProgressKind
    percent: int | None = Field(default=None, ge=0, le=100)


class EnrollmentCommand(Frozen):
    """One canonical command.

    Attributes:
        event_key: the sender's own id of the occurrence; a sender without one has none, and repeats are then decided
            by the live registration.
        business_key: what makes two events the same purchase although they came by two roads; belongs to its source.
        occurred_at: when it happened at the sender; one in the future is clamped to the time of receipt by intake.
        registration_id: our own id, where the caller kept it (Elevate's Cancellation API).
        buyer: who paid, where that is another person than the learner.
        undoes: of a resume, what it may take back: ``holds`` (a suspension, a cancellation, a lost dispute), ``refunds`` (one
            that failed, and nothing else), or ``all``.
        refund: of a refund, what kind it is; of a resume that undoes refunds, which one has failed where that is known.
        paid: False for a purchase that is told of before it is paid: it is kept, suspended, and gives nothing until a
            resume or a paid one comes. What is known of it already stays as it is.
        effective_at: of a suspend or a cancel, when it takes effect; None is at once. A suspend that is to come is lifted by
            the next payment of the subscription.
        at_period_end: of the cancel of a subscription whose last period is paid: without ``effective_at`` each registration
            ends where the end of its period was told (``options.expires_at`` of its purchase); at once where none was.
        continues: of a resume, that the subscription goes on or is paid: what was to take effect later does not.
    """

    action: Action
    occurred_at: Moment
    event_key: Key | None = None
    business_key: Key | None = None
    livemode: bool = True
    paid: bool = True
    undoes: Literal["holds", "refunds", "all"] = "holds"
    effective_at: Moment | None = None
    at_period_end: bool = False
    continues: bool = False
    learner: Learner | None = None
    buyer: Learner | None = None
    items: tuple[Item, ...] = ()
    order: Order = Order()
    options: Options = Options()
    registration_id: int | None = None
    refund: Refund | None = None
    progress: Progress | None = None

    @model_validator(mode="after")
    def _complete(self) -> EnrollmentCommand:
        if self.action is Action.ENROLL and (self.learner is None or not self.items):
            msg = "an enroll command needs a learner and at least one item"
            raise ValueError(msg)
        if self.action is Action.UPDATE and self.learner is None:
            msg = "an update command needs a learner"
            raise ValueError(msg)
        if self.action is Action.REFUND and self.refund is None:
            msg = "a refund command says which kind of refund"
            raise ValueError(msg)
        if self.action is Action.PROGRESS and self.progress is None:
            msg = "a progress command says how far"
            raise ValueError(msg)
        return self
