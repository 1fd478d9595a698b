"""Keap as a source: the suite, then its handshake, its thin hooks, its tags, and the step of an automation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Enriches, Handshakes, InboundAdapter, InboundEvent, Lookup, Response, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.intake.blank import stored_body
from tests.connectors.inbound.crm_rig import PlayedApi, answered, asking, bridged
from tests.ledger.rig import SHOP
from tests.suites.inbound import PAYLOADS, RECEIVED, InboundSuite, refused, request

SECRET = "SHARED-SECRET"
KEY = "KeapAK-made-up"
BOUGHT = datetime(2024, 1, 15, 12, 31, tzinfo=UTC)
GONE = datetime(2024, 1, 16, 9, tzinfo=UTC)
JANE = Learner(remote_user_id="4711", email="jane.buyer@example.com", first_name="Jane", last_name="Buyer")
PURCHASE = {"type": "purchase", "product": "COURSE-101", "contactId": "4711", "email": "jane.buyer@example.com"}


def answer(name: str, **changes: Any) -> dict[str, Any]:
    return {**orjson.loads((PAYLOADS / "keap" / f"{name}.json").read_bytes()), **changes}


def posted(pairs: Mapping[str, str], query: Mapping[str, str] | None = None, kind: str = "") -> InboundEvent:
    headers = {"content-type": kind} if kind else {}
    return request(urlencode(pairs).encode(), query=query, headers=headers)


def hook(event_key: str, *rows: Mapping[str, Any]) -> InboundEvent:
    body = {"event_key": event_key, "object_type": event_key.partition(".")[0], "object_keys": rows}
    return request(orjson.dumps(body), query={"secret": SECRET})


def row(number: int | str = 1234, at: str = "2024-01-15T12:30:00Z", **more: Any) -> dict[str, Any]:
    return {"id": number, "apiUrl": "https://evil.example/1", "timestamp": at, **more}


def tag_removed(contact: str, at: datetime) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.CANCEL,
        occurred_at=at,
        event_key=f"contactGroup.removed:91/{contact}:{at.isoformat()}",
        business_key=f"tag:91/{contact}",
        learner=Learner(remote_user_id=contact),
        items=(Item(remote_product_id="tag:91"),),
    )


class TestKeap(InboundSuite):
    """Hooks and steps, proven by the secret of the address or the form."""

    type = "keap"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET, "token": KEY}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "order.add.json": [],
        "order.delete.json": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=GONE,
                event_key="order.delete:1234:2024-01-16T09:00:00+00:00",
                business_key="1234",
                order=Order(number="1234"),
            )
        ],
        "contactGroup.removed.json": [
            tag_removed("4711", datetime(2024, 1, 16, 8, 59, tzinfo=UTC)),
            tag_removed("4712", GONE),
        ],
        "purchase.form.txt": [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=RECEIVED,
                learner=JANE,
                items=(Item(remote_product_id="COURSE-101"),),
            )
        ],
        "cancel.form.txt": [
            EnrollmentCommand(
                action=Action.CANCEL,
                occurred_at=RECEIVED,
                business_key="1234",
                learner=JANE.model_copy(update={"last_name": ""}),
                items=(Item(remote_product_id="COURSE-101"),),
                order=Order(number="1234"),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return request(payload) if name.endswith(".txt") else request(payload, query={"secret": SECRET})

    def places(self) -> list[InboundEvent]:
        return [
            hook("order.add", row()),
            posted(PURCHASE, {"secret": SECRET}),
            posted({**PURCHASE, "secret": SECRET}),
            posted({**PURCHASE, "accessKey": SECRET}, kind="application/x-www-form-urlencoded; charset=UTF-8"),
            posted({**PURCHASE, "secret": SECRET}, {"secret": "an older one"}),
        ]

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        return {
            "absent": replace(event, query={}, body=event.body.replace(SECRET.encode(), b"")),
            "wrong in the address": replace(hook("order.add"), query={"secret": "shared-secret"}),
            "wrong in the form": posted({**PURCHASE, "secret": SECRET + "x"}),
            "in a header": replace(posted(PURCHASE), headers={"x-hook-secret": SECRET, "secret": SECRET}),
            "in JSON, which is no place for it": request(orjson.dumps({"secret": SECRET})),
            "in a body that says it is no form": posted({**PURCHASE, "secret": SECRET}, kind="text/plain"),
        }

    def thin(self, **changes: Any) -> Enriches:
        return cast("Enriches", self.adapter(**changes))

    def faults(self, event: InboundEvent, **changes: Any) -> dict[str, str]:
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter(**changes).normalise(event)
        return invalid.value.faults

    async def found(self, event: InboundEvent, answers: Mapping[str, Any], **changes: Any) -> Any:
        """Make the one lookup of an event."""
        adapter = self.thin(**changes)
        (lookup,) = adapter.lookups(event)
        async with PlayedApi(answers).reached() as http:
            return await adapter.look_up(event, lookup, http)

    def test_either_secret_counts_while_they_rotate(self) -> None:
        """The address of each hook is changed by itself."""
        adapter = self.adapter(secret=["new", "old"])
        for secret, wanted in {"new": False, "old": False, SECRET: True}.items():
            assert refused(adapter, posted(PURCHASE, {"secret": secret})) is wanted

    def test_a_secret_in_a_form_is_never_stored(self) -> None:
        """Whatever is accepted as a form is blanked as one."""
        adapter = self.adapter()
        for event in self.places():
            adapter.verify(event)
            assert SECRET not in stored_body(event, adapter.credential_fields, ())[0]

    # The handshake.

    def hand(self, event: InboundEvent) -> Response | None:
        return cast("Handshakes", self.adapter()).handshake(event)

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"<a/>"])
    def test_the_hook_secret_is_given_back(self, body: bytes) -> None:
        """In the answer's header, whatever the body is."""
        event = request(body, query={"secret": SECRET}, headers={"x-hook-secret": "temporary-1"})
        assert self.hand(event) == Response(200, {"status": "verified"}, {"X-Hook-Secret": "temporary-1"})

    @pytest.mark.parametrize("shown", ["", "a\r\nSet-Cookie: b", "\udcff", "ü", "x" * 501])
    def test_nothing_else_is_given_back(self, shown: str) -> None:
        """What could not stand in a header."""
        assert self.hand(request(query={"secret": SECRET}, headers={"x-hook-secret": shown})) is None

    def test_the_address_of_another_is_not_confirmed(self) -> None:
        """Without the right secret it would not receive anything anyway."""
        for query in ({}, {"secret": "wrong"}):
            assert self.hand(request(query=query, headers={"x-hook-secret": "temporary-1"})) is None

    def test_events_are_no_handshake(self) -> None:
        """Also where they carry the header, so that no purchase is lost."""
        event = replace(hook("order.add", row()), headers={"x-hook-secret": "temporary-1"})
        assert self.hand(event) is None

    # Thin events.

    def test_a_post_asks_once_for_each_object(self) -> None:
        """Up to a thousand, by id; of a repeated one once."""
        event = hook("order.edit", *(row(number) for number in (*range(1000), 7, "7")))
        assert self.adapter().normalise(event) == []
        assert [(lookup.kind, lookup.key) for lookup in self.thin().lookups(event)] == [
            ("order", str(number)) for number in range(1000)
        ]

    def test_a_repeat_is_known_by_event_object_and_time(self) -> None:
        """All that Keap has; a row without its time has nothing in common with its repeat."""
        first, other, undated = (
            self.thin().lookups(hook("order.edit", row(7, at)))[0].event_key
            for at in ("2024-01-15T12:30:00Z", "2024-01-15T12:30:01Z", "")
        )
        assert first == "order.edit:7:2024-01-15T12:30:00+00:00"
        assert other not in (first, None)
        assert undated is None
        (command,) = self.adapter().normalise(hook("order.delete", row(7, "")))
        assert (command.event_key, command.occurred_at) == (None, RECEIVED)

    def test_a_row_without_an_id_does_not_sink_the_others(self) -> None:
        """It waits under its place."""
        event = hook("order.add", row(""), row(5))
        assert self.adapter().normalise(event) == [Unreadable("0", {"object_keys.0.id": "is missing"})]
        assert self.thin().lookups(event) == [Lookup("order", "5", "order.add:5:2024-01-15T12:30:00+00:00")]

    @pytest.mark.parametrize("event_key", ["contact.add", "invoice.edit", "opportunity.stage_move", "subscription.add"])
    def test_other_hooks_mean_nothing(self, event_key: str) -> None:
        """Nor are they asked about."""
        event = hook(event_key, row())
        assert self.adapter().normalise(event) == []
        assert self.thin().lookups(event) == []

    def test_a_hook_without_a_token_is_told(self) -> None:
        """It waits in quarantine until the token is there."""
        assert list(self.faults(hook("order.add", row()), token=None)) == ["token"]
        assert self.thin(token=None).lookups(hook("order.add", row())) == []

    async def test_a_paid_order_enrolls(self) -> None:
        """As the API tells it; shipping is no product."""
        assert await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": answer("order")}) == [
            EnrollmentCommand(
                action=Action.ENROLL,
                occurred_at=BOUGHT,
                event_key="order:1234:2024-01-15T12:31:00+00:00",
                business_key="1234",
                learner=JANE,
                items=(Item(remote_product_id="101", amount_paid=Decimal("49.9"), currency="USD"),),
                order=Order(number="1234", status="PAID", total=Decimal("54.9"), currency="USD"),
            )
        ]

    async def test_the_address_is_built_from_the_id_and_the_key_shown(self) -> None:
        """Never from apiUrl, whatever stands there, and an id can't lead elsewhere."""
        played = PlayedApi({"/crm/rest/v2/orders/..%2Fx%3Fy": answer("order")})
        event = hook("order.add", row("../x?y"))
        (lookup,) = self.thin().lookups(event)
        async with played.reached() as http:
            await self.thin().look_up(event, lookup, http)
        [(path, headers)] = played.asked
        assert path == "/crm/rest/v2/orders/..%2Fx%3Fy"
        assert headers["X-Keap-API-Key"] == KEY

    @pytest.mark.parametrize(
        ("changes", "part_paid", "paid"),
        [
            ({"total_paid": {"amount": 0}, "total_due": {"amount": 54.9}}, False, False),
            ({"total_paid": {"amount": 10}, "total_due": {"amount": 44.9}}, False, False),
            ({"total_paid": {"amount": 10}, "total_due": {"amount": 44.9}}, True, True),
            ({"total_paid": {"amount": 0}, "total_due": {"amount": 54.9}}, True, False),
            ({"total_paid": {"amount": 54.9}, "total_due": None}, False, True),
            ({"total_paid": 54.9, "total": 54.9, "total_due": 0}, False, True),
            (
                {"total_paid": {"amount": 44.9}, "refund_total": {"amount": 10}, "total_due": {"amount": 10}},
                False,
                True,
            ),
            ({"total": {"amount": 0}, "total_paid": {"amount": 0}, "total_due": None}, False, True),
        ],
    )
    async def test_an_order_gives_access_once_it_is_paid(
        self, changes: Mapping[str, Any], part_paid: bool, paid: bool
    ) -> None:
        """A new order is no proof of payment; part of it is one only where the source says so."""
        order = answer("order", status="SENT", **changes)
        command, *_ = await self.found(
            hook("order.add", row()), {"/crm/rest/v2/orders/1234": order}, part_paid=part_paid
        )
        assert command.action is Action.ENROLL
        assert command.paid is paid

    async def test_an_order_that_does_not_say_whether_it_is_paid_is_a_fault(self) -> None:
        """Nothing is given on a guess."""
        order = answer("order", status="SENT", total_paid=None, total_due=None)
        with pytest.raises(PayloadInvalid) as invalid:
            await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": order})
        assert list(invalid.value.faults) == ["order.total_paid"]

    async def test_a_full_refund_takes_the_order_back(self) -> None:
        """At the time of the event that told of it, if the order was not changed later."""
        order = answer("order", refund_total={"amount": 54.9, "currency_code": "USD"})
        event = hook("order.edit", row(at="2024-01-20T00:00:00Z"))
        (command,) = await self.found(event, {"/crm/rest/v2/orders/1234": order})
        assert (command.action, command.refund) == (Action.REFUND, Refund(full=True))
        assert command.occurred_at == datetime(2024, 1, 20, tzinfo=UTC)
        assert (command.business_key, command.items) == ("1234", ())

    async def test_part_of_the_money_back_leaves_access(self) -> None:
        """It is noted beside the purchase."""
        order = answer("order", refund_total={"amount": 10, "currency_code": "USD"})
        bought, back = await self.found(hook("order.edit", row()), {"/crm/rest/v2/orders/1234": order})
        assert (bought.action, bought.paid) == (Action.ENROLL, True)
        assert (back.action, back.refund, back.items) == (Action.REFUND, Refund(full=False), ())

    async def test_lines_of_one_product_are_one(self) -> None:
        """Other events name no lines."""
        line = answer("order")["order_items"][0]
        order = answer("order", order_items=[line, {**line, "id": "9", "quantity": 2}])
        (command,) = await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": order})
        assert command.items == (
            Item(remote_product_id="101", quantity=3, amount_paid=Decimal("149.7"), currency="USD"),
        )

    async def test_an_order_without_products_means_nothing(self) -> None:
        """A typed-in line is nothing that could be mapped."""
        order = answer("order", order_items=[{"id": "1", "name": "Coaching", "product": {"id": 0}}])
        assert await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": order}) == []

    async def test_a_buyer_whom_the_order_names_by_id_alone_is_asked_for(self) -> None:
        """The first address counts."""
        order = answer("order", contact={"id": 4711})
        answers = {"/crm/rest/v2/orders/1234": order, "/crm/rest/v2/contacts/4711": answer("contact")}
        (command,) = await self.found(hook("order.add", row()), answers)
        assert command.learner == JANE.model_copy(update={"phone": "+1 555 0100"})

    async def test_a_payment_leads_to_its_orders(self) -> None:
        """The order is read, as when it tells of itself."""
        answers = {"/crm/rest/v1/transactions/900": answer("transaction"), "/crm/rest/v2/orders/1234": answer("order")}
        (command,) = await self.found(hook("invoice.payment.add", row(900)), answers)
        assert (command.business_key, command.paid) == ("1234", True)

    async def test_an_order_of_a_subscription_is_one_period(self) -> None:
        """Until the next billing date and the grace."""
        line = {**answer("order")["order_items"][0], "subscription_id": "55"}
        answers = {
            "/crm/rest/v2/orders/1234": answer("order", order_items=[line]),
            "/crm/rest/v2/subscriptions/55": answer("subscription"),
        }
        (command,) = await self.found(hook("order.add", row()), answers)
        assert command.order.subscription_id == "55"
        assert command.options == Options(expires_at=datetime(2024, 2, 18, tzinfo=UTC))
        answers["/crm/rest/v2/subscriptions/55"]["next_bill_date"] = "2024-01-15T00:00:00Z"
        (command,) = await self.found(hook("order.add", row()), answers)
        assert command.options == Options(), "a date that was not moved on yet would lock out somebody who pays"

    async def test_a_subscription_that_is_no_longer_active_ends_all_its_periods(self) -> None:
        """And nothing else is named."""
        path = "/crm/rest/v2/subscriptions/55"
        event = hook("subscription.edit", row(55, "2024-03-01T00:00:00Z"))
        assert await self.found(event, {path: answer("subscription")}) == []
        (command,) = await self.found(event, {path: answer("subscription", active=False)})
        (deleted,) = self.adapter().normalise(hook("subscription.delete", row(55, "2024-03-01T00:00:00Z")))
        for ended in (command, deleted):
            assert ended.action is Action.CANCEL
            assert ended.order == Order(subscription_id="55")
            assert ended.business_key is None
            assert ended.occurred_at == datetime(2024, 3, 1, tzinfo=UTC)

    @pytest.mark.parametrize("status", [404, 400])
    async def test_an_object_that_is_not_there_is_given_up(self, status: int) -> None:
        """It is told to the operator."""
        found = await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": status})
        assert isinstance(found, Refused)

    async def test_bad_answers_are_sorted(self) -> None:
        """Trouble is tried again, a bad key is the operator's."""
        for status, kind in {500: TryLater, 429: TryLater, 401: NeedsOperator, 403: NeedsOperator}.items():
            found = await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": status})
            assert isinstance(found, kind)
        with pytest.raises(PayloadInvalid):
            await self.found(hook("order.add", row()), {"/crm/rest/v2/orders/1234": [1]})

    # Tags.

    async def test_a_tag_that_was_applied_is_a_purchase(self) -> None:
        """Of the product tag:ID, by each of the contacts."""
        event = hook("contactGroup.applied", row(91, contact_details=[{"id": 4711}, {"id": "4712"}]))
        assert [(lookup.kind, lookup.key) for lookup in self.thin().lookups(event)] == [
            ("tag", "91/4711"),
            ("tag", "91/4712"),
        ]
        single = hook("contactGroup.applied", row(91, contact_details=[{"id": 4711}]))
        (command,) = await self.found(single, {"/crm/rest/v2/contacts/4711": answer("contact")})
        assert command.items == (Item(remote_product_id="tag:91"),)
        assert command.business_key == "tag:91/4711"
        assert command.learner.email == "jane.buyer@example.com"

    def test_only_the_tags_that_give_access_are_asked_about(self) -> None:
        """A CRM has hundreds of others."""
        rows = [row(tag, contact_details=[{"id": 4711}]) for tag in (91, 92)]
        for event_key in ("contactGroup.applied", "contactGroup.removed"):
            event = hook(event_key, *rows)
            keys = [lookup.key for lookup in self.thin(tags=["92"]).lookups(event)]
            gone = [command.business_key for command in self.adapter(tags=["92"]).normalise(event)]
            assert keys + gone in (["92/4711"], ["tag:92/4711"])

    def test_a_tag_without_its_contact_waits(self) -> None:
        """Nobody knows whose it is."""
        (row_,) = self.adapter().normalise(hook("contactGroup.applied", row(91)))
        assert isinstance(row_, Unreadable)
        assert list(row_.faults) == ["contact_details"]

    # The step.

    def test_a_step_without_a_type_is_a_fault(self) -> None:
        """Nobody knows whether it gives or takes."""
        event = request((PAYLOADS / "keap" / "http_post_without_type.form.txt").read_bytes())
        assert self.faults(event) == {"type": "must be purchase or cancel"}

    @pytest.mark.parametrize("name", ["Id", "contactId", "ContactId", "Contact0Id"])
    def test_the_contact_may_be_named_in_four_ways(self, name: str) -> None:
        """Keap has used all of them."""
        pairs = {other: text for other, text in PURCHASE.items() if other != "contactId"}
        (command,) = self.adapter().normalise(posted({**pairs, name: "4711"}))
        assert command.learner.remote_user_id == "4711"

    @pytest.mark.parametrize("name", ["type", "product", "contactId", "email", "order"])
    def test_a_merge_field_that_was_not_replaced_is_named(self, name: str) -> None:
        """It is the likeliest mistake."""
        told = self.faults(posted({**PURCHASE, name: "~Contact.Xyz~"}))
        assert "~Contact.Xyz~" in told[name]

    def test_a_name_that_was_not_replaced_is_left_out(self) -> None:
        """The person has paid."""
        (command,) = self.adapter().normalise(posted({**PURCHASE, "first_name": "~Contact.FirstName~"}))
        assert command.learner.first_name == ""

    def test_pairs_that_never_change_may_stand_in_the_address(self) -> None:
        """The form counts more."""
        pairs = {name: PURCHASE[name] for name in ("contactId", "email")}
        (command,) = self.adapter().normalise(
            posted(pairs, {"type": "purchase", "product": "A", "email": "x@y.example"})
        )
        assert command.items == (Item(remote_product_id="A"),)
        assert command.learner.email == PURCHASE["email"]

    async def test_an_address_that_the_form_lacks_is_asked_for(self) -> None:
        """Where there is a token; else it is a fault."""
        event = posted({**PURCHASE, "email": ""})
        assert list(self.faults(event, token=None)) == ["email"]
        assert self.adapter().normalise(event) == []
        (command,) = await self.found(event, {"/crm/rest/v2/contacts/4711": answer("contact")})
        assert command.learner.email == "jane.buyer@example.com"
        assert command.items == (Item(remote_product_id="COURSE-101"),)

    def test_a_cancellation_says_whose_and_of_what(self) -> None:
        """Or of which order."""
        assert list(self.faults(posted({"type": "cancel"}))) == ["product", "email"]
        (command,) = self.adapter().normalise(posted({"type": "CANCEL", "order": "1234"}))
        assert (command.business_key, command.items, command.learner) == ("1234", (), None)


