"""The console's pages of targets and sources: what is configured, how old credentials are, what a look at a click finds."""

from __future__ import annotations

import asyncio
import sqlite3

from bridge.app.doctor import examined
from tests.acceptance.cli_rig import ADA, EVE, look
from tests.acceptance.console_rig import console
from tests.acceptance.rig import AMS_KEY, CHECKOUT_SECRET, OTHER_KEY, emulators, live, until

PUBLIC = 'public_url = "http://bridge.example.org/"'
FIRST_SEEN = "SELECT first_seen FROM credential WHERE name = 'ams' ORDER BY first_seen"
DOCTORED = "SELECT operator, subject, note FROM operator_action WHERE action = 'doctor'"


def ledger_text(folder) -> str:
    with sqlite3.connect(folder / "bridge.db") as connection:
        return "\n".join(connection.iterdump())


async def doctored(browser, target: str):
    page = await browser.opens("/console/targets")
    fields = {"csrf": page.csrf, "action": "doctor", "target": target}
    return await browser.sends("/console/act", fields)


async def test_a_target_has_a_page_of_its_own(tmp_path) -> None:
    """Health, limits, breaker and credentials, each in words; names that are none are not found."""
    async with emulators("elevate", "hubspot") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**ADA)
        await until(lambda: live(targets["hubspot"]))
        page = await browser.opens("/console/targets/hubspot")
        for text in (
            "Delivers",
            "Closed: calls go through",
            "Up to 8 at once",
            "Access token token",
            "CRM",
            "used",
        ):
            assert text in page.words, text
        assert "the target, in its answers" in page.words
        assert "100,000 used" in page.words
        assert "Nothing limits them" in (await browser.opens("/console/targets/elevate")).words
        for secret in map(str, targets["hubspot"].credentials.values()):
            assert secret not in page.text
        for name in ("nobody", "Elevate", "%00", "a" * 500):
            assert (await browser.opens(f"/console/targets/{name}")).status == 404, name
            assert (await browser.opens(f"/console/sources/{name}")).status == 404, name


async def test_a_target_that_is_down_is_told_with_its_next_probe(tmp_path) -> None:
    """The breaker is open, and the page says that the target is asked again by itself."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        targets["elevate"].now_fails("status", status=503, body="down")
        for number in range(6):
            await client.register(f"u{number}")
        await until(lambda: bridge.standing().lanes["elevate"] == "open")
        page = await browser.sees("/console/targets/elevate", "Newest trouble")
        assert "Target is down" in page.words
        assert "Open: nothing is sent, and the target is asked" in page.words


async def test_a_source_says_what_to_do_at_its_sender(tmp_path) -> None:
    """The addresses begin with the public one, the steps are the docs', and figures are those of today."""
    async with emulators("elevate") as targets, console(tmp_path, targets, server=PUBLIC) as (_, client, browser):
        await browser.logs_in()
        assert "Nothing yet" in (await browser.opens("/console/sources/ams")).words
        await client.register(**ADA)
        await client.register(**{**EVE, "email": "eve@example.org", "amount_paid": "a lot"})
        await client.register(**EVE, product="NEW-1")
        page = await browser.sees("/console/sources/ams", "1 in quarantine: Product NEW-1 of ams is not mapped")
        for text in (
            "Events 3 New purchases 1 Accepted 2 Refused 1 Unreadable 0",
            "set the address of the Registration API to http://bridge.example.org/api/registrations",
            "POST http://bridge.example.org/in/ams",
            "What is usual is not known yet",
            "API key api_key",
        ):
            assert text in page.words, text
        assert "event 3" in page.words
        assert "public_url is not set" not in page.words
        assert "customapi.php?secret=SECRET" in (await browser.opens("/console/sources/checkout")).words
        for secret in (AMS_KEY, OTHER_KEY, CHECKOUT_SECRET, ADA["email"]):
            assert secret not in page.text


