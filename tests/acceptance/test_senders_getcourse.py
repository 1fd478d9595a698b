"""GetCourse's own callers against a whole bridge: over real HTTP, through a real ledger, into an LMS."""

from __future__ import annotations

import base64
import json
from typing import Any

import aiohttp
import pytest

from tests.acceptance.rig import emulators, live, running, until

KEY = "getcourse-key-for-tests"
EMAIL = "ada@example.org"
IN = [(EMAIL, "INTRO")]
EXTRA = f"""
[sources.school]
adapter = "getcourse"
key = "{KEY}"

[[products]]
source = "school"
remote_product_id = "lms-101"
courses = ["intro-ce"]

[[products]]
source = "school"
remote_product_id = "group:Club"
courses = ["ethics"]
"""


def packed(**blocks: Any) -> str:
    return base64.b64encode(json.dumps(blocks).encode()).decode()


@pytest.fixture
async def bridge(tmp_path):
    async with emulators("elevate") as targets, running(tmp_path, targets, EXTRA) as (_, client):
        yield client, targets["elevate"]


async def sdk(client, path: str, **blocks: Any) -> dict[str, Any]:
    """Call as the official SDK does: five blocks always, the empty ones as a list."""
    blocks = {name: blocks.get(name, []) for name in ("user", "system", "session", "deal", "message")}
    status, said = await client.post(path, data={"key": KEY, "action": "add", "params": packed(**blocks)})
    assert status == 200
    return said


async def deal(client, email: str = EMAIL, **block: Any) -> dict[str, Any]:
    return await sdk(client, "/pl/api/deals", user={"email": email}, deal=block)


async def bought(client, **block: Any) -> int:
    said = await deal(client, **block)
    assert said["success"] is said["result"]["success"] is True, said
    assert isinstance(said["result"]["user_id"], int)
    return said["result"]["deal_id"]


async def test_a_deal_goes_through_its_stages_by_its_number(bridge) -> None:
    """New, paid, moved on, cancelled, paid again, returned: one registration, and access follows."""
    client, lms = bridge
    deal_id = await bought(client, deal_number=30046, offer_code="lms-101", deal_cost=64.24, deal_status="new")
    assert isinstance(deal_id, int)
    assert await bought(client, deal_number="30046", deal_status="payed") == deal_id
    await until(lambda: live(lms) == IN)
    assert await bought(client, deal_number="30046", deal_status="payed") == deal_id
    await bought(client, deal_number="30046", deal_status="in_work")
    assert live(lms) == IN
    assert await bought(client, deal_number="30046", deal_status="cancelled") == deal_id
    await until(lambda: live(lms) == [])
    assert await bought(client, deal_number="30046", offer_code="lms-101", deal_is_paid=1) == deal_id
    await until(lambda: live(lms) == IN)
    assert await bought(client, deal_number="30046", deal_status="waiting_for_return") == deal_id
    assert live(lms) == IN
    assert await bought(client, deal_number="30046", payment_status="returned") == deal_id
    await until(lambda: live(lms) == [])


async def test_nobody_gets_in_before_the_deal_is_paid(bridge) -> None:
    """The next person's paid deal arrives at the LMS, and the unpaid ones before it never do."""
    client, lms = bridge
    for number, status in enumerate(("new", "in_work", "payment_waiting", "part_payed", "not_confirmed", "pending")):
        assert await bought(client, deal_number=number + 1, offer_code="lms-101", deal_status=status)
    await deal(client, "bob@example.org", offer_code="lms-101", deal_is_paid="да")
    await until(lambda: live(lms) == [("bob@example.org", "INTRO")])
    assert [held.person for held in lms.holdings()] == ["bob@example.org"]


async def test_cancelled_before_it_was_paid(bridge) -> None:
    """Calls carry no time, so the last one counts; a status of a deal that nobody knows can't give what it doesn't name."""
    client, lms = bridge
    assert (await deal(client, deal_number="7", deal_status="cancelled"))["success"] is True
    unknown = await deal(client, deal_number="7", deal_status="payed")
    assert unknown["success"] is False
    assert "no deal of this number" in unknown["result"]["error_message"]
    assert await bought(client, deal_number="7", offer_code="lms-101", deal_status="payed")
    await until(lambda: live(lms) == IN)


async def test_a_number_belongs_to_its_owner(bridge) -> None:
    """Two shops that count alike do not cancel one another's deals."""
    client, lms = bridge
    await bought(client, deal_number="1", offer_code="lms-101", deal_status="payed")
    await deal(client, "bob@example.org", deal_number="1", offer_code="lms-101", deal_status="payed")
    await until(lambda: live(lms) == [*IN, ("bob@example.org", "INTRO")])
    await deal(client, "bob@example.org", deal_number="1", deal_status="cancelled")
    await until(lambda: live(lms) == IN)
    assert (await deal(client, "eve@example.org", deal_number="1", deal_status="cancelled"))["success"] is True
    assert await bought(client, deal_number="1", deal_status="payed")
    assert live(lms) == IN


