"""Bad input over real HTTP: each in the protocol's own shape, each counted, none with a stack trace."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from tests.acceptance.rig import AMS_KEY, CHECKOUT_SECRET, emulators, running


@pytest.fixture
async def bridge(tmp_path):
    async with emulators("elevate") as targets, running(tmp_path, targets) as (running_bridge, client):
        yield running_bridge, client


async def test_registration_answers(bridge) -> None:
    """400, 401, 404, 405, 413, 422: all as error_messages by field."""
    _, client = bridge
    assert (await client.post("/api/registrations", data=b"{nope"))[0] == 400
    status, body = await client.register(key="wrong", email="not an address")
    assert (status, list(body["error_messages"])) == (
        401,
        ["api_key"],
    )  # the key is checked before the rest is looked at
    status, body = await client.post("/in/ams", json={"api_key": "wrong", "email": "not an address"})
    assert (status, list(body["error_messages"])) == (401, ["api_key"])
    status, body = await client.register(email="not an address", remote_user_id="", amount_paid="much")
    assert status == 422
    assert set(body["error_messages"]) == {"email", "remote_user_id", "amount_paid"}
    status, body = await client.register(product="UNKNOWN")
    assert (status, body) == (422, {"error_messages": {"product": "The requested product could not be found."}})
    status, body = await client.get("/api/registrations")
    assert status == 405
    assert "error_messages" in body
    status, body = await client.post("/api/registrations", data=b"x" * 100_000)
    assert status == 413
    assert "error_messages" in body
    assert (await client.post("/api/nothing", data=b""))[0] == 404


async def test_custom_api_answers(bridge) -> None:
    """The 10XPRO shape: success false, an error, and the fields."""
    _, client = bridge
    good = {"secret": CHECKOUT_SECRET, "type": "purchase", "course_id": "3", "email": "a@example.org"}
    assert (await client.get("/customapi.php", params={**good, "secret": "wrong"}))[0] == 401
    for change, field in (
        ({"type": "refund"}, "type"),
        ({"email": "ADDEMAILMERGE"}, "email"),
        ({"course_id": ""}, "course_id"),
    ):
        status, body = await client.get("/customapi.php", params={**good, **change})
        assert status == 422, body
        assert body["success"] is False
        assert field in body["errors"]


async def test_a_giant_body_without_a_length_is_cut_off(bridge) -> None:
    """A chunked upload is not read to its end."""
    _, client = bridge

    async def endless():
        for _ in range(10_000):
            yield b"x" * 10_000

    try:
        async with client.session.post(client.base_url + "/api/registrations", data=endless()) as answer:
            assert answer.status == 413
    except (ConnectionError, asyncio.IncompleteReadError, OSError):
        pass  # the server hung up before the client had sent it all: as good
    assert (await client.register())[0] == 200


async def test_a_trailing_slash_is_no_redirect(bridge) -> None:
    """A redirect would turn the sender's POST into a GET without a body."""
    _, client = bridge
    async with client.session.post(
        client.base_url + "/api/registrations/", json={"api_key": AMS_KEY}, allow_redirects=False
    ) as answer:
        assert answer.status == 422


@pytest.mark.parametrize("path", ["/registrations/cancel/", "/api/registrations/cancel/"])
async def test_a_trailing_slash_makes_no_purchase_of_a_cancellation(bridge, path: str) -> None:
    """The address says what is meant, also when the AMS sends the whole order along."""
    _, client = bridge
    _, bought = await client.register()
    order = {"api_key": AMS_KEY, "remote_user_id": "123456", "email": "a@example.org", "remote_product_id": "ABCD1234"}
    assert await client.post(path, json={**order, **bought}) == (200, {"success": True})
    status, body = await client.post(path, json=order)
    assert (status, list(body["error_messages"])) == (422, ["registration_id"])


async def test_what_is_refused_is_kept_for_the_operator(bridge) -> None:
    """Somebody may have paid: a verified call that can't be used stands in the ledger."""
    running_bridge, client = bridge
    from sqlalchemy import text  # noqa: PLC0415 - the one look into the ledger

    await client.register(email="nonsense")
    await client.register(key="wrong")
    rows = await running_bridge.ledger.read(lambda c: c.execute(text("SELECT state, note FROM event")).all())
    assert [row.state for row in rows] == ["refused"]
    assert "email" in rows[0].note


