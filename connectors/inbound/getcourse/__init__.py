"""GetCourse's import API, as a server.

A shop or a script that posts to ``https://ACCOUNT.getcourse.ru/pl/api/users`` and ``/pl/api/deals`` posts to the bridge by
changing only the host. Authentication: ``key`` in the form, in the address or in a JSON body, one of the source's keys.

There is no id of the occurrence and no time of it: calls are taken at their word, in the order in which they come, so a
deal that is paid after it was cancelled is paid. A deal is known by ``deal_number`` together with its owner's e-mail, as
at GetCourse; where the source says ``same_orders_as``, by the number alone, as the other source knows it. Without a number
every call is a deal of its own, and a repeat is decided by the live registration. A deal that is not paid yet is kept, so
that a later call may change its status by the number alone.

Every answer is 200 with GetCourse's envelope, errors too, except 405, 413 and 503. ``deal_id`` is the registration id,
``user_id`` the bridge's number of the person. Callers don't repeat what failed, so what is refused is kept as well.

Unlike GetCourse: a cancelled or returned deal takes access away. ``refresh_if_exists`` is not needed, because somebody who
has paid must get in: new data count either way, and an empty field overwrites nothing. ``update`` adds to the person's
groups and removes nobody from any. A person is found by e-mail, not by ``user.id``. ``multiple_offers`` is always on. No
amount is asked for. ``payment_link``, where it is asked for, is the course's address.

Not from the vendor: ``user_status`` (only ``added`` was seen) and most texts of errors.

Sources: the vendor's page "API Call and Response Format Documentation" (seed 003), its PHP SDK, and the public clients
NiktarioN/getcourse-api, belyaev-dev/getcourse-js-sdk, zenland-dev/n8n-nodes-getcourse and PetrMarketing/lava-getcourse.

Map: call (reading what was sent), deals (what statuses do), answer (the envelope); here: what it means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bridge.contract.command import Action, EnrollmentCommand, Learner, Refund, email_key
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Reception, Response, Route
from bridge.contract.settings import Secrets, SourceSettings
from bridge.kit.brackets import each
from bridge.kit.money import major
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command, parsed
from bridge.kit.signatures import any_same
from connectors.inbound.getcourse.answer import GROUP, answer
from connectors.inbound.getcourse.call import DEALS, USERS, call_of, key_of
from connectors.inbound.getcourse.deals import DEAL_STATUSES, PAYMENT_STATUSES, Deal, Does, deal_of

_LONGEST = 500
_MOST = 2**31 - 1  # of one thing in a deal
_AFTERWARDS: Mapping[Does, Mapping[str, Any]] = {  # what a call does to the deal, once that is known
    Does.TAKES: {"action": Action.CANCEL},
    Does.REFUNDS: {"action": Action.REFUND, "refund": Refund()},
    Does.NOTES: {"action": Action.REFUND, "refund": Refund(pending=True)},
}
_EXPECTED = {  # where a fault stands in the command -> the protocol's parameter, and what it must be
    "learner.email": ("user.email", "an e-mail address"),
    "learner.attributes": ("user.addfields", "texts"),
    "business_key": ("deal.deal_number", "text of at most 240 characters"),
    "order.number": ("deal.deal_number", "text"),
}
_NEEDS_EMAIL = "The user.email parameter is required: a person is known here by it, and not by a number or a telephone."


class GetcourseSettings(SourceSettings):
    """``[sources.NAME]`` with ``adapter = "getcourse"``.

    Attributes:
        key: what the caller puts into ``key``; several while it rotates.
    """

    key: Secrets


class Getcourse:
    """Takes people, groups and deals from whoever speaks GetCourse's import API."""

    Settings: ClassVar[type[SourceSettings]] = GetcourseSettings
    routes: ClassVar[Sequence[Route]] = (Route(("POST",), USERS), Route(("POST",), DEALS))
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = True
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"key"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "`offer_code`, else `offer_id`, else `product_title`; a group is `group:NAME`."
    setup: ClassVar[Sequence[str]] = (
        "At the caller, put the bridge's host in place of `ACCOUNT.getcourse.ru` (where it asks for a domain of your own).",
        "People then go to `{host}/pl/api/users`, deals to `{host}/pl/api/deals`; the caller must use https.",
        "Give it this source's `key` as the secret key.",
        "Let it send a `deal_number` with every deal: only then can a later call cancel the deal or say that it is paid.",
        "Map every offer it sells, and every group it puts people into as `group:NAME`.",
    )
    meanings: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "deal_status": {status: does.value for status, does in DEAL_STATUSES.items()},
        "payment_status": {status: does.value for status, does in PAYMENT_STATUSES.items()},
    }
    unverified: ClassVar[str] = "The values of `user_status`, and most texts of errors: the vendor publishes neither."

    def __init__(self, settings: GetcourseSettings) -> None:
        """Take the settings of one source."""
        self._keys = tuple(key.get_secret_value() for key in settings.key)
        self._number_alone = settings.same_orders_as is not None

    def credentials(self) -> Sequence[str]:
        """Return the keys; one call shows one of them."""
        return self._keys

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return the ``key`` of body or address.

        Raises:
            PayloadInvalid: the body can't be read.
        """
        return key_of(event)

    def verify(self, event: InboundEvent) -> None:
        """Compare the key.

        Raises:
            SignatureInvalid: it is missing or wrong.
            PayloadInvalid: as :meth:`credential`.
        """
        if not any_same(key_of(event), self._keys):
            raise SignatureInvalid("the key is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what is said of the person, then of each group, then of the deal.

        Raises:
            PayloadInvalid: a parameter is missing or wrong.
        """
        call, at = call_of(event), event.received_at
        user = call.blocks.at("user")
        person = _command(action=Action.UPDATE, occurred_at=at, learner=_learner(user))
        assert person.learner is not None  # noqa: S101 - the contract of an update command
        commands = [person, *_groups(user, person.learner, at)]
        if call.of_deal:
            block = call.blocks.at("deal")
            commands += self._of_deal(deal_of(block), block, person.learner, at)
        return commands

    def _of_deal(self, deal: Deal, block: Payload, learner: Learner, at: datetime) -> list[EnrollmentCommand]:
        which: dict[str, Any] = {
            "occurred_at": at,
            "learner": learner,
            "business_key": self._business_key(deal, learner),
        }
        given = deal.does is Does.GIVES
        if not deal.product:
            change: Mapping[str, Any] | None = (
                {"action": Action.RESUME, "undoes": "all"} if given else _AFTERWARDS.get(deal.does)
            )
            return [_command(**change, **which)] if change else []
        if not deal.number and not given:
            return []  # nothing could ever change it
        # Also of a deal that is taken back at once the offer is kept: it may be paid one day.
        commands = [_command(action=Action.ENROLL, paid=given, **which, **_purchase(deal, block, paid=given))]
        if deal.does in _AFTERWARDS:
            commands.append(_command(**_AFTERWARDS[deal.does], **which))
        return commands

    def _business_key(self, deal: Deal, learner: Learner) -> str | None:
        if not deal.number or self._number_alone:
            return deal.number or None
        return f"{deal.number} {email_key(learner.email or '')}"

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Answer in GetCourse's envelope. An unmapped group is no failure: the person is kept."""
        return answer(event, reception)


