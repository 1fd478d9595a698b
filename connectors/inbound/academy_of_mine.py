"""Academy of Mine as a sender: its webhooks for completions, enrollments, accounts and orders.

Nothing is signed, and a body seems to carry no name of its event. So each event gets an address of its own,
``?secret=...&event=course_completed``; without ``event`` the body's shape decides, and one that it doesn't tell waits in
quarantine. There is no id of an occurrence and nothing is known of retries: a repeat is decided by the order's id, or
by the live registration.

Usually the bridge gives access at the same school by the connector of this name. Then ``echo_of`` names that target:
an enrollment that the bridge made itself comes back as progress, and orders of the school's own shop count only with
``accept_enrollments``. What the events mean:

========================= =====================================================================================
``course_completed``      progress of each user: completed
``course_enrolled``       enroll each user of ``userList``, under the echo rule
``new_account_created``   the person is updated
``new_order``             enroll, paid or not by its ``status``; a product of the shop is ``product:ID``
``refunded_order``        the order is taken back, or, refunded in part, noted
all others                nothing
========================= =====================================================================================

Dates are American and without a zone (``Aug 11, 2020 04:58 PM``): ``timezone`` says which one is meant.

Sources: the vendor's page "Webhooks for custom integration" (the account's body in full, the beginning of the
enrollment's) and its API reference (seed 004: event names, an order's fields). Not from a source: the names of fields
in all other bodies; they are looked for under the API's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from bridge.contract.command import Action, Progress, ProgressKind, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Route, Unreadable
from bridge.contract.settings import MarksTestOrders, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same

_COURSE_EVENTS = frozenset({"course_completed", "course_enrolled"})
_ORDER_EVENTS = frozenset({"new_order", "refunded_order"})
_OTHERS = frozenset(
    {
        *("quiz_submission", "assigment_submission", "assigment_evaluation", "assigment_rejection"),  # spelt so
        *("discussion_submission", "failed_order", "pending_payment", "new_announcement"),
    }
)
_EVENTS = frozenset({"new_account_created", *_COURSE_EVENTS, *_ORDER_EVENTS, *_OTHERS})

_PAID = {
    **dict.fromkeys(("COMPLETED", "AWAITING_SHIPPING", "SHIPPED"), True),
    **dict.fromkeys(("PENDING_PAYMENT", "PENDING"), False),
}
_NEVER_PAID = frozenset({"CANCELLED", "FAILED", "REFUNDED"})

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_AMERICAN = re.compile(
    r"([A-Za-z]{3})[a-z]*\.? ([0-9]{1,2}), ([0-9]{4})(?:,? ([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))? ?([AaPp])[Mm])?"
)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        msg = 'expected the name of a time zone, such as "America/New_York"'
        raise ValueError(msg) from None
    return name


class AcademyOfMineSettings(MarksTestOrders):
    """``[sources.NAME]`` with ``adapter = "academy_of_mine"``.

    Attributes:
        secret: what stands in the address as ``?secret=...``; several while it rotates.
        timezone: of the dates in the bodies.
    """

    secret: Secrets
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"


class AcademyOfMine:
    """Takes what the LMS Academy of Mine tells: completions, enrollments, new accounts, and orders of its own shop."""

    Settings: ClassVar[type[SourceSettings]] = AcademyOfMineSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "The course's id; a product of the school's own shop is `product:ID`."
    setup: ClassVar[Sequence[str]] = (
        "In the admin dashboard, open Integrations, then Webhooks, and enable them.",
        (
            "Add an endpoint for each event, with the event's name in its address: "
            "`{url}?secret=SECRET&event=course_completed`, and so on for `course_enrolled`, `new_account_created`, "
            "`new_order` and `refunded_order`."
        ),
        "Where the bridge gives access at the same school, set `echo_of` to the name of that target.",
        (
            "To enroll people whom the school let in by itself, set `accept_enrollments = true`, map the courses or "
            "products, and add either `course_enrolled` or the two order events, not both."
        ),
    )
    unverified: ClassVar[str] = (
        "All bodies except that of `new_account_created`, whether they are sent again after a failure, and the zone of "
        "their dates."
    )

    def __init__(self, settings: AcademyOfMineSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._zone = ZoneInfo(settings.timezone)
        # Orders of strangers that the echo rule leaves out would leave their refunds waiting.
        self._takes_orders = settings.echo_of is None or settings.accept_enrollments

    def credentials(self) -> Sequence[str]:
        """Return nothing: there is no fixed address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return None: there is no fixed address."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the address.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        if not any_same(event.query.get("secret"), self._secrets):
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return one command for each user of a course event, and one for an account or an order.

        Raises:
            PayloadInvalid: the event can't be told, or a field is missing.
        """
        said = Payload(event.json)
        name = _event_name(event, said)
        if name in _OTHERS or (name in _ORDER_EVENTS and not self._takes_orders):
            return []
        if name in _COURSE_EVENTS:
            return list(self._of_course(name, said, event.received_at))
        if name == "new_account_created":
            at = self._at(said, event.received_at, "date_registered")
            return [command(action=Action.UPDATE, occurred_at=at, learner=_learner(said))]
        return self._of_order(name, said, event.received_at)

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; nothing is known of what the sender reads."""
        return acknowledge(reception)

    def _of_course(self, name: str, said: Payload, received_at: datetime) -> Iterator[Meaning]:
        courses = list(dict.fromkeys(_courses(said)))
        if not courses:
            raise PayloadInvalid({"course_id": "is missing"})
        for row, user in _users(said):
            try:
                if name == "course_completed":
                    at = self._at(said, received_at, "completed_at", "completed_on", "date_completed", "completionDate")
                    progress = Progress(kind=ProgressKind.COMPLETED, percent=100)
                    action = Action.PROGRESS
                else:
                    at = self._at(said, received_at, "enrolled_at", "enrolled_on", "date_enrolled", "enrollmentDate")
                    progress, action = None, Action.ENROLL
                yield command(
                    action=action,
                    occurred_at=at,
                    learner=_learner(user),
                    items=[{"remote_product_id": course} for course in courses],
                    progress=progress,
                )
            except PayloadInvalid as invalid:
                yield Unreadable(row, invalid.faults)

    def _of_order(self, name: str, told: Payload, received_at: datetime) -> list[Meaning]:
        said = told.at("order") if told.at("order.id") else told
        number = said.needed_text("id", "order_id", "orderId")
        known = {
            "business_key": number,
            "livemode": not said.flag("isTestOrder"),
            "order": {
                "number": number,
                "status": said.maybe("status"),
                "total": major(said.at("total").value),
                "currency": said.maybe("currency"),
                "coupon": said.maybe("coupon_used"),
            },
        }
        if name == "refunded_order":
            at = self._at(said, received_at, "refunded_at", "refunded_on", "refundDate")
            return [command(**known, action=Action.REFUND, occurred_at=at, refund=_refund(said))]
        status = said.needed_text("status").upper().replace(" ", "_")
        if status in _NEVER_PAID:
            return []
        if status not in _PAID:
            raise PayloadInvalid({"status": f"is {status[:50]}, of which nobody knows whether it is paid"})
        bought = command(
            **known,
            action=Action.ENROLL,
            occurred_at=self._at(said, received_at, "orderDate", "order_date", "created_at"),
            paid=_PAID[status],
            learner=_learner(_customer(told, said)),
            items=_items(said),
        )
        return [bought]

    def _at(self, said: Payload, received_at: datetime, *paths: str) -> datetime:
        for path in paths:
            text = said.text(path)
            found = _american(text) or _iso(text)
            if found is not None:
                return found if found.tzinfo else found.replace(tzinfo=self._zone)
        return received_at


