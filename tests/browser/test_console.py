"""The web console in a real browser: what somebody on call does with it. Skipped where there is no Chromium."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.acceptance.cli_rig import ADA, BOB, EVE, look
from tests.acceptance.console_rig import PASSWORD, console
from tests.acceptance.rig import emulators, live, until

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_DRIVER = shutil.which("chromedriver")
TARGETS = ("elevate", "hubspot")

pytestmark = pytest.mark.skipif(
    _CHROMIUM is None or _DRIVER is None, reason="no Chromium with its chromedriver is installed here"
)


@pytest.fixture
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = _CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(_DRIVER))
    yield found
    found.quit()


class Person:
    """Somebody who sits at a browser."""

    def __init__(self, driver: webdriver.Chrome, base_url: str) -> None:
        self.driver, self.base_url = driver, base_url

    def opens(self, path: str) -> None:
        self.driver.get(self.base_url + path)

    def writes(self, field: str, text: str) -> None:
        self.driver.find_element(By.ID, field).send_keys(text)

    def presses(self, text: str) -> None:
        """Press a button, or follow a link, and wait for the page that comes."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        xpath = f"//button[starts-with(normalize-space(), '{text}')] | //a[starts-with(normalize-space(), '{text}')]"
        self.driver.find_element(By.XPATH, xpath).click()
        WebDriverWait(self.driver, 30).until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)

    def logs_in(self) -> None:
        self.opens("/console/")
        self.writes("name", "ada")
        self.writes("password", PASSWORD)
        self.presses("Log in")

    def finds(self, what: str) -> None:
        before = self.driver.find_element(By.TAG_NAME, "html")
        self.writes("what", what + Keys.ENTER)
        WebDriverWait(self.driver, 15).until(lambda driver: driver.find_element(By.TAG_NAME, "html") != before)

    @property
    def reads(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "main").text

    @property
    def complaints(self) -> list[str]:
        """What the browser complained of: a policy that was broken, a script that failed."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


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
            person.logs_in()
            assert "Something waits for you" in person.reads
            person.finds(BOB["email"])
            assert "Not in: somebody has to act" in person.reads
            told = person.reads
            person.presses("request and answer")
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
