"""CRM and LMS senders through the real edge: Keap's handshake and thin hooks, Academy of Mine's echo, Salesforce's SOAP."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from tests.acceptance.rig import emulators, live, running, until
from tests.connectors.inbound.crm_rig import PlayedApi
from tests.suites.inbound import PAYLOADS

SOURCES = """
[sources.keap]
adapter = "keap"
secret = "keap-secret"
token = "KeapAK-made-up"
base_url = "{base_url}"

[sources.school]
adapter = "academy_of_mine"
secret = "school-secret"
echo_of = "academy_of_mine"

[sources.ams_messages]
adapter = "salesforce_outbound"
secret = "ams-secret"
organization_id = "00D240000000001EAA"

[[products]]
source = "keap"
remote_product_id = "101"
courses = ["intro-ce"]

[[products]]
source = "ams_messages"
remote_product_id = "COURSE-101"
courses = ["ethics"]
"""


def sample(name: str) -> bytes:
    return (PAYLOADS / name).read_bytes()


@pytest.fixture
async def bridge(tmp_path):
    """A bridge with the three sources, Keap's API beside it, and how to post to it."""
    played = PlayedApi({"/crm/rest/v2/orders/1234": 503})
    async with (
        emulators("academy_of_mine") as targets,
        played.reached() as http,
        running(tmp_path, targets, extra=SOURCES.format(base_url=http.base_url)) as (found, client),
    ):

        async def post(source, body=b"", headers=None, **query):
            address = f"{client.base_url}/in/{source}?{urlencode(query)}"
            async with client.session.post(address, data=body, headers=headers) as answer:
                return answer.status, answer.headers, await answer.read()

        yield found, targets["academy_of_mine"], post, played


async def _stored(bridge, column: str) -> list[str]:
    return await bridge.ledger.read(lambda c: [row[0] for row in c.execute(text(f"SELECT {column} FROM event"))])


async def test_keaps_handshake_is_answered_and_leaves_nothing(bridge) -> None:
    """In the header it came in; at an address without the secret it is not."""
    found, _, post, _ = bridge
    shown = {"X-Hook-Secret": "temporary-1"}
    status, headers, _ = await post("keap", headers=shown, secret="keap-secret")
    assert (status, headers["X-Hook-Secret"]) == (200, "temporary-1")
    status, headers, _ = await post("keap", headers=shown)
    assert status == 401
    assert "X-Hook-Secret" not in headers
    assert await _stored(found, "id") == []


async def test_a_keap_order_is_looked_up_until_keap_answers_and_delivered(bridge) -> None:
    """The purchase waits while the API is down, and the secret is not kept."""
    found, lms, post, played = bridge
    body = sample("keap/order.delete.json").replace(b"order.delete", b"order.add")
    status, _, _ = await post("keap", body, {"Content-Type": "application/json"}, secret="keap-secret")
    assert status == 200
    await until(lambda: len(played.asked) >= 2)
    played.answers["/crm/rest/v2/orders/1234"] = {
        "status": "PAID",
        "contact": {"id": "4711", "email": "jane.buyer@example.com"},
        "order_items": [{"product": {"id": "101"}}],
    }
    await until(lambda: len(live(lms)) == 1)
    assert "keap-secret" not in repr([await _stored(found, column) for column in ("query", "headers", "body")])


async def test_the_school_and_the_ams_are_answered_in_their_own_ways(bridge) -> None:
    """A completion as any webhook; an outbound message by its Ack, as XML."""
    _, lms, post, _ = bridge
    status, _, said = await post(
        "school", sample("academy_of_mine/course_completed.json"), secret="school-secret", event="course_completed"
    )
    assert (status, said) == (200, b'{"status":"received"}')
    xml = {"Content-Type": "text/xml; charset=UTF-8"}
    message = sample("salesforce_outbound/order_line.xml")
    status, headers, said = await post("ams_messages", message, xml, secret="ams-secret")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/xml")
    assert said.strip() == sample("salesforce_outbound/ack.xml").strip()
    await until(lambda: len(live(lms)) == 1)
    for body, secret, wanted in ((message, "wrong", 401), (b"<!DOCTYPE a><a/>", "ams-secret", 200)):
        status, headers, said = await post("ams_messages", body, xml, secret=secret)
        assert status == wanted
        assert (b"<Ack>true</Ack>" in said) is (wanted == 200)