async def test_without_a_number_a_repeat_is_the_live_registration(bridge) -> None:
    """A caller that is run again enrolls nobody twice."""
    client, lms = bridge
    ids = {await bought(client, offer_code="lms-101", deal_cost=99, deal_is_paid="yes") for _ in range(3)}
    assert len(ids) == 1
    await until(lambda: live(lms) == IN)


async def test_an_unmapped_group_is_counted_and_the_person_kept(bridge) -> None:
    """Also beside a group that is mapped."""
    client, lms = bridge
    said = await sdk(client, "/pl/api/users", user={"email": EMAIL, "group_name": ["Nobody's"]})
    assert said["success"] is said["result"]["success"] is True
    assert said["result"]["user_id"]
    again = await sdk(client, "/pl/api/users", user={"email": EMAIL, "group_name": ["Nobody's", "Club"]})
    assert again["result"]["user_id"] == said["result"]["user_id"]
    await until(lambda: live(lms) == [(EMAIL, "ETHICS")])
    async with client.session.get(client.base_url + "/metrics") as answer:
        text = await answer.text()
    assert 'bridge_received_total{became="unmapped",source="school"} 1.0' in text
    assert 'bridge_quarantine{source="school"} 1.0' in text


async def test_an_unmapped_offer_is_told_and_waits(bridge) -> None:
    """The deal is kept for the operator; the caller's developer learns of it."""
    client, _ = bridge
    said = await deal(client, offer_code="unknown", deal_is_paid=1)
    assert said["success"] is said["result"]["success"] is False
    assert isinstance(said["result"]["user_id"], int)
    assert said["error"] == said["result"]["error_message"] != ""


async def test_the_curl_line_of_the_documentation(bridge) -> None:
    """Its base64 is not escaped, so that a plus arrives as a space; so does that of a caller who puts all into the address."""
    client, _ = bridge
    params = packed(user={"email": EMAIL, "first_name": "??>>~~"})
    assert "+" in params
    line = f"action=add&key={KEY}&params={params}"
    headers = {"Accept": "application/json; q=1.0, */*; q=0.1", "Content-Type": "application/x-www-form-urlencoded"}
    ids = set()
    for path, body in (("/pl/api/users", line), ("/in/school", line), (f"/pl/api/users?{line}", None)):
        _, said = await client.post(path, data=body, headers=headers)
        assert said["success"] is True, said
        ids.add(said["result"]["user_id"])
    assert len(ids) == 1


async def test_roads_that_the_documentation_does_not_know(bridge, tmp_path) -> None:
    """All in the address, a multipart form, JSON with the key in the address: each is taken, and the key is kept nowhere."""
    client, lms = bridge
    blocks = {"user": {"email": EMAIL}, "deal": {"deal_number": "5", "offer_code": "lms-101", "deal_status": "payed"}}
    shown = {"action": "add", "key": KEY, "params": packed(**blocks)}
    parts = aiohttp.FormData(shown, default_to_multipart=True)
    for how in (
        {"params": shown},
        {"data": parts},
        {"params": {"key": KEY}, "json": blocks},
        {
            "params": {"key": KEY},
            "data": {"user[email]": EMAIL, "deal[offer_code]": "lms-101", "deal[status]": "Оплачен"},
        },
    ):
        status, said = await client.post("/pl/api/deals", **how)
        assert (status, said["success"]) == (200, True), how
    await until(lambda: live(lms) == IN)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("bridge.db*") if path.is_file())
    assert EMAIL.encode() in kept
    assert KEY.encode() not in kept


async def test_errors_are_told_in_the_envelope(bridge) -> None:
    """At 200, but for what HTTP itself must say; a trailing slash is no redirect."""
    client, _ = bridge
    status, said = await client.post("/pl/api/users", data={"key": "wrong", "action": "add", "params": packed()})
    assert (status, said["success"], said["error"]) == (200, False, "Неавторизованное API-обращение")
    status, said = await client.post("/pl/api/users/", data={"key": KEY})
    assert (status, said["error"]) == (200, "Пустой параметр action")
    status, said = await client.post("/pl/api/users", data={"key": KEY, "action": "add", "params": packed()})
    assert (status, said["result"]["error"]) == (200, True)
    for wanted, (status, said) in (
        (405, await client.get("/pl/api/users", params={"key": KEY})),
        (413, await client.post("/pl/api/deals", data=b"x" * 100_000)),
    ):
        assert (status, said["success"], said["result"]["success"]) == (wanted, False, False)
