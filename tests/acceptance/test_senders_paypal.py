"""A PayPal payment all the way: over HTTP, proven and looked up at a stand-in for PayPal, into an LMS."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from tests.acceptance.rig import emulators, live, running, until
from tests.connectors.inbound.paypal_rig import (
    CLIENT_ID,
    CLIENT_SECRET,
    WEBHOOK_ID,
    Vendor,
    capture,
    order,
    signed,
    webhook,
)

CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
CAPTURE, ORDER = "3C679367HH908", "5O190127TN364715T"
BOUGHT = webhook(
    "PAYMENT.CAPTURE.COMPLETED",
    {**capture(CAPTURE, "10.00"), "supplementary_data": {"related_ids": {"order_id": ORDER}}},
    name="WH-capture",
)
UP = {"rel": "up", "href": f"https://api.paypal.com/v2/payments/captures/{CAPTURE}"}
REFUNDED = webhook(
    "PAYMENT.CAPTURE.REFUNDED",
    {"id": "R1", "status": "COMPLETED", "links": [UP]},
    name="WH-refund",
    at="2026-05-02T10:00:00Z",
)
IPN = "payment_status=Completed&txn_id={txn}&txn_type=web_accept&item_number=INTRO&receiver_email=seller%40example.org&payer_email=buyer%40example.com&first_name=John&mc_gross=10.00&mc_currency=USD&payment_date=03%3A00%3A00+May+1%2C+2026+PDT"

SOURCE = """
[sources.shop]
adapter = "paypal"
webhook_id = "{webhook_id}"
client_id = "{client_id}"
client_secret = "{client_secret}"
verify = "api"
receiver_email = "seller@example.org"
base_url = "{base_url}"
ipn_url = "{base_url}/cgi-bin/webscr"

[[products]]
source = "shop"
remote_product_id = "INTRO"
courses = ["intro-ce"]
"""


@pytest.fixture
async def world(tmp_path):
    vendor = Vendor()
    units = order()["purchase_units"][:1]
    vendor.things[f"/v2/checkout/orders/{ORDER}"] = order(purchase_units=units)
    vendor.things[f"/v2/payments/captures/{CAPTURE}"] = capture(CAPTURE, "10.00", "REFUNDED")
    async with vendor.serving(tls=False), emulators("elevate") as targets:
        secrets = {"webhook_id": WEBHOOK_ID, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        source = SOURCE.format(base_url=vendor.base_url, **secrets)
        async with running(tmp_path, targets, extra=source) as (bridge, client):
            yield vendor, client, targets["elevate"], bridge.ledger


async def send(client, body: bytes, **changed: str) -> int:
    status, _ = await client.post("/in/shop", data=body, headers={**signed(body, CERT_URL), **changed})
    return status


async def ipn(client, **fields: str) -> tuple[int, bytes]:
    form = IPN.format(txn=CAPTURE) + "".join(f"&{name}={text}" for name, text in fields.items())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client.session.post(client.base_url + "/in/shop", data=form.encode(), headers=headers) as answer:
        return answer.status, await answer.read()


async def states(ledger) -> list[str]:
    statement = text("SELECT state FROM registration ORDER BY id")
    return await ledger.read(lambda connection: list(connection.execute(statement).scalars()))


async def become(ledger, wanted: list[str]) -> None:
    for _ in range(500):
        if (found := await states(ledger)) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{found} did not become {wanted}")


def there(elevate) -> bool:
    return live(elevate) == [("buyer@example.com", "INTRO")]


async def test_bought_told_again_and_refunded(world) -> None:
    """Capture, its repeat, the order and the IPN of one payment are one registration; the refund takes it away."""
    vendor, client, elevate, ledger = world
    for _ in range(2):
        assert await send(client, BOUGHT) == 200
    await until(lambda: there(elevate))
    completed = webhook("CHECKOUT.ORDER.COMPLETED", vendor.things[f"/v2/checkout/orders/{ORDER}"], name="WH-order")
    assert await send(client, completed) == 200
    assert await ipn(client) == (200, b"")
    assert await send(client, REFUNDED) == 200
    await become(ledger, ["cancelled"])
    assert not live(elevate)


async def test_a_refund_that_comes_first_waits_for_its_purchase(world) -> None:
    """PayPal promises no order; and a purchase that was refunded already opens nothing for long."""
    vendor, client, elevate, ledger = world
    assert await send(client, REFUNDED) == 200
    await until(lambda: bool(vendor.asked("/v2/payments/captures/")))
    assert await states(ledger) == []
    assert await send(client, BOUGHT) == 200
    await become(ledger, ["cancelled"])
    assert not live(elevate)


async def test_an_api_that_is_down_answers_503_and_loses_nothing(world) -> None:
    """While it can't be asked whether PayPal has sent it; once it is proven, the purchase is safe though the order can't be had."""
    vendor, client, elevate, _ = world
    vendor.verdict, vendor.ipn = 500, 500
    assert await send(client, BOUGHT) == 503
    assert (await ipn(client))[0] == 503
    vendor.verdict = "SUCCESS"
    found = vendor.things[f"/v2/checkout/orders/{ORDER}"]
    vendor.things[f"/v2/checkout/orders/{ORDER}"] = 500
    assert await send(client, BOUGHT) == 200
    await until(lambda: bool(vendor.asked("/v2/checkout/orders/")))
    vendor.things[f"/v2/checkout/orders/{ORDER}"] = found
    await until(lambda: there(elevate))


async def test_a_forgery_is_refused(world) -> None:
    """By its headers, by PayPal's word, or because it pays somebody else."""
    vendor, client, elevate, _ = world
    assert (
        await send(client, BOUGHT, **{"paypal-cert-url": CERT_URL.replace("paypal.com", "paypal.com.evil.example")})
        == 401
    )
    assert (await ipn(client, receiver_email="thief%40example.org"))[0] == 401
    assert not vendor.journal
    vendor.verdict, vendor.ipn = "FAILURE", "INVALID"
    assert await send(client, BOUGHT) == 401
    assert (await ipn(client))[0] == 401
    assert not elevate.holdings()