async def test_everything_is_counted(bridge) -> None:
    """An operator sees refusals in the metrics, without a name of anybody in them."""
    _, client = bridge
    await client.register()
    await client.register(key="wrong")
    await client.register(product="UNKNOWN")
    await client.post("/in/nobody", data=b"")
    async with client.session.get(client.base_url + "/metrics") as answer:
        text = await answer.text()
    for line in (
        'bridge_received_total{became="accepted",source="ams"} 1.0',
        'bridge_received_total{became="unauthorised",source="-"} 1.0',
        'bridge_received_total{became="unmapped",source="ams"} 1.0',
        'bridge_received_total{became="no_such_address",source="-"} 1.0',
        'bridge_quarantine{source="ams"} 1.0',
    ):
        assert line in text
    assert "example.org" not in text


async def test_a_locked_ledger_is_503_and_never_a_2xx(bridge, tmp_path) -> None:
    """The sender is told to come again, and when it does, all is well."""
    _, client = bridge
    other = sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with client.session.post(client.base_url + "/api/registrations", json=_example()) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "error_messages" in await answer.json()
    assert (await client.get("/readyz"))[0] == 503
    assert (await client.get("/healthz"))[0] == 200
    other.execute("ROLLBACK")
    other.close()
    assert (await client.register())[0] == 200
    await asyncio.sleep(1.1)
    assert (await client.get("/readyz"))[0] == 200


async def test_a_full_ledger_is_503_and_keeps_senders_away(bridge) -> None:
    """A probe's little write may still fit where an event does not: the probe says no all the same, until there is space."""
    running_bridge, client = bridge
    pages = await running_bridge.ledger.write(lambda unit: unit.rows("PRAGMA page_count")[0][0])
    await running_bridge.ledger.write(lambda unit: unit.rows(f"PRAGMA max_page_count = {pages}"))
    large = {**_example(), "email": f"{'a' * 40}@example.org", "note": "x" * 60_000}
    async with client.session.post(client.base_url + "/api/registrations", json=large) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "error_messages" in await answer.json()
    status, body = await client.get("/readyz")
    assert status == 503
    assert body["ledger"].startswith("the newest event could not be kept: the ledger did not take the write")
    assert body["ledger"].endswith("(SQLITE_FULL): the disk is full: make room")
    await running_bridge.ledger.write(lambda unit: unit.rows("PRAGMA max_page_count = 1000000"))
    assert (await client.register())[0] == 200
    await asyncio.sleep(1.1)
    assert (await client.get("/readyz"))[0] == 200


async def test_a_lane_that_has_ended_is_not_ready(bridge) -> None:
    """Purchases would be taken and nobody told: whoever watches the process has to start it anew."""
    running_bridge, client = bridge
    status, body = await client.get("/readyz")
    assert (status, body["dispatch"], body["lanes"]) == (200, True, {"elevate": "running"})
    (task,) = running_bridge.dispatcher._tasks.values()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    status, body = await client.get("/readyz")
    assert (status, body["status"], body["dispatch"]) == (503, "not ready", False)


async def test_a_ledger_that_is_gone_is_503(bridge, tmp_path) -> None:
    """SQLite would happily go on writing to a file that nobody will ever find again."""
    _, client = bridge
    (tmp_path / "bridge.db").unlink()
    assert (await client.register())[0] == 503
    assert (await client.get("/readyz"))[0] == 503


async def test_a_log_that_is_taken_away_costs_nothing_that_was_acknowledged(bridge, tmp_path) -> None:
    """What is committed lives in the write-ahead log: it is saved, the sender comes again, and both are there."""
    running_bridge, client = bridge
    assert (await client.register("before"))[0] == 200
    (tmp_path / "bridge.db-wal").unlink()
    statuses = [(await client.register("after"))[0] for _ in range(3)]
    assert statuses[-1] == 200
    await running_bridge.stop()
    kept = sqlite3.connect(tmp_path / "bridge.db")
    assert sorted(row[0] for row in kept.execute("SELECT remote_user_id FROM learner")) == ["after", "before"]
    assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/octet-stream", "text/xml"])
async def test_the_secret_is_not_kept_whatever_the_body_says_of_itself(bridge, tmp_path, kind: str) -> None:
    """A form with a wrong content type is understood, and its secret is blanked all the same."""
    _, client = bridge
    body = f"secret={CHECKOUT_SECRET}&type=purchase&course_id=3&email=kept%40example.org"
    await client.post("/customapi.php", data=body, headers={"Content-Type": kind})
    await client.post("/customapi.php", params={"secret": CHECKOUT_SECRET}, data=body, headers={"Content-Type": kind})
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("bridge.db*") if path.is_file())
    assert CHECKOUT_SECRET.encode() not in kept


def _example() -> dict:
    return {
        "api_key": AMS_KEY,
        "remote_user_id": "1",
        "firstname": "A",
        "lastname": "B",
        "email": "a@example.org",
        "remote_product_id": "ABCD1234",
        "amount_paid": 0,
    }
