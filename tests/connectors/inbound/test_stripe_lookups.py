"""What Stripe's events leave out is asked at its API: here a real server on loopback plays it, with faults and pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
import stripe
from aiohttp import web
from yarl import URL

from bridge.contract.command import EnrollmentCommand, Item
from bridge.contract.errors import AnswerLost, PayloadInvalid
from bridge.contract.inbound import Enriches, InboundAdapter, InboundEvent, Lookup, Unreadable
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from connectors.inbound.stripe.api import VERSION
from tests.connectors.inbound.stripe_rig import (
    API_KEY,
    NOW,
    PlayedStripe,
    adapter,
    error,
    item,
    moment,
    new_invoice,
    new_line,
    old_invoice,
    old_line,
    session,
    subscribed,
    told,
)
from tests.suites.inbound import PAYLOADS

MONTH = 30 * 86_400
BOUGHT = told("checkout.session.completed", session())


def asker(**settings: Any) -> InboundAdapter:
    return adapter(api_key=API_KEY, **settings)


async def found(played: PlayedStripe, event: InboundEvent = BOUGHT, adapted: InboundAdapter | None = None) -> Any:
    """Make the one lookup of an event."""
    thin = cast("Enriches", adapted or asker())
    (lookup,) = thin.lookups(event)
    async with played.reached() as http:
        return await thin.look_up(event, lookup, http)


async def test_a_session_is_bought_as_its_lines_say() -> None:
    """Prices, or products where the operator maps those; lines of one product are one."""
    played = PlayedStripe()
    played.lines["cs_1"] = [
        item(amount_total=4990, quantity=2),
        item("price_B", "prod_B", amount_total=1000),
        item("price_A2", "prod_A", amount_total=10),
    ]
    (command,) = await found(played)
    assert command.items == (
        Item(remote_product_id="price_A", quantity=2, amount_paid=Decimal("49.90"), currency="EUR"),
        Item(remote_product_id="price_B", amount_paid=Decimal("10.00"), currency="EUR"),
        Item(remote_product_id="price_A2", amount_paid=Decimal("0.10"), currency="EUR"),
    )
    assert (command.business_key, command.occurred_at) == ("payment:pi_1", moment(NOW - 60))
    (command,) = await found(played, adapted=asker(sold_by="product"))
    assert [(line.remote_product_id, line.quantity) for line in command.items] == [("prod_A", 3), ("prod_B", 1)]


async def test_the_official_line_is_understood() -> None:
    """As the fixture tells it, with a price that is an object."""
    played = PlayedStripe()
    played.lines["cs_1"] = json.loads((PAYLOADS / "stripe" / "line_items.official.json").read_text())["data"]
    (command,) = await found(played)
    assert [line.remote_product_id for line in command.items] == ["price_1PgafmB7WZ01zgkW02Hf9z6c"]


async def test_all_pages_are_read() -> None:
    """A cart holds up to a hundred lines, an answer as many as the server likes."""
    played = PlayedStripe(page=2)
    played.lines["cs_1"] = [item(f"price_{i}") for i in range(5)]
    (command,) = await found(played)
    assert [line.remote_product_id for line in command.items] == [f"price_{i}" for i in range(5)]
    assert [query.get("starting_after") for _, _, query, _ in played.asked] == [None, "li_price_1", "li_price_3"]
    assert {query["limit"] for _, _, query, _ in played.asked} == {"100"}


async def test_a_session_asks_for_its_invoice_and_says_what_the_invoice_says() -> None:
    """So either may come first; the answer is of the newest version, whatever version the event has."""
    paid = NOW - 90
    for old in (
        old_invoice(old_line(start=NOW, end=NOW + MONTH), paid_at=paid, charge=None),
        new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=paid, payments=["pi_1"]),
    ):
        played = PlayedStripe()
        played.invoices["in_1"] = new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=paid, payments=["pi_1"])
        asked = await found(played, told("checkout.session.completed", subscribed(), event_id="evt_1"))
        assert asked == asker().normalise(told("invoice.paid", old, event_id="evt_1"))
        assert played.asked[0][2] == {"expand[0]": "payments"}


async def test_a_session_is_asked_for_the_invoice_that_it_makes() -> None:
    """It is not there yet, and another session's would be no answer."""
    event = told("checkout.session.completed", session(invoice_creation={"enabled": True}))
    played = PlayedStripe()
    played.sessions["cs_1"] = session()
    assert await found(played, event) == TryLater("the session's invoice is not made yet")
    played.sessions["cs_1"] = session(id="cs_2", invoice="in_1")
    assert later(await found(played, event), "outage")
    assert [path for _, path, *_ in played.asked] == ["/v1/checkout/sessions/cs_1"] * 2


