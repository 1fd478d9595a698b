"""Calls of which nothing is kept: whoever looks for them finds why in the log, without what was written."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.acceptance.rig import AMS_KEY, emulators, running


@pytest.fixture
async def client(tmp_path):
    async with emulators("elevate") as targets, running(tmp_path, targets) as (_, sender):
        yield sender


async def test_a_body_that_is_no_json_is_in_the_log(client) -> None:
    """An AMS that posts a form instead: it sees 400, and the log says at which address and why, but nothing of the form."""
    with capture_logs() as lines:
        status, _ = await client.post("/api/registrations", data={"api_key": AMS_KEY, "email": "lovelace@example.org"})
    assert status == 400
    [line] = [line for line in lines if line["event"] == "edge.not_kept"]
    told = (line["path"], line["method"], line["source"], line["became"], line["why"])
    assert told == ("/api/registrations", "POST", None, "unreadable", "The request body is not valid JSON.")
    assert AMS_KEY not in str(lines)
    assert "lovelace" not in str(lines)


async def test_another_method_and_too_long_a_body_are_in_the_log(client) -> None:
    """What became of it, by the name that the metric has."""
    with capture_logs() as lines:
        await client.get("/api/registrations")
        await client.post("/in/ams", data=b"x" * 70_000)
    told = [(line["became"], line["method"]) for line in lines if line["event"] == "edge.not_kept"]
    assert told == [("method_not_allowed", "GET"), ("too_large", "POST")]


async def test_an_address_of_no_source_is_in_the_log(client) -> None:
    """With the name that was meant, perhaps; not with what was asked for, which may be a key."""
    with capture_logs() as lines:
        assert (await client.post("/in/checkuot", data=b"{}"))[0] == 404
        assert (await client.post(f"/in/{AMS_KEY}", data=b"{}"))[0] == 404
    told = [line for line in lines if line["event"] == "edge.no_such_source"]
    assert [line["nearest"] for line in told] == ["checkout", None]
    assert AMS_KEY not in str(lines)


async def test_what_is_kept_is_not_called_lost(client) -> None:
    """A registration without an e-mail address is in the ledger, where the operator finds it."""
    with capture_logs() as lines:
        status, _ = await client.post("/api/registrations", json={"api_key": AMS_KEY, "remote_user_id": "1"})
    assert status == 422
    assert [line for line in lines if line["event"] == "edge.not_kept"] == []
