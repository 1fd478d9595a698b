"""Webhooks through the real edge: handshakes, verification afar, what is answered, and lookups against a sender's API."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text

from bridge import registry
from bridge.app import Bridge
from bridge.contract.errors import PayloadInvalid
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import configuration, emulators, live, until

SOURCE = """
[sources.box]
adapter = "postbox"
secret = "box-secret"
base_url = "{base_url}"

[[products]]
source = "box"
remote_product_id = "BOX"
courses = ["intro-ce"]
"""


class Office:
    """The sender's API on loopback."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[str] = []
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    async def start(self) -> None:
        app = web.Application()
        app.add_routes([web.post("/verify", self._verify), web.get("/orders/{id}", self._order)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _verify(self, request: web.Request) -> web.Response:
        said = await request.json()
        return web.Response(status=200 if said["secret"] == said["expected"] else 403)

    async def _order(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["id"])
        if self.down:
            return web.Response(status=500)
        return web.json_response({"email": f"buyer-{request.match_info['id']}@example.org", "product": "BOX"})


@pytest.fixture
async def office():
    found = Office()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def box(tmp_path, office, monkeypatch):
    """A bridge with such a source, found the way a stranger's package is; and how to post to it."""
    monkeypatch.setitem(registry._found("inbound"), "postbox", "tests.acceptance.postbox:PostBox")
    async with emulators("elevate") as targets, aiohttp.ClientSession() as session:
        path = configuration(tmp_path, targets)
        path.write_text(path.read_text() + SOURCE.format(base_url=office.base_url))
        running = Bridge(load(path, Registry(), env={}).settings)
        await running.start()

        async def post(secret="box-secret", orders=(), headers=None):
            address = f"http://127.0.0.1:{running.port}/in/box"
            async with session.post(
                address, json={"secret": secret, "orders": list(orders)}, headers=headers
            ) as answer:
                return answer.status, dict(answer.headers), await answer.text()

        yield running, targets["elevate"], post
        await running.stop()


async def _count(running, table: str) -> int:
    return await running.ledger.read(lambda c: c.execute(text(f"SELECT count(*) FROM {table}")).scalar())


async def test_a_thin_event_gets_its_buyer_in(box, office) -> None:
    """Answered at once, looked up behind, and delivered; each order of the post."""
    _, lms, post = box
    status, _, said = await post(orders=[1, 2])
    assert (status, said) == (200, '{"status":"received"}')
    await until(lambda: len(live(lms)) == 2)
    assert sorted(office.asked) == ["1", "2"]


async def test_the_senders_api_is_down_for_a_while(box, office) -> None:
    """The purchase is delayed and not lost."""
    _, lms, post = box
    office.down = True
    await post(orders=[7])
    await until(lambda: len(office.asked) >= 2)
    office.down = False
    await until(lambda: len(live(lms)) == 1)


async def test_a_wrong_secret_is_refused_by_the_sender(box) -> None:
    """401, and nothing is kept."""
    running, _, post = box
    assert (await post(secret="wrong", orders=[1]))[0] == 401
    assert await _count(running, "event") == 0


async def test_nobody_answers_who_could_verify(box, office) -> None:
    """503: the event is not refused, its sender comes again."""
    running, _, post = box
    await office.stop()
    status, headers, _ = await post(orders=[1])
    assert status == 503
    assert headers["Retry-After"] == "30"
    assert await _count(running, "event") == 0


async def test_a_handshake_is_answered_and_has_no_effect(box) -> None:
    """Whoever asks; it is not verified."""
    running, _, post = box
    status, headers, _ = await post(secret="", headers={"X-Hook-Secret": "abc"})
    assert (status, headers["X-Hook-Secret"]) == (200, "abc")
    assert await _count(running, "event") == 0


async def test_a_body_that_did_not_arrive_is_asked_for_again(box) -> None:
    """A compressed one, say: 200 would tell the sender that it is kept."""
    running, _, post = box
    status, headers, _ = await post(orders=[1], headers={"Content-Encoding": "gzip"})
    assert (status, headers["Retry-After"]) == (503, "5")
    assert await _count(running, "event") == 0


async def test_a_body_that_can_t_be_verified_because_it_can_t_be_read_is_refused(box, monkeypatch) -> None:
    """Nobody has proven anything."""
    running, _, post = box

    def verify(_self, _event):
        raise PayloadInvalid({"body": "is no form"}, readable=False)

    monkeypatch.setattr("tests.acceptance.postbox.PostBox.verify", verify)
    assert (await post(orders=[1]))[0] == 401
    assert await _count(running, "event") == 0