class TestAgainstALedger:
    """From hook to registration and back."""

    async def test_an_order_is_bought_repeated_and_refunded(self, tmp_path: Path) -> None:
        """One registration, told by hook, payment and step; gone after the refund."""
        adapter = TestKeap().adapter()
        played = PlayedApi(
            {
                "/crm/rest/v2/orders/1234": answer("order", status="SENT", total_due=54.9, total_paid=0),
                "/crm/rest/v1/transactions/900": answer("transaction"),
            }
        )
        async with bridged(tmp_path, SHOP, ["101"]) as world, asking(world, SHOP, adapter, played):

            async def take(event: InboundEvent) -> list[tuple[str, str]]:
                adapter.verify(event)
                await world.intake.receive(SHOP, adapter, event)
                await answered(world)
                rows = await world.rows("SELECT business_key, intent FROM registration")
                return [tuple(found) for found in rows]

            assert await take(hook("order.add", row())) == [("1234", "suspended")]
            played.answers["/crm/rest/v2/orders/1234"] = answer("order")
            paid = [("1234", "live")]
            assert await take(hook("invoice.payment.add", row(900, "2024-01-15T12:40:00Z"))) == paid
            assert await take(hook("order.add", row())) == paid
            step = posted({**PURCHASE, "product": "101", "order": "1234"}, {"secret": SECRET})
            assert await take(step) == paid
            assert await world.wanted("school") == {"email:jane.buyer@example.com": 1}
            played.answers["/crm/rest/v2/orders/1234"] = answer("order", refund_total={"amount": 54.9})
            later = (RECEIVED + timedelta(minutes=5)).isoformat()
            event = replace(hook("order.edit", row(at=later)), received_at=RECEIVED + timedelta(minutes=6))
            assert await take(event) == [("1234", "cancelled")]
            assert await world.wanted("school") == {"email:jane.buyer@example.com": 0}

    async def test_a_tag_is_applied_removed_and_applied_again(self, tmp_path: Path) -> None:
        """It is one registration throughout."""
        adapter: InboundAdapter = TestKeap().adapter()
        played = PlayedApi({"/crm/rest/v2/contacts/4711": answer("contact")})
        async with bridged(tmp_path, SHOP, ["tag:91"]) as world, asking(world, SHOP, adapter, played):
            intents = []
            for place, event_key in enumerate(("applied", "removed", "applied")):
                tagged = row(91, f"2024-01-15T12:3{place}:00Z", contact_details=[{"id": 4711}])
                await world.intake.receive(SHOP, adapter, hook(f"contactGroup.{event_key}", tagged))
                await answered(world)
                intents += [found.intent for found in await world.rows("SELECT intent FROM registration")]
            assert intents == ["live", "cancelled", "live"]


def test_the_form_sample_is_a_form() -> None:
    """The bytes that the suite posts are what a step posts."""
    assert dict(parse_qsl((PAYLOADS / "keap" / "purchase.form.txt").read_text()))["accessKey"] == SECRET
