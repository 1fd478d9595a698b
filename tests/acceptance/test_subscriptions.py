"""The life of a subscription through a whole bridge: over HTTP, by the timed job, to the LMS. With a clock the test sets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import orjson
import pytest
from sqlalchemy import text

from bridge.app import Bridge
from bridge.jobs.expiry import Expiry
from bridge.kit.clock import SetClock
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import asked
from tests.acceptance.rig import Client, configuration, emulators, live, until
from tests.connectors.inbound.paypal_rig import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, Vendor, signed, webhook

DAY = 86_400.0
LEMON = Path(__file__).parents[1] / "payloads" / "lemon_squeezy"
SOURCES = """
[sources.lemon]
adapter = "lemon_squeezy"
signing_secrets = "ls-secret"
payment_grace = "5d"

[[products]]
source = "lemon"
remote_product_id = "12"
courses = ["intro-ce"]
"""
PAYPAL = """
[sources.paypal]
adapter = "paypal"
webhook_id = "{webhook_id}"
client_id = "{client_id}"
client_secret = "{client_secret}"
verify = "api"
base_url = "{base_url}"

[[products]]
source = "paypal"
remote_product_id = "P-1"
courses = ["intro-ce"]
"""
CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-1"


class School:
    """A bridge between Lemon Squeezy and an LMS, and the clock that both go by."""

    def __init__(self, bridge: Bridge, clock: SetClock, client: Client, lms, config: Path) -> None:
        self.bridge, self.clock, self.client, self.lms, self.config = bridge, clock, client, lms, config

    async def tell(self, name: str, event_name: str = "", **attributes: str) -> None:
        """Send an event of Lemon Squeezy's, dated now."""
        said = orjson.loads((LEMON / name).read_bytes())
        said["meta"]["event_name"] = event_name or said["meta"]["event_name"]
        said["data"]["attributes"] |= {"updated_at": self.clock.now().isoformat(), **attributes}
        body = orjson.dumps(said)
        headers = {"X-Signature": hmac.new(b"ls-secret", body, hashlib.sha256).hexdigest()}
        status, _ = await self.client.post("/in/lemon", data=body, headers=headers)
        assert status == 200

    async def tell_of_paypal(self, kind: str, resource: dict) -> None:
        """Send an event of PayPal's about a subscription, dated now."""
        at = self.clock.now().isoformat()
        body = webhook(f"BILLING.SUBSCRIPTION.{kind}", {"id": "I-1", **resource}, name=f"WH-{kind}-{at}", at=at)
        status, _ = await self.client.post("/in/paypal", data=body, headers=signed(body, CERTIFICATE))
        assert status == 200

    async def pass_days(self, days: float) -> None:
        """Let time pass, and the timed job run."""
        await until(lambda: not any(lane.unsettled for lane in self.bridge.dispatcher.lanes.values()))
        self.clock.move(days * DAY)
        await Expiry(self.bridge.ledger, lambda: self.bridge.catalogue, self.clock).run()

    async def traced(self) -> str:
        said = await asked("trace", "ada@example.org", "--config", self.config)
        return " ".join(said.out.split())

    async def become(self, state: str) -> None:
        """Wait until the only registration is in this state."""
        statement = text("SELECT state FROM registration")
        for _ in range(500):
            found = await self.bridge.ledger.read(lambda connection: connection.execute(statement).scalars().all())
            if list(found) == [state]:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{found} did not become {state}")

    def inside(self) -> bool:
        return live(self.lms) == [("ada@example.org", "INTRO")]


