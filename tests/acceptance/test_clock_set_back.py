"""A machine whose clock was ahead and is set right: nothing waits for the wrong time to come again."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
from sqlalchemy import text

from bridge.app import Bridge
from bridge.kit.clock import SetClock, milliseconds
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, configuration, emulators, live, until

AHEAD = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECRET = "whsec_for_tests"
SHOP = f"""
[sources.shop]
adapter = "stripe"
signing_secrets = ["{SECRET}"]
api_key = "rk_for_tests"
base_url = "http://127.0.0.1:9"
"""


@asynccontextmanager
async def running(path, clock: SetClock):
    """Run a bridge by this clock."""
    bridge = Bridge(load(path, Registry(), env={}).settings, clock)
    await bridge.start()
    async with aiohttp.ClientSession() as session:
        yield bridge, Client(f"http://127.0.0.1:{bridge.port}", session)
    await bridge.stop()


async def _lookup(bridge: Bridge) -> tuple[str, int]:
    """Return state and due time of the one lookup, once it was tried in vain and put off."""
    statement = text("SELECT state, due_at FROM lookup WHERE attempts > 0")
    for _ in range(500):
        if rows := await bridge.ledger.read(lambda c: c.execute(statement).all()):
            return tuple(rows[0])
        await asyncio.sleep(0.02)
    raise AssertionError("nobody was asked")


async def _bought(client: Client, clock: SetClock) -> None:
    session = {
        "id": "cs_1",
        "mode": "payment",
        "payment_status": "paid",
        "customer_details": {"email": "a@example.org"},
    }
    body = orjson.dumps(
        {
            "id": "evt_1",
            "type": "checkout.session.completed",
            "created": int(clock.now().timestamp()),
            "livemode": True,
            "data": {"object": {**session, "object": "checkout.session", "currency": "usd", "amount_total": 100}},
        }
    )
    at = int(clock.now().timestamp())
    signature = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    status, _ = await client.post("/in/shop", data=body, headers={"Stripe-Signature": f"t={at},v1={signature}"})
    assert status == 200


async def test_what_is_asked_at_a_sender_is_asked_soon(tmp_path) -> None:
    """A thin event that could not be understood yet is asked about in seconds, and not when tomorrow comes again."""
    clock = SetClock(AHEAD)
    async with emulators("elevate") as targets:
        path = configuration(tmp_path, targets, extra=SHOP)
        async with running(path, clock) as (bridge, client):
            assert bridge.dispatcher is not None
            await bridge.dispatcher.tick()
            await _bought(client, clock)
            await _lookup(bridge)
            clock._at -= DAY
            await bridge.dispatcher.tick()
            state, due = await _lookup(bridge)
            assert state == "open"
            assert due <= milliseconds(clock.now()) + 60_000


async def test_what_was_put_off_goes_out_after_a_restart_too(tmp_path) -> None:
    """The clock is set right while the bridge is stopped: nobody saw it jump, and what was touched tomorrow tells."""
    clock = SetClock(AHEAD)
    async with emulators("elevate") as targets:
        path = configuration(tmp_path, targets, extra=SHOP)
        fault = targets["elevate"].now_fails("status", status=503)
        async with running(path, clock) as (bridge, client):
            assert bridge.dispatcher is not None
            await client.register()
            await _bought(client, clock)
            await _lookup(bridge)
            await until(lambda: targets["elevate"].journal and not bridge.dispatcher.lanes["elevate"]._tasks)
        targets["elevate"].recovers(fault)
        clock._at -= DAY
        async with running(path, clock) as (bridge, _):
            assert bridge.dispatcher is not None
            await bridge.dispatcher.tick()
            _, due = await _lookup(bridge)
            assert due <= milliseconds(clock.now()) + 60_000
            clock.move(60.0)
            await bridge.dispatcher.tick()
            await until(lambda: len(live(targets["elevate"])) == 1)