def _event_name(event: InboundEvent, said: Payload) -> str:
    shown = event.query.get("event", "").strip().lower() or said.text("event", "event_name", "eventName").lower()
    name = shown.replace(" ", "_") or _by_shape(said)
    if name not in _EVENTS:
        raise PayloadInvalid(
            {"event": "is no event's name, or is missing in the address and the body does not tell it"}
        )
    return name


def _by_shape(said: Payload) -> str:
    names = {str(name).lower() for name in said.value} if isinstance(said.value, dict) else set()
    order = said.at("order") if said.at("order.id") else said
    if order.at("orderItems"):
        return "refunded_order" if order.text("status").upper() == "REFUNDED" else "new_order"
    if "date_registered" in names:
        return "new_account_created"
    if "userlist" in names and any("complet" in name for name in names):
        return "course_completed"
    if "userlist" in names and any(name.startswith("enroll") for name in names):
        return "course_enrolled"
    return ""


def _users(said: Payload) -> Iterator[tuple[str, Payload]]:
    for name in ("userList", "users"):
        if isinstance(said.at(name).value, list):
            yield from ((f"{name}.{place}", user) for place, user in enumerate(said.at(name)))
            return
    for name in ("user", "student", "learner"):
        if isinstance(said.at(name).value, dict):
            yield name, said.at(name)
            return
    yield "user", said


