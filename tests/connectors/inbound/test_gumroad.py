"""Gumroad as a source: the suite, then what only this sender says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, Refund
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from tests.connectors.inbound.sellers_rig import ALTERATIONS, altered, shop
from tests.suites.inbound import RECEIVED, InboundSuite, refused, request

SECRET = "a-long-made-up-token"
SOLD_AT = datetime(2026, 11, 15, 12, 30, tzinfo=UTC)
JANE = Learner(email="jane.buyer@example.com", first_name="Jane", last_name="Buyer")
LINE = Item(remote_product_id="PRODID==", amount_paid=Decimal("49.00"), currency="USD")


def ping(body: bytes) -> InboundEvent:
    return request(body, query={"secret": SECRET})


def of_sale(action: Action, key: str, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=action,
        event_key=key,
        occurred_at=RECEIVED,
        business_key="sale:SALEID==",
        order=Order(transaction_id="SALEID=="),
        **more,
    )


class TestGumroad(InboundSuite):
    """Pings to an address that nobody else knows."""

    type = "gumroad"
    source: ClassVar[dict[str, Any]] = {"secret": SECRET}
    captured: ClassVar[Mapping[str, Sequence[EnrollmentCommand]]] = {
        "sale.constructed.form.txt": [
            EnrollmentCommand(
                action=Action.ENROLL,
                event_key="sale:SALEID==",
                business_key="sale:SALEID==",
                occurred_at=datetime(2024, 1, 15, 12, 30, tzinfo=UTC),
                livemode=False,
                learner=Learner(
                    email="jane.buyer@example.com",
                    first_name="Jane",
                    last_name="Buyer",
                    attributes={"size": "large", "name": "Jane"},
                ),
                items=(LINE,),
                order=Order(
                    number="123456789",
                    total=Decimal("49.00"),
                    currency="USD",
                    coupon="LAUNCH",
                    transaction_id="SALEID==",
                ),
            )
        ],
        "subscription_charge.form.txt": [
            EnrollmentCommand(
                action=Action.ENROLL,
                event_key="sale:SALE2==",
                business_key="sale:SALE2==",
                occurred_at=SOLD_AT,
                learner=JANE,
                items=(LINE,),
                order=Order(
                    number="123456789",
                    total=Decimal("49.00"),
                    currency="USD",
                    transaction_id="SALE2==",
                    subscription_id="SUBID==",
                ),
                options=Options(expires_at=SOLD_AT + timedelta(days=34)),
            )
        ],
        "refund.form.txt": [of_sale(Action.REFUND, "refund:SALEID==:full", refund=Refund(full=True))],
        "dispute.form.txt": [of_sale(Action.SUSPEND, "dispute:SALEID==")],
        "dispute_won.form.txt": [of_sale(Action.RESUME, "dispute_won:SALEID==")],
        "cancellation.form.txt": [],
        "subscription_ended.form.txt": [
            EnrollmentCommand(
                action=Action.CANCEL,
                event_key="subscription_ended:SUBID==:2026-11-21T00:00:00Z",
                occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
                order=Order(subscription_id="SUBID=="),
            )
        ],
        "subscription_restarted.form.txt": [
            EnrollmentCommand(
                action=Action.RESUME,
                event_key="subscription_restarted:SUBID==:2026-11-22T00:00:00Z",
                occurred_at=datetime(2026, 11, 22, tzinfo=UTC),
                order=Order(subscription_id="SUBID=="),
            )
        ],
    }

    def event(self, name: str, payload: bytes) -> InboundEvent:
        return ping(payload)

    def forged(self, event: InboundEvent) -> Mapping[str, InboundEvent]:
        wrong = ("", SECRET[:-1], SECRET.upper(), f" {SECRET}", "\ud800")
        return {
            **{repr(text): replace(event, query={"secret": text}) for text in wrong},
            "absent": replace(event, query={}),
            "under another name": replace(event, query={"token": SECRET}),
            "in the body": request(event.body + b"&secret=" + SECRET.encode()),
            "in a header": replace(event, query={}, headers={"secret": SECRET, "authorization": f"Bearer {SECRET}"}),
        }

    def changed(self, name: str = "subscription_charge.form.txt", /, **changes: str) -> InboundEvent:
        return ping(urlencode(dict(parse_qsl(self.load(name).body.decode())) | changes).encode())

    def the(self, event: InboundEvent) -> EnrollmentCommand:
        (command,) = self.adapter().normalise(event)
        return command

    @given(data=st.data())
    @ALTERATIONS
    def test_another_secret_is_refused(self, data: st.DataObject) -> None:
        """Whichever character of it is another one."""
        shown = data.draw(altered(SECRET.encode())).decode("latin-1")
        assert refused(self.adapter(), request(query={"secret": shown}))

    def test_takes_both_secrets_while_they_change(self) -> None:
        """The address is registered in several places."""
        adapter = self.adapter(secret=["new", SECRET])
        assert not refused(adapter, ping(b""))
        assert refused(self.adapter(secret=["new", "old"]), ping(b""))

    def test_json_means_the_same(self) -> None:
        """A seller may choose it; numbers and truths are then what they are."""
        form = self.load("sale.constructed.form.txt")
        said: dict[str, Any] = {k: v for k, v in parse_qsl(form.body.decode()) if "[" not in k}
        said |= {"price": 4900, "quantity": 1, "test": True, "refunded": False}
        said |= {"variants": {"size": "large"}, "custom_fields": {"name": "Jane"}}
        assert self.the(ping(orjson.dumps(said))) == self.the(form)

    @pytest.mark.parametrize(
        "printed",
        [
            '{"Name"=>"Ada Lovelace", "Club"=>"No"}',
            "{'Name': 'Ada Lovelace', 'Club': 'No'}",
            '{"Name": "Ada Lovelace", "Club": "No"}',
            '{:Name=>"Ada Lovelace", :Club=>"No"}',
        ],
    )
    def test_a_printed_dictionary_is_read(self, printed: str) -> None:
        """The name may stand in it, where the sale has none."""
        learner = self.the(self.changed(full_name="", custom_fields=printed)).learner
        assert learner is not None
        assert (learner.first_name, learner.last_name) == ("Ada", "Lovelace")
        assert learner.attributes == {"Name": "Ada Lovelace", "Club": "No"}

    @pytest.mark.parametrize("printed", ["", "{}", "none", "{" * 5000, "=>" * 2000, '{"a"=>"' + "x" * 100_000])
    def test_anything_else_is_no_dictionary(self, printed: str) -> None:
        """And is looked at quickly."""
        learner = self.the(self.changed(custom_fields=printed)).learner
        assert learner == JANE

    def test_a_ping_has_no_resource_name(self) -> None:
        """It is a sale, and the same one as the resource's."""
        sale = self.changed(resource_name="")
        assert self.the(sale) == self.the(self.load("subscription_charge.form.txt"))

    @pytest.mark.parametrize(
        "changes",
        [
            {"is_preorder_authorization": "true"},
            {"refunded": "true"},
            {"resource_name": "subscription_updated"},
            {"resource_name": "something_new"},
        ],
    )
    def test_what_gives_nothing_is_of_no_use(self, changes: dict[str, str]) -> None:
        """An authorisation is no payment, and a sale that is refunded already none any more."""
        assert self.adapter().normalise(self.changed(**changes)) == []

    @pytest.mark.parametrize(
        ("recurrence", "days"),
        [("monthly", 31), ("quarterly", 92), ("biannually", 184), ("yearly", 366), ("every_two_years", 731)],
    )
    def test_a_charge_lasts_as_long_as_its_recurrence(self, recurrence: str, days: int) -> None:
        """And the grace."""
        (command,) = self.adapter(period_grace="1d").normalise(self.changed(recurrence=recurrence))
        assert command.options.expires_at == SOLD_AT + timedelta(days=days + 1)

    @pytest.mark.parametrize("changes", [{"recurrence": "weekly"}, {"recurrence": ""}, {"subscription_id": ""}])
    def test_anything_else_has_no_end(self, changes: dict[str, str]) -> None:
        """What is bought once stays."""
        assert self.the(self.changed(**changes)).options.expires_at is None

    def test_part_of_the_money_takes_no_access(self) -> None:
        """And hides no full refund that follows."""
        part = self.the(self.changed("refund.form.txt", refunded="false"))
        assert part.refund == Refund(full=False)
        assert part.items == ()
        assert part.event_key != self.the(self.load("refund.form.txt")).event_key

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"email": ""}, "email"),
            ({"sale_id": ""}, "sale_id"),
            ({"product_id": "", "short_product_id": ""}, "short_product_id"),
            ({"resource_name": "subscription_ended", "subscription_id": ""}, "subscription_id"),
            ({"resource_name": "refund", "sale_id": ""}, "sale_id"),
        ],
    )
    def test_a_fault_names_the_field(self, changes: dict[str, str], field: str) -> None:
        """As Gumroad writes it."""
        with pytest.raises(PayloadInvalid) as invalid:
            self.adapter().normalise(self.changed(**changes))
        assert list(invalid.value.faults) == [field]

    def test_the_short_id_stands_in_for_the_product(self) -> None:
        """Where there is no other."""
        assert self.the(self.changed(product_id="")).items[0].remote_product_id == "abcd"

    async def test_a_sale_is_one_registration_through_dispute_and_refund(self, tmp_path: Path) -> None:
        """Told by the Ping and by the resource."""
        sale = self.changed(sale_id="SALEID==", subscription_id="", resource_name="")
        resource = self.changed(sale_id="SALEID==", subscription_id="")
        steps = {"dispute.form.txt": "suspended", "dispute_won.form.txt": "live", "refund.form.txt": "cancelled"}
        async with shop(tmp_path, self.adapter(), "PRODID==") as world:
            await world.receive(sale, resource, sale)
            assert await world.intents() == ["live"]
            for minute, (name, wanted) in enumerate(steps.items(), 1):
                later = replace(self.load(name), received_at=RECEIVED + timedelta(minutes=minute))
                await world.receive(later, later)
                assert await world.intents() == [wanted]

    async def test_a_subscription_ends_with_all_its_charges(self, tmp_path: Path) -> None:
        """Cancelled, it goes on until then; restarted, it is back."""
        first, second = self.changed(sale_id="S1"), self.changed(sale_id="S2")
        async with shop(tmp_path, self.adapter(), "PRODID==") as world:
            await world.receive(first, second, self.load("cancellation.form.txt"))
            assert await world.intents() == ["live", "live"]
            await world.receive(self.load("subscription_ended.form.txt"))
            assert await world.intents() == ["cancelled", "cancelled"]
            await world.receive(self.load("subscription_restarted.form.txt"))
            assert "live" in await world.intents()
