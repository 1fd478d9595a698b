"""What the daemon logs: JSON, with ids on every line, without secrets and without learners."""

from __future__ import annotations

import json
import os
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.cli_rig import look
from tests.acceptance.rig import (
    AMS_KEY,
    CHECKOUT_SECRET,
    Client,
    Daemon,
    configuration,
    emulators,
    free_port,
    live,
    until,
)


async def test_no_secret_and_no_learner_reaches_the_log(tmp_path) -> None:
    """Query strings included: a purchase by GET carries secret, name and address in its address line."""
    async with emulators("elevate", "hubspot") as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        config.write_text(config.read_text().replace('level = "warning"', 'level = "info"'))
        daemon = Daemon(config, port)
        await daemon.start()
        client = Client(daemon.base_url, session)
        await client.register("4711", firstname="Ada", lastname="Lovelace", email="ada.lovelace@example.org")
        fields = {"secret": CHECKOUT_SECRET, "type": "purchase", "course_id": "3", "email": "ada.lovelace@example.org"}
        await client.get("/customapi.php", params={**fields, "first_name": "Ada", "last_name": "Lovelace"})
        await client.get("/customapi.php", params={**fields, "secret": "a-wrong-secret"})
        await client.register(key="a-wrong-key")
        targets["hubspot"].now_fails(
            "status", status=400, body={"message": "ada.lovelace@example.org is bad", "category": "VALIDATION_ERROR"}
        )
        await client.register("4711", email="ada.king@example.org", lastname="King")
        await until(lambda: len(live(targets["elevate"])) == 2)
        await until(lambda: '"outcome": "Refused"' in daemon.log.read_text())
        assert await daemon.stop() == 0
    text = daemon.log.read_text()
    for word in (AMS_KEY, CHECKOUT_SECRET, "a-wrong", "lovelace", "Lovelace", "King", "ada.", "sandbox-elevate-key"):
        assert word not in text
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        if line["event"] == "dispatch.attempted":
            assert {"target", "delivery_id", "registration_id", "event_id", "operation", "outcome"} <= set(line)
        if line["event"] == "intake.accepted":
            assert {"source", "event_id", "registrations"} <= set(line)
    assert {"bridge.started", "intake.accepted", "dispatch.attempted", "edge.unauthorised", "bridge.stopped"} <= {
        line["event"] for line in lines
    }


@pytest.mark.parametrize("stream", ["a full disk", "a pipe that nobody reads any more"])
async def test_a_log_that_can_not_be_written_stops_nobody(tmp_path, stream: str) -> None:
    """The bridge starts, answers, delivers and settles as ever; only the log is lost."""
    async with emulators("elevate", "hubspot") as targets, aiohttp.ClientSession() as session:
        port = free_port()
        config = configuration(tmp_path, targets, port=port)
        config.write_text(config.read_text().replace('level = "warning"', 'level = "info"'))
        daemon = Daemon(config, port)
        daemon.log = Path("/dev/full")
        if stream != "a full disk":
            daemon.log = tmp_path / "pipe"
            os.mkfifo(daemon.log)
            reader = os.open(daemon.log, os.O_RDONLY | os.O_NONBLOCK)
        await daemon.start()
        if stream != "a full disk":
            os.close(reader)
        client = Client(daemon.base_url, session)
        assert (await client.register())[0] == 200
        assert (await client.register(key="wrong"))[0] == 401
        await until(lambda: live(targets["elevate"]) and live(targets["hubspot"]), 60)
        await until(lambda: not _unsettled(tmp_path), 60)
        await daemon.stop()


def _unsettled(folder: Path) -> list[tuple]:
    return look(folder / "bridge.db", "SELECT target, state FROM delivery WHERE state <> 'done'")
