"""The rehearsal box of the web console: a real child process, real emulators, and a ledger that stays as it is."""

from __future__ import annotations

import asyncio
import json
import sqlite3

import pytest

from bridge.app.verb import Verb
from bridge.cli.emulated import emulated
from bridge.edge.console.rehearsing import NotRehearsed
from tests.acceptance.console_rig import console
from tests.acceptance.rig import AMS_KEY, CHECKOUT_SECRET, emulators, live

CALL = {
    "api_key": AMS_KEY,
    "remote_user_id": "7",
    "email": "ada@example.org",
    "firstname": "Ada",
    "lastname": "Lovelace",
    "remote_product_id": "ABCD1234",
    "amount_paid": "0",
}


def dump(folder) -> list[str]:
    with sqlite3.connect(folder / "bridge.db") as connection:
        return [line for line in connection.iterdump() if "console_" not in line]


async def rehearsed(browser, body, source="ams", **fields):
    page = await browser.opens("/console/rehearse")
    text = body if isinstance(body, str) else json.dumps(body, indent=2).replace("\n", "\r\n")
    return await browser.sends("/console/rehearse", {"csrf": page.csrf, "source": source, "body": text, **fields})


async def test_a_pasted_body_is_played_to_the_end(tmp_path) -> None:
    """Command, plan and requests are shown without the learner and without secrets; ledger and real targets know nothing."""
    async with emulators("elevate", "hubspot") as targets, console(tmp_path, targets) as (_, _client, browser):
        await browser.logs_in()
        before = dump(tmp_path)
        page = await rehearsed(browser, {**CALL, "lastname": AMS_KEY})
        assert page.status == 200
        for text in (
            "Is it proven whose call it is? yes",
            "Command: enroll",
            "course intro-ce: elevate",
            "elevate right done",
            "hubspot contact done",
            "POST http://127.0.0.1:",
        ):
            assert text in page.words
        for secret in (AMS_KEY, "ada@example.org", "Lovelace", *map(str, targets["elevate"].credentials.values())):
            assert secret not in page.text
        assert dump(tmp_path) == before
        assert live(targets["elevate"]) == []


async def test_what_is_in_the_address_can_be_given_too(tmp_path) -> None:
    """Query, method and headers; the query's secret is not shown again."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, _client, browser):
        await browser.logs_in()
        query = f"?secret={CHECKOUT_SECRET}&type=purchase&course_id=3&email=bob@example.org"
        page = await rehearsed(browser, "", "checkout", query=query, method="GET", headers="X-Kind: paid\r\n")
        assert "Is it proven whose call it is? yes" in page.words
        assert "Product 3" in page.words
        assert CHECKOUT_SECRET not in page.text
        assert (await rehearsed(browser, CALL, headers="no header")).status == 422


async def test_a_viewer_rehearses_nothing(tmp_path) -> None:
    """Neither by the page, which has no link to it, nor by a form that was made up."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, _client, browser):
        await browser.logs_in("vic")
        page = await browser.opens("/console/")
        assert "/console/rehearse" not in page.text
        assert (await browser.opens("/console/rehearse")).status == 403
        assert (
            await browser.sends("/console/rehearse", {"csrf": page.csrf, "source": "ams", "body": "{}"})
        ).status == 403
        assert (await browser.sends("/console/rehearse", {"source": "ams", "body": "{}"})).status == 403


async def test_garbage_is_told_and_inert(tmp_path) -> None:
    """Whatever is pasted is said to be wrong, and no markup of it reaches the page."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, _client, browser):
        await browser.logs_in()
        for body in ("<script>alert(1)</script>", '{"body": 1, "headers": 5}'):
            page = await rehearsed(browser, body)
            assert page.status in (200, 422), body
            assert "can't be understood" in page.words or "could not be rehearsed" in page.words, body
            assert "Traceback" not in page.text
            assert "<script>alert" not in page.text
        page = await rehearsed(browser, {**CALL, "remote_product_id": "<script>alert(1)</script>"})
        assert "is not mapped: it would wait in quarantine" in page.words
        assert "<script>alert" not in page.text
        assert (await rehearsed(browser, CALL, "--help")).status == 422
        assert (await rehearsed(browser, "x" * 300_000)).status == 422
        assert (await rehearsed(browser, "x" * 900_000)).status == 413


async def test_one_at_a_time_and_not_for_long(tmp_path) -> None:
    """A second one is sent away; one that takes too long is ended; afterwards there is room again."""
    async with emulators("elevate") as targets, console(tmp_path, targets):
        recorded = json.dumps(CALL).encode()
        verb = Verb(tmp_path / "bridge.toml")
        first = asyncio.create_task(verb.rehearse("ams", recorded))
        await asyncio.sleep(0)
        with pytest.raises(NotRehearsed, match="under way"):
            await verb.rehearse("ams", recorded)
        assert (await first)["source"] == "ams"
        hasty = Verb(tmp_path / "bridge.toml", seconds=0.05)
        for _ in range(2):
            with pytest.raises(NotRehearsed, match="was ended"):
                await hasty.rehearse("ams", recorded)


async def test_a_file_that_is_wrong_by_now_is_said(tmp_path) -> None:
    """The child reads it anew; what it complains of is shown."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _client, browser):
        await browser.logs_in()
        (tmp_path / "bridge.toml").write_text("[nonsense]\n")
        page = await rehearsed(browser, CALL)
        assert page.status == 422
        assert "nonsense" in page.words
        assert bridge.settings.sources


async def test_a_rehearsal_alerts_nobody(tmp_path) -> None:
    """The bridge that plays it has no channel for alerts, whatever the operator's has."""
    channel = 'slack = "http://127.0.0.1:9/services/hook-for-tests"'
    async with emulators("elevate") as targets, console(tmp_path, targets, f"[alerts]\n{channel}\n") as (bridge, _, __):
        assert bridge.settings.alerts.slack is not None
        async with emulated(bridge.settings) as played:
            assert played.settings.alerts.slack is None
