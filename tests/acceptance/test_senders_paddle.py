"""A Paddle purchase all the way: over HTTP, its buyer looked up at a stand-in for Paddle's API, into an LMS."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from tests.acceptance.rig import emulators, live, running, until
from tests.connectors.inbound.test_paddle import (
    API_KEY,
    CTM,
    ONCE,
    SEATS,
    SECRET,
    SUB,
    TXN,
    Customers,
    account,
    classic,
    public,
    told,
)
from tests.suites.inbound import PAYLOADS

SOURCE = """
[sources.shop]
adapter = "paddle"
signing_secrets = "{secret}"
api_key = "{api_key}"
base_url = "{base_url}"
tolerance = "3650d"
public_key = '''{public_key}'''

[[products]]
source = "shop"
remote_product_id = "{seats}"
courses = ["intro-ce"]

[[products]]
source = "shop"
remote_product_id = "{once}"
courses = ["ethics"]

[[products]]
source = "shop"
remote_product_id = "77"
courses = ["intro-ce"]
"""
ALERT = {
    "alert_name": "payment_succeeded",
    "alert_id": "1",
    "event_time": "2026-05-01 10:00:00",
    "order_id": "11-22",
    "product_id": "77",
    "email": "ada@example.org",
}


@pytest.fixture
async def world(tmp_path):
    customers = Customers({"id": CTM, "name": None, "email": "sam@example.com"})
    async with customers.serving() as http, emulators("elevate") as targets:
        source = SOURCE.format(
            secret=SECRET, api_key=API_KEY, base_url=http.base_url, public_key=public(account()), seats=SEATS, once=ONCE
        )
        async with running(tmp_path, targets, extra=source) as (bridge, client):
            yield customers, client, targets["elevate"], bridge.ledger


async def send(client, event) -> int:
    headers = {**event.headers}
    if event.body[:1] != b"{":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    status, _ = await client.post("/in/shop", data=event.body, headers=headers)
    return status


def sample(name: str, **changed: Any) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads((PAYLOADS / "paddle" / f"{name}.hookdeck.json").read_bytes())["body"]["data"]
    return {**data, **changed}


async def become(ledger, wanted: dict[str, str]) -> None:
    statement = text("SELECT remote_product_id, state FROM registration ORDER BY id")
    for _ in range(500):
        rows = await ledger.read(lambda connection: list(connection.execute(statement)))
        if (found := {row.remote_product_id: row.state for row in rows}) == wanted and len(rows) == len(wanted):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{found} did not become {wanted}")


async def test_bought_told_again_refunded_and_cancelled(world) -> None:
    """Paid and completed are one purchase; one line is refunded by itself, and the subscription ends with what is left of it."""
    customers, client, elevate, ledger = world
    data = sample("transaction.completed", billing_period={"ends_at": "2036-06-01T00:00:00Z"})
    assert await send(client, told("transaction.paid", sample("transaction.paid"), name="evt_0")) == 200
    for number in range(2):
        assert await send(client, told("transaction.completed", data, name=f"evt_{number}")) == 200
    await become(ledger, {SEATS: "active", ONCE: "active"})
    await until(lambda: len(customers.asked) == 2)
    assert live(elevate) == [("sam@example.com", "ETHICS"), ("sam@example.com", "INTRO")]

    refund = {
        "id": "adj_1",
        "action": "refund",
        "status": "approved",
        "transaction_id": TXN,
        "items": [{"type": "full", "item_id": "txnitm_01j7br8aez018mgmrj3e9nbbr7"}],
    }
    event = told(
        "adjustment.created", {**refund, "status": "pending_approval"}, name="evt_8", at="2026-05-02T10:00:00Z"
    )
    assert await send(client, event) == 200
    assert await send(client, told("adjustment.updated", refund, name="evt_9", at="2026-05-03T10:00:00Z")) == 200
    await become(ledger, {SEATS: "active", ONCE: "cancelled"})
    canceled = told("subscription.canceled", {"id": SUB}, name="evt_10", at="2026-05-04T10:00:00Z")
    assert await send(client, canceled) == 200
    await become(ledger, {SEATS: "cancelled", ONCE: "cancelled", "pri_01h1vjfevh5etwq3rb416a23h2": "cancelled"})
    assert not live(elevate)


async def test_an_api_that_is_down_delays_the_purchase(world) -> None:
    """The event is safe, and the buyer is asked for until there is an answer."""
    customers, client, _, ledger = world
    found, customers.found = customers.found, 500
    assert (
        await send(client, told("transaction.completed", sample("transaction.completed", billing_period=None))) == 200
    )
    await until(lambda: bool(customers.asked))
    customers.found = found
    await become(ledger, {SEATS: "active", ONCE: "active"})


async def test_a_classic_dispute(world) -> None:
    """Bought, disputed, won: the learner is in, out and in again, under one registration."""
    _, client, elevate, ledger = world
    assert await send(client, classic(ALERT)) == 200
    await become(ledger, {"77": "active"})
    for alert, state in (("payment_dispute_created", "suspended"), ("payment_dispute_closed", "active")):
        time = f"2026-05-0{2 if state == 'suspended' else 3} 10:00:00"
        assert await send(client, classic({**ALERT, "alert_name": alert, "alert_id": alert, "event_time": time})) == 200
        await become(ledger, {"77": state})
    assert live(elevate) == [("ada@example.org", "INTRO")]
    forged = classic({**ALERT, "alert_name": "payment_refunded", "refund_type": "full"}, account(1))
    assert await send(client, forged) == 401
