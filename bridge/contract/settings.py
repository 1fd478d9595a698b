"""What an adapter's or connector's settings are made of. Each declares its own model on top of these.

A secret is a :class:`pydantic.SecretStr`, so that it never shows in a message; everything else is derived from the
model: the example file, the docs table, the masking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, SecretStr, Tag

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_RATE = re.compile(r"(\d+)\s*/\s*(\S+)")


def duration(text: object) -> object:
    """Read ``"90s"``, ``"2min"``, ``"3h"``, ``"400d"`` or a sum such as ``"1h 30m"``.

    Raises:
        ValueError: for anything else; the message shows the expected form.
    """
    if isinstance(text, timedelta):
        return text
    if isinstance(text, str):
        parts = text.split()
        matches = [_DURATION.fullmatch(part) for part in parts]
        found = [match for match in matches if match]
        if parts and len(found) == len(parts):
            return timedelta(seconds=sum(float(match[1]) * _SECONDS[match[2]] for match in found))
    msg = 'expected a duration such as "30s", "2min", "6h" or "365d"'
    raise ValueError(msg)


def _rate(text: object) -> object:
    if isinstance(text, Rate):
        return text
    match = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or int(match[1]) < 1:
        msg = 'expected requests per time, such as "20/1s" or "100/10s"'
        raise ValueError(msg)
    per = duration(match[2] if match[2][0].isdigit() else "1" + match[2])
    return Rate(int(match[1]), per.total_seconds() if isinstance(per, timedelta) else 1.0)


class Rate(tuple[int, float]):
    """So many requests per so many seconds."""

    __slots__ = ()

    def __new__(cls, requests: int, seconds: float) -> Self:
        """Make a rate of ``requests`` per ``seconds``."""
        return super().__new__(cls, (requests, seconds))

    @property
    def requests(self) -> int:
        """How many requests fit into the window."""
        return self[0]

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self[1]


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


Duration = Annotated[timedelta, BeforeValidator(duration)]
RateLimit = Annotated[Any, BeforeValidator(_rate)]
Secrets = Annotated[
    tuple[Annotated[SecretStr, Field(min_length=1)], ...], BeforeValidator(_several), Field(min_length=1)
]
"""One secret, or a list of them while they rotate; the first is the current one. An empty one would let anybody in."""


class SettingsModel(BaseModel):
    """Base of every settings model: unknown keys are faults, values don't change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class SourceSettings(SettingsModel):
    """What every source takes.

    Attributes:
        adapter: type of the adapter: its file name in ``connectors/inbound``.
        namespace: whose ``remote_user_id`` this source sends; sources that share people share a namespace.
        unmapped: what happens to a line whose product is not mapped.
        same_orders_as: another source that reports the same orders, so that business keys are shared with it.
        echo_of: the target that this source is: what it tells of access that we gave is progress, and no purchase.
        accept_enrollments: whether a source with ``echo_of`` may also enroll people whom we did not.
        enabled: a disabled source answers as if it did not exist.
    """

    adapter: str
    namespace: str | None = None
    unmapped: Literal["quarantine", "ignore"] = "quarantine"
    same_orders_as: str | None = None
    echo_of: str | None = None
    accept_enrollments: bool = False
    enabled: bool = True


class MarksTestOrders(SourceSettings):
    """What a source takes whose sender marks test orders.

    Attributes:
        test_mode: take test orders, and only those; without it they are counted and have no effect.
    """

    test_mode: bool = False


_PAYMENT_GRACE = timedelta(days=7)


class TellsFailedPayments(SourceSettings):
    """What a source takes whose sender tells that a payment of a subscription failed.

    Attributes:
        payment_grace: how long a failed payment of a subscription leaves access as it is, so that a later try finds it;
            then the registration is suspended. Default: period_grace where the source has that, else 7d.
    """

    payment_grace: Duration | None = None

    @property
    def failed_payment_grace(self) -> timedelta:
        """The grace in force."""
        if self.payment_grace is not None:
            return self.payment_grace
        # Whoever gave late renewals more time did not mean failed ones to have less.
        found: timedelta = getattr(self, "period_grace", _PAYMENT_GRACE)
        return found