async def test_without_a_public_address_it_is_said(tmp_path) -> None:
    """What is shown then is where the bridge listens."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, browser):
        await browser.logs_in()
        page = await browser.opens("/console/sources/ams")
        assert "public_url is not set" in page.words
        assert f"http://127.0.0.1:{bridge.port}/in/ams" in page.words


async def test_a_credential_gets_old_until_it_is_another(tmp_path) -> None:
    """A restart changes nothing; a reload with a new key beside the old one begins a new age; no value is in the ledger."""
    async with emulators("elevate") as targets:
        async with console(tmp_path, targets):
            [(first,)] = look(tmp_path / "bridge.db", FIRST_SEEN)
        with sqlite3.connect(tmp_path / "bridge.db") as connection:
            connection.execute("UPDATE credential SET first_seen = first_seen - 40 * 86400000")
        async with console(tmp_path, targets) as (bridge, client, browser):
            await browser.logs_in()
            page = await browser.opens("/console/sources/ams")
            assert "40 d" in page.words
            path = tmp_path / "bridge.toml"
            path.write_text(path.read_text().replace(f'"{AMS_KEY}"', f'["a-new-key-for-tests", "{AMS_KEY}"]'))
            await bridge.reread()
            page = await browser.opens("/console/sources/ams")
            assert "API key (the current one)" in page.words
            assert "API key (while they rotate)" in page.words
            assert page.words.count("40 d") == 1
            assert (await client.register(**ADA))[0] == 200
        (old,), (new,) = look(tmp_path / "bridge.db", FIRST_SEEN)
        assert old < first <= new
        text = ledger_text(tmp_path)
        for value in (AMS_KEY, OTHER_KEY, CHECKOUT_SECRET, "a-new-key-for-tests"):
            assert value not in text


async def test_a_target_is_asked_at_a_click(tmp_path) -> None:
    """What bridge doctor would say of it is shown, without secrets, and the record has who asked; nothing is changed."""
    async with emulators("elevate", "hubspot") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        page = await doctored(browser, "hubspot")
        assert (page.status, "hubspot: all is well" in page.words) == (200, True)
        key = str(targets["elevate"].credentials["api_key"])
        body = {"error_messages": {"api_key": f"The API key {key} is not valid."}}
        targets["elevate"].now_fails("status", status=401, body=body)
        page = await doctored(browser, "elevate")
        assert "elevate: something is wrong" in page.words
        assert "api_key" in page.words
        assert key not in page.text
        assert look(tmp_path / "bridge.db", DOCTORED) == [
            ("ada", "hubspot", "all is well"),
            ("ada", "elevate", "it can't be used"),
        ]
        targets["elevate"].recovers()
        await client.register(**ADA)
        await until(lambda: live(targets["elevate"]))
        assert "doctor" not in (await browser.opens("/console/purchases/1")).words


async def test_who_may_ask_and_whom(tmp_path) -> None:
    """A viewer may not, has no button, and a name that is no target's is refused; none of it is recorded."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await browser.logs_in("vic")
        assert "Ask it now" not in (await browser.opens("/console/targets/elevate")).words
        assert (await doctored(browser, "elevate")).status == 403
        page = await browser.opens("/console/")
        await browser.sends("/console/logout", {"csrf": page.csrf})
        await browser.logs_in("ada")
        for name in ("nobody", "", "source ams", "\0", "x" * 10_000):
            page = await doctored(browser, name)
            assert page.status == 422, name
            assert "Traceback" not in page.text
        assert look(tmp_path / "bridge.db", DOCTORED) == []


async def test_one_target_at_a_time(tmp_path) -> None:
    """Whoever asks while another look is under way is sent away, and may ask when it is over."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await browser.logs_in()
        targets["elevate"].now_fails("delay", seconds=0.5, times=1)
        seen = await asyncio.gather(*(doctored(browser, "elevate") for _ in range(3)))
        assert sorted(page.status for page in seen) == [200, 422, 422]
        assert (await doctored(browser, "elevate")).status == 200


async def test_a_look_has_an_end(tmp_path) -> None:
    """A target that does not answer is told after the time that there is."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, __):
        targets["elevate"].now_fails("delay", seconds=2)
        found = await examined(bridge.settings, "elevate", patience=0.1)
        assert (found["ok"], found["said"]) == (False, "no answer within 0.1 s")
        targets["elevate"].recovers()


async def test_a_look_does_not_hold_up_the_end(tmp_path) -> None:
    """A bridge that stops ends it, and whoever waits is told why."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, browser):
        await browser.logs_in()
        targets["elevate"].now_fails("delay", seconds=5)
        looking = asyncio.create_task(doctored(browser, "elevate"))
        await until(lambda: targets["elevate"].journal)
        await bridge.stop()
        assert "the bridge is stopping" in (await looking).words
        targets["elevate"].recovers()


async def test_the_mail_server_has_a_page_like_a_target(tmp_path) -> None:
    """With the password in its address counted as a credential, and asked like any other."""
    mailer = '[mailer]\nurl = "smtp://me:mail-pass-9@127.0.0.1:9"\nsender = "courses@example.org"\n'
    async with emulators("elevate") as targets, console(tmp_path, targets, mailer) as (_, __, browser):
        await browser.logs_in()
        page = await browser.opens("/console/targets/mailer")
        for text in ("The mail server", "Password url", "smtp://127.0.0.1:9", "Up to 2 at once"):
            assert text in page.words, text
        told = await doctored(browser, "mailer")
        assert "mailer: something is wrong" in told.words
        for one in (page, told):
            assert "mail-pass-9" not in one.text