async def test_an_invoice_is_asked_for_its_payment() -> None:
    """By which a refund or a dispute will name it."""
    played = PlayedStripe()
    invoice = new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=NOW - 90)
    played.invoices["in_1"] = new_invoice(
        new_line(start=NOW, end=NOW + MONTH), paid_at=NOW - 90, payments=["pi_1", "pi_2"]
    )
    (command,) = await found(played, told("invoice.paid", invoice))
    assert (command.order.transaction_id, command.order.refs) == ("pi_1", ("in_1", "pi_1", "pi_2"))


async def test_a_long_invoice_is_read_to_its_end() -> None:
    """An event shows the first ten lines only."""
    lines = [new_line(f"price_{i}", start=NOW, end=NOW + MONTH) for i in range(12)]
    played = PlayedStripe(page=5)
    played.lines["in_1"] = lines
    invoice = new_invoice(*lines[:10], paid_at=NOW - 90, payments=["pi_1"])
    invoice["lines"]["has_more"] = True
    played.invoices["in_1"] = invoice
    (command,) = await found(played, told("invoice.paid", invoice))
    assert [line.remote_product_id for line in command.items] == [f"price_{i}" for i in range(12)]


async def test_an_invoice_that_is_open_still_is_no_purchase() -> None:
    """Its own event tells when it is paid."""
    played = PlayedStripe()
    played.invoices["in_1"] = new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=NOW, status="open")
    assert await found(played, told("checkout.session.completed", subscribed())) == []


async def test_a_connected_accounts_session_is_asked_for_in_its_name() -> None:
    """The key is the platform's."""
    played = PlayedStripe()
    played.lines["cs_1"] = [item()]
    await found(played, told("checkout.session.completed", session(), account="acct_1"))
    await found(played)
    assert [headers.get("Stripe-Account") for _, _, _, headers in played.asked] == ["acct_1", None]


async def test_an_id_cannot_lead_elsewhere() -> None:
    """It is quoted into the address."""
    played = PlayedStripe()
    answer = await found(played, told("checkout.session.completed", session(id="../../v1/refunds?a=b#c")))
    assert isinstance(answer, Refused)
    (_, path, query, _), *_ = played.asked
    assert URL.build(path=path).name == "line_items"
    assert path.startswith("/v1/checkout/sessions/")
    assert query == {"limit": "100"}


@asynccontextmanager
async def library(played: PlayedStripe) -> AsyncIterator[stripe.StripeClient]:
    async with played.at_work() as url:
        client = stripe.RequestsClient()
        try:
            yield stripe.StripeClient(
                API_KEY, base_addresses={"api": url}, http_client=client, max_network_retries=0, stripe_version=VERSION
            )
        finally:
            client.close()


async def test_asks_what_the_official_library_asks() -> None:
    """Address, query, authentication, version, account."""
    played = PlayedStripe()
    played.lines["cs_1"] = [item()]
    played.invoices["in_1"] = new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=NOW, payments=["pi_1"])
    await found(played, told("checkout.session.completed", session(), account="acct_1"))
    await found(played, told("checkout.session.completed", subscribed(), account="acct_1"))
    ours = played.asked
    played.asked = []
    options: Any = {"stripe_account": "acct_1"}
    async with library(played) as client:
        sessions, invoices = client.v1.checkout.sessions, client.v1.invoices
        lines = await asyncio.to_thread(sessions.line_items.list, "cs_1", {"limit": 100}, options)
        invoice = await asyncio.to_thread(invoices.retrieve, "in_1", {"expand": ["payments"]}, options)
    assert lines.data[0].price is not None
    assert lines.data[0].price.id == "price_A"
    assert invoice.payments is not None
    names = ("Authorization", "Stripe-Version", "Stripe-Account")
    assert [(*request[:3], *(request[3][name] for name in names)) for request in ours] == [
        (*request[:3], *(request[3][name] for name in names)) for request in played.asked
    ]