class CallsOut(SourceSettings):
    """What a source takes whose adapter asks the sender.

    Attributes:
        base_url: address of the sender's API; default: the vendor's.
        timeout: of one request.
        rate_limit: windows that all hold at once; empty means the adapter's default.
        concurrency: lookups under way at once.
    """

    base_url: str = ""
    timeout: Duration = timedelta(seconds=10)
    rate_limit: tuple[RateLimit, ...] = ()
    concurrency: int = Field(default=4, ge=1, le=64)


class Condition(SettingsModel):
    """One condition of ``only_if``; all of them must hold.

    Attributes:
        field: dotted path into the command: ``learner.email``, ``order.total``, ``item.remote_product_id`` and the like.
        operator: how the two compare: as numbers where both are, else as text.
        value: what to compare with; a list for ``in``.
    """

    field: str
    operator: Literal["equal_to", "not_equal_to", "greater_than", "less_than", "contains", "in"]
    value: Any


def _some(value: object) -> object:
    if isinstance(value, list | tuple) and not value:
        msg = "expected at least 1 in the list"
        raise ValueError(msg)
    return value


class AllOf(SettingsModel):
    """``{ all = [...] }``: holds when every one of these does.

    Attributes:
        all: rules that must all hold.
    """

    all: Annotated[tuple[Rule, ...], BeforeValidator(_some)]


class AnyOf(SettingsModel):
    """``{ any = [...] }``: holds when at least one of these does.

    Attributes:
        any: rules of which one must hold.
    """

    any: Annotated[tuple[Rule, ...], BeforeValidator(_some)]


def _rule_kind(given: object) -> str:
    # Told apart by their keys, so that a fault is told of the form that was meant and not of all three.
    keys = given.keys() if isinstance(given, dict) else vars(given).keys() if isinstance(given, SettingsModel) else ()
    return next((kind for kind in ("all", "any") if kind in keys), "condition")


Rule = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated[AllOf, Tag("all")] | Annotated[AnyOf, Tag("any")],
    Discriminator(_rule_kind),
]
"""A condition, or conditions joined by and (``all``) or or (``any``), to any depth."""


def conditions_of(rules: Iterable[Rule]) -> Iterator[Condition]:
    """Return every condition in the rules, at whatever depth."""
    for rule in rules:
        match rule:
            case AllOf():
                yield from conditions_of(rule.all)
            case AnyOf():
                yield from conditions_of(rule.any)
            case _:
                yield rule


class Milestone(StrEnum):
    """A point in the life of one enrollment, at which an action may do something at a target.

    ``updated`` is a change of the person's data; ``progress`` a new percentage.
    """

    ENROLLED = "enrolled"
    UPDATED = "updated"
    STARTED = "started"
    PROGRESS = "progress"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class ActionSettings(SettingsModel):
    """One ``[[targets.NAME.actions]]``: at these milestones, under these rules, do something to one kind of object.

    A connector declares one model for each kind of object, told apart by ``object``.

    Attributes:
        on: the milestones; one may be written without a list.
        only_if: rules on the enrollment; all must hold.
    """

    on: Annotated[tuple[Milestone, ...], BeforeValidator(_several), Field(min_length=1)]
    only_if: tuple[Rule, ...] = ()


class TargetSettings(SettingsModel):
    """What every target takes.

    Attributes:
        connector: type of the connector: its file name in ``connectors/outbound``.
        base_url: address of the target; a connector with a vendor's fixed address defaults to it.
        timeout: of one request; default: ``[dispatch] request_timeout``.
        rate_limit: windows that all hold at once; empty means the connector's default.
        concurrency: deliveries under way at once.
        when: whether CRM work opens when the learner is enrolled, or at once when the purchase is accepted.
        only_if: rules on an order line: conditions, or `{ any = [...] }` and `{ all = [...] }` of them; all must hold, else
            the line does not concern this target.
        enabled: a disabled target gets no work; what is open for it waits.
        drop: the target is given up: it gets no work, and what is open for it ends undone.
    """

    connector: str
    base_url: str = ""
    timeout: Duration = timedelta(seconds=10)
    rate_limit: tuple[RateLimit, ...] = ()
    concurrency: int = Field(default=8, ge=1, le=1_000)
    when: Literal["enrolled", "accepted"] = "enrolled"
    only_if: tuple[Rule, ...] = ()
    enabled: bool = True
    drop: bool = False


class CourseTable(SettingsModel):
    """What a target needs to know of a course: the table under the target's name in ``[courses.*]``."""


AllOf.model_rebuild()
AnyOf.model_rebuild()