def _courses(said: Payload) -> Iterator[str]:
    """Yield the ids of courses, under whichever of the likely names they stand."""
    yield from filter(None, [said.text("course_id", "courseId")])
    for name in said.value if isinstance(said.value, dict) else ():
        if "." in name or not ("course" in name.lower() or name.lower().startswith("enroll")):
            continue
        held = said.at(name)
        for course in held if isinstance(held.value, list) else [held]:
            if isinstance(course.value, dict):
                yield from filter(None, [course.text("course_id", "courseId", "id")])


def _learner(user: Payload) -> dict[str, Any]:
    first, last = first_and_last(
        user.text("first_name", "firstName"), user.text("last_name", "lastName"), user.text("name", "full_name")
    )
    return {
        "remote_user_id": user.maybe("id", "user_id", "userId"),
        "email": user.needed_text("email"),
        "first_name": first,
        "last_name": last,
    }


def _customer(told: Payload, order: Payload) -> Payload:
    for held in (order, told):
        for name in ("customer", "user", "billingAddress"):
            if held.text(f"{name}.email"):
                person = dict(held.at(name).value)
                if name == "billingAddress":  # its id is that of the address
                    person["id"] = None
                return Payload({**person, "id": order.text("customerId", "customer_id") or person.get("id")})
    raise PayloadInvalid({"customer.email": "is missing"})


def _items(order: Payload) -> list[dict[str, Any]]:
    """Return the products, one item each: a refund names no lines."""
    found: dict[str, dict[str, Any]] = {}
    for told in order.at("orderItems"):
        product = "product:" + told.needed_text("product_id", "productId")
        item = found.setdefault(product, {"remote_product_id": product, "quantity": 0, "amount_paid": None})
        item["quantity"] += max(1, told.whole("quantity", 1))
        item["currency"] = order.maybe("currency")
        total = major(told.at("total").value)
        if total is not None:
            item["amount_paid"] = (item["amount_paid"] or Decimal(0)) + total
    return list(found.values())


def _refund(order: Payload) -> Refund:
    kind = order.text("refundType", "refund_type", "refundOption").upper()
    total = major(order.at("total").value)
    back = major(order.at("refundAmount").value or order.at("refund_amount").value)
    return Refund(full=kind != "PARTIAL_REFUND" and (kind == "FULL_REFUND" or not (total and back and back < total)))


def _american(text: str) -> datetime | None:
    found = _AMERICAN.fullmatch(text)
    if found is None or found[1].lower() not in _MONTHS:
        return None
    hour = int(found[4] or 12) % 12 + (12 if (found[7] or "a").lower() == "p" else 0)
    try:
        return datetime(  # noqa: DTZ001 - the zone is the source's setting
            int(found[3]),
            _MONTHS.index(found[1].lower()) + 1,
            int(found[2]),
            hour,
            int(found[5] or 0),
            int(found[6] or 0),
        )
    except ValueError:
        return None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


ADAPTER: type[InboundAdapter] = AcademyOfMine
