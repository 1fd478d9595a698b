"""The web console in a real browser: what somebody on call does with it."""

from __future__ import annotations

import asyncio
import json

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.acceptance.cli_rig import ADA, BOB, EVE, look
from tests.acceptance.console_rig import console
from tests.acceptance.rig import emulators, free_port, live, until
from tests.browser.person import Person

TARGETS = ("elevate", "hubspot")


async def _trouble(folder, targets, client) -> None:
    """Ada is in, Bob's LMS refused him, Eve bought what nobody mapped."""
    await client.register(**ADA)
    await until(lambda: live(targets["hubspot"]))
    targets["elevate"].products = {"NOTHING"}
    await client.register(**BOB)
    await until(lambda: look(folder / "bridge.db", "SELECT count(*) FROM delivery WHERE state = 'dead'") == [(1,)])
    targets["elevate"].products = {"INTRO"}
    await client.register(**EVE, product="NEW-1")


async def test_paid_but_not_in(tmp_path, driver) -> None:
    """Log in, find the person, read the cause, see request and answer, and let them in."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (bridge, client, _):
        await _trouble(tmp_path, targets, client)
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> str:
            person.logs_in()  # what was kept before may be shown for a moment; the page renews itself
            WebDriverWait(driver, 15).until(lambda _: "Something waits for you" in person.reads)
            person.finds(BOB["email"])
            assert "Not in: somebody has to act" in person.reads
            told = person.reads
            person.presses("every request and answer")
            assert "POST " in person.reads
            driver.back()
            person.presses("Try again")
            assert "1 of 1 will be done" in person.reads
            person.presses("Try again")
            assert "Done" in person.reads
            return told

        told = await asyncio.to_thread(sits_down)
        assert BOB["lastname"] not in told
        await until(lambda: len(live(targets["elevate"])) == 2)
        assert person.complaints == []


async def test_quarantine_and_log_out(tmp_path, driver) -> None:
    """Map the product, reload, release what waited, and log out."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (bridge, client, _):
        await _trouble(tmp_path, targets, client)
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")
        path = tmp_path / "bridge.toml"
        path.write_text(path.read_text().replace('remote_product_id = "ABCD1234"', 'remote_product_id = "NEW-1"', 1))

        def sits_down() -> None:
            person.logs_in()
            person.presses("Waiting for you")
            person.presses("Reload the configuration")
            person.presses("Reload")
            person.presses("Waiting for you")
            person.presses("Release")
            assert "1 of 1 will be done" in person.reads
            person.presses("Release")
            assert "released" in person.reads
            person.presses("Log out")
            person.opens("/console/audit")
            assert "Who did what when" not in person.reads

        await asyncio.to_thread(sits_down)
        await until(lambda: len(live(targets["elevate"])) == 2)
        assert person.complaints == []


async def test_the_overview_renews_itself(tmp_path, driver) -> None:
    """Where scripts run, the overview is told of what is new and fetches it, within the policy; the box for finding keeps what is in it."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, _):
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> None:
            person.logs_in()
            person.writes("what", "ada@")
            assert "Something waits for you" not in person.reads

        await asyncio.to_thread(sits_down)
        await client.register(**EVE, product="NEW-1")

        def renewed() -> None:
            WebDriverWait(driver, 15).until(lambda _: "Something waits for you" in person.reads)
            assert driver.find_element(By.ID, "what").get_attribute("value") == "ada@"

        await asyncio.to_thread(renewed)
        assert person.complaints == []


async def test_an_overview_whose_bridge_is_gone_says_that_it_is_old(tmp_path, driver) -> None:
    """Nobody goes on reading that all is well; when the bridge is back, so is the page."""
    port = free_port()
    async with emulators("elevate") as targets:
        async with console(tmp_path, targets, port=port) as (bridge, _, __):
            person = Person(driver, f"http://127.0.0.1:{bridge.port}")
            await asyncio.to_thread(person.logs_in)
            assert not driver.find_element(By.ID, "old").is_displayed()

        def sees(is_old: bool) -> None:
            WebDriverWait(driver, 30).until(lambda _: driver.find_element(By.ID, "old").is_displayed() is is_old)

        await asyncio.to_thread(sees, is_old=True)
        assert "What stands here is old" in person.reads
        async with console(tmp_path, targets, port=port):
            await asyncio.to_thread(sees, is_old=False)


async def test_an_unmapped_product_comes_with_its_lines_to_copy(tmp_path, driver) -> None:
    """On the page of the mapping; a click into the lines selects all of them."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, _):
        await client.register(**EVE, product="NEW-1")
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> None:
            person.logs_in()
            person.presses("Mapping")
            assert "1 waits in quarantine" in person.reads
            driver.find_element(By.CSS_SELECTOR, "pre.copy").click()
            assert 'remote_product_id = "NEW-1"' in driver.execute_script("return String(getSelection())")

        await asyncio.to_thread(sits_down)
        assert person.complaints == []


async def test_a_call_is_rehearsed(tmp_path, driver) -> None:
    """Paste a body, see command, plan and requests; nobody gets in by it."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, __):
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")
        call = {
            **ADA,
            "remote_user_id": ADA["user"],
            "remote_product_id": "ABCD1234",
            "amount_paid": "0",
            "api_key": "",
        }

        def sits_down() -> None:
            person.logs_in()
            person.presses("Rehearse")
            person.writes("body", json.dumps(call))
            person.presses("Rehearse it")
            assert "What would come of it at ams" in person.reads
            assert "Command: enroll" in person.reads
            assert "course intro-ce: elevate" in person.reads
            assert "POST http://127.0.0.1:" in person.reads

        await asyncio.to_thread(sits_down)
        assert live(targets["elevate"]) == []
        assert person.complaints == []


async def test_a_new_sender_is_connected_and_a_target_is_asked(tmp_path, driver) -> None:
    """From the overview: the address to paste and the steps, then the target's page, and what it says when it is asked."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (bridge, _, __):
        targets["elevate"].products = {"ETHICS"}
        person = Person(driver, f"http://127.0.0.1:{bridge.port}")

        def sits_down() -> None:
            person.logs_in()
            person.presses("Sources")
            person.presses("ams")
            assert "Nothing has ever come in" in person.reads
            assert f"http://127.0.0.1:{bridge.port}/api/registrations" in person.reads
            assert "API key" in person.reads
            person.presses("Targets")
            person.presses("hubspot")
            assert "Known since" in person.reads
            person.presses("Ask it now")
            assert "hubspot: all is well" in person.reads
            person.presses("Back to hubspot")
            person.presses("Audit")
            assert "doctor" in person.reads

        await asyncio.to_thread(sits_down)
        assert person.complaints == []