@pytest.fixture
async def school(tmp_path):
    vendor = Vendor()
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session, vendor.serving(tls=False):
        secrets = {"webhook_id": WEBHOOK_ID, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        paypal = PAYPAL.format(base_url=vendor.base_url, **secrets)
        path = configuration(tmp_path, targets, extra=SOURCES + paypal)
        clock = SetClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
        running = Bridge(load(path, Registry(), env={}).settings, clock)
        await running.start()
        client = Client(f"http://127.0.0.1:{running.port}", session)
        yield School(running, clock, client, targets["elevate"], path)
        await running.stop()


async def test_a_failed_payment_suspends_when_its_grace_is_over(school: School) -> None:
    """Until then the learner is in and the trace says what is to come; paid after all, they are in again."""
    await school.tell("subscription_created.json")
    await until(school.inside)
    await school.pass_days(28)
    await school.tell("subscription_payment_success.json", "subscription_payment_failed")
    await school.pass_days(4.9)
    assert school.inside()
    said = await school.traced()
    assert "it will be suspended on 2026-12-25" in said
    assert "because a payment of its subscription failed (event 2)" in said
    await school.pass_days(0.2)
    await until(lambda: not live(school.lms))
    await school.become("suspended")
    await school.tell("subscription_payment_success.json", "subscription_payment_recovered")
    await until(school.inside)
    await school.pass_days(60)
    assert school.inside()


async def test_a_payment_before_the_grace_is_over_and_nothing_happened(school: School) -> None:
    """The LMS hears of none of it."""
    await school.tell("subscription_created.json")
    await until(school.inside)
    heard = len(school.lms.journal)
    await school.tell("subscription_payment_success.json", "subscription_payment_failed")
    await school.pass_days(2)
    await school.tell("subscription_payment_success.json", "subscription_payment_recovered")
    await school.pass_days(60)
    assert school.inside()
    assert len(school.lms.journal) == heard
    assert "will be suspended" not in await school.traced()
    await school.become("active")


async def test_a_clock_that_jumps_back_a_day_suspends_nobody_sooner(school: School) -> None:
    """And nobody twice."""
    await school.tell("subscription_created.json")
    await until(school.inside)
    await school.tell("subscription_payment_success.json", "subscription_payment_failed")
    await school.pass_days(4.9)
    school.clock._at -= timedelta(days=1)
    await school.pass_days(0.2)
    assert school.inside()
    await school.pass_days(1)
    await until(lambda: not live(school.lms))
    school.clock._at -= timedelta(days=1)
    await school.pass_days(0)
    await school.become("suspended")


async def test_what_is_to_come_outlives_a_restart(school: School) -> None:
    """It stands in the ledger, and a bridge that begins anew goes on from there."""
    await school.tell("subscription_created.json")
    await until(school.inside)
    await school.tell("subscription_payment_success.json", "subscription_payment_failed")
    await school.bridge.stop()
    second = Bridge(load(school.config, Registry(), env={}).settings, school.clock)
    await second.start()
    try:
        school.clock.move(6 * DAY)
        await Expiry(second.ledger, lambda: second.catalogue, school.clock).run()
        await until(lambda: not live(school.lms))
    finally:
        await second.stop()


BEGUN = {
    "plan_id": "P-1",
    "subscriber": {"email_address": "ada@example.org"},
    "billing_info": {"next_billing_time": "2026-12-22T12:00:00Z"},
}


async def test_a_subscription_cancelled_at_paypal_lasts_as_long_as_it_is_paid(school: School) -> None:
    """The cancellation says no end, but the purchase did: its period, and the days of grace."""
    await school.tell_of_paypal("ACTIVATED", BEGUN)
    await until(school.inside)
    await school.pass_days(10)
    await school.tell_of_paypal("CANCELLED", {})
    await school.pass_days(22.9)
    assert school.inside()
    said = await school.traced()
    assert "it will be cancelled on 2026-12-25 12:00" in said
    await school.pass_days(0.2)
    await until(lambda: not live(school.lms))
    await school.become("cancelled")


async def test_a_subscription_that_is_taken_up_again_goes_on(school: School) -> None:
    """Re-activated before its period was over, and paid again."""
    await school.tell_of_paypal("ACTIVATED", BEGUN)
    await until(school.inside)
    await school.tell_of_paypal("CANCELLED", {"billing_info": BEGUN["billing_info"]})
    await school.pass_days(1)
    await school.tell_of_paypal("RE-ACTIVATED", {})
    await school.pass_days(29.5)
    assert school.inside()
    assert "will be cancelled" not in await school.traced()