def _learner(user: Payload) -> dict[str, Any]:
    email = user.text("email")
    if not email:
        raise PayloadInvalid({"user.email": _NEEDS_EMAIL})
    fields = user.at("addfields").value
    own = fields if isinstance(fields, Mapping) else {}
    told = {name.replace("\0", ""): Payload(value).text() for name, value in own.items() if name != "key"}
    told |= {name: user.text(name) for name in ("city", "country")}
    return {
        "email": email,
        "first_name": clean(user.text("first_name")),
        "last_name": clean(user.text("last_name")),
        "phone": user.text("phone")[:_LONGEST],
        "attributes": {name: text for name, text in told.items() if text},
    }


def _groups(user: Payload, learner: Learner, at: datetime) -> list[EnrollmentCommand]:
    """Return one command for all groups without a date, and one for those of each date."""
    since: dict[str, datetime] = {}
    for entry in each(user.at("group_name").value):
        name, *when = [Payload(value).text() for value in each(entry)] or [""]
        if name:
            since.setdefault(f"{GROUP}{name}", (parsed(when[0]) if when else None) or at)
    return [
        _command(
            action=Action.ENROLL,
            occurred_at=moment,
            learner=learner,
            items=[{"remote_product_id": group} for group, entered in since.items() if entered == moment],
            product="user.group_name",
        )
        for moment in dict.fromkeys(since.values())
    ]


def _purchase(deal: Deal, block: Payload, *, paid: bool) -> dict[str, Any]:
    cost, currency = major(block.at("deal_cost").value), block.text("deal_currency") or None
    item = {
        "remote_product_id": deal.product,
        "quantity": min(max(1, block.whole("quantity", 1)), _MOST),
        "amount_paid": cost if paid else None,
        "currency": currency,
    }
    order = {
        "number": deal.number or None,
        "status": deal.status or None,
        "total": cost,
        "currency": currency,
        "payment_method": block.text("payment_type") or None,
    }
    return {"items": [item], "order": {name: value for name, value in order.items() if value is not None}}


def _command(*, product: str = "deal.offer_code", **values: Any) -> EnrollmentCommand:
    try:
        return command(**values)
    except PayloadInvalid as invalid:
        known = {**_EXPECTED, "items": (product, "text of at most 500 characters")}
        faults = {}
        for field in invalid.faults:
            place = next((place for place in known if field.startswith(place)), "")
            name, expected = known.get(place, ("params", "texts of at most 500 characters"))
            faults[name] = f"The {name} parameter must be {expected}."
        raise PayloadInvalid(faults) from None


ADAPTER: type[InboundAdapter] = Getcourse