def later(outcome: Any, cause: str, after: float | None = None) -> bool:
    return isinstance(outcome, TryLater) and (outcome.cause, outcome.after) == (cause, after)


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (lambda: error(429, "slow down", **{"Retry-After": "3"}), lambda out: later(out, "throttled", 3.0)),
        (lambda: error(500, "oh"), lambda out: later(out, "outage")),
        (lambda: error(503, "oh"), lambda out: later(out, "outage")),
        (lambda: web.Response(text="<html>hello</html>"), lambda out: later(out, "outage")),
        (lambda: web.json_response([]), lambda out: later(out, "outage")),
        (lambda: web.json_response({"object": "list"}), lambda out: later(out, "outage")),
        (lambda: web.json_response({"data": "x", "has_more": False}), lambda out: later(out, "outage")),
        (lambda: web.json_response({"data": [], "has_more": True}), lambda out: later(out, "outage")),
        (lambda: web.json_response({"data": [{}], "has_more": True}), lambda out: later(out, "outage")),
        (lambda: error(401, "Invalid API Key provided"), lambda out: isinstance(out, NeedsOperator)),
        (lambda: error(403, "not permitted"), lambda out: isinstance(out, NeedsOperator)),
        (
            lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
            lambda out: isinstance(out, NeedsOperator),
        ),
        (
            lambda: error(404, "No such checkout.session"),
            lambda out: isinstance(out, Refused) and "api_key" in out.remedy,
        ),
        (lambda: error(400, "bad"), lambda out: isinstance(out, Refused)),
    ],
)
async def test_what_is_no_answer(fault: Callable[[], web.Response], wanted: Callable[[Any], bool]) -> None:
    """Later, the operator, or never; and no outcome tells the key."""
    played = PlayedStripe()
    played.lines["cs_1"] = [item()]
    played.faults = [fault]
    outcome = await found(played)
    assert wanted(outcome), outcome
    assert len(played.asked) == 1
    assert API_KEY not in repr(outcome)
    assert len(await found(played)) == 1


async def test_a_fault_on_the_second_page_is_none_of_half_the_lines() -> None:
    """Half a purchase would look like a whole one."""
    played = PlayedStripe(page=1)
    played.lines["cs_1"] = [item(), item("price_B")]
    again = {"data": [item()], "has_more": True}
    played.faults = [lambda: web.json_response(again), lambda: error(500, "oh")]
    assert later(await found(played), "outage")
    played.faults = [lambda: web.json_response(again), lambda: web.json_response(again)]
    assert later(await found(played), "outage")  # it would go on for ever


async def test_pages_without_end_are_given_up() -> None:
    """More lines than any cart has."""
    played = PlayedStripe(page=1)
    played.lines["cs_1"] = [item(f"price_{i}") for i in range(30)]
    outcome = await found(played)
    assert isinstance(outcome, Refused)
    assert len(played.asked) == 20


async def test_nobody_there_is_told_as_such() -> None:
    """The job tries again."""

    async def hang_up(asked: web.Request) -> web.Response:
        assert asked.transport is not None
        asked.transport.abort()
        return web.Response()

    played = PlayedStripe()
    played.answer = hang_up  # type: ignore[method-assign]
    with pytest.raises(AnswerLost):
        await found(played)


async def test_another_invoice_is_no_answer() -> None:
    """A cache on the way, say."""
    played = PlayedStripe()
    played.invoices["in_1"] = new_invoice(new_line(start=NOW, end=NOW + MONTH), paid_at=NOW, id="in_2")
    assert later(await found(played, told("checkout.session.completed", subscribed())), "outage")


async def test_an_answer_without_products_waits_in_quarantine() -> None:
    """All of it, or the one line that has none."""
    played = PlayedStripe()
    played.lines["cs_1"] = []
    with pytest.raises(PayloadInvalid, match=r"line_items\.data: is empty"):
        await found(played)
    played.lines["cs_1"] = [item(), item(id="li_bad", price=None, description="")]
    command, bad = await found(played)
    assert isinstance(command, EnrollmentCommand)
    assert bad == Unreadable("li_bad", {"data.1.price": "is missing"})


async def test_without_its_key_a_lookup_waits_for_the_operator() -> None:
    """The setting was taken away while it was under way."""
    played = PlayedStripe()
    async with played.reached() as http:
        outcome = await cast("Enriches", adapter()).look_up(BOUGHT, Lookup("session", "cs_1"), http)
    assert isinstance(outcome, NeedsOperator)
    assert played.asked == []


def test_a_subscription_without_an_invoice_is_asked_for_by_its_session() -> None:
    """It is rare, and somebody has subscribed all the same."""
    thin = cast("Enriches", asker(period_grace=timedelta(days=1)))
    event = told("checkout.session.completed", subscribed(invoice=None))
    assert [(asked.kind, asked.key) for asked in thin.lookups(event)] == [("session", "cs_1")]
