"""``bridge demo``, as somebody types it; and its verdict, which has to be able to condemn."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from bridge.cli.demo.script import SHOULD
from bridge.cli.demo.verdict import Difference, Place, about_holdings, differences, mark, places
from bridge.kit.sandbox import Holding
from tests.acceptance.console_rig import Browser, browser_session

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-m", "bridge", "demo")
ADA = Place("ada@example.org", "academy", "course:42")


def environment(folder):
    return {"TMPDIR": str(folder), "PYTHONUTF8": "1"}


def run(folder, *command):
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )


def group(text, who):
    """Return the lines that the last table has for one person."""
    table = text[text.index("remote id") :]
    start = table.index(f"\n{who} ") + 1
    return re.split(r"\n\s*\n|\n○", table[start:])[0].splitlines()


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once")
    return run(folder, *DEMO, "--once"), list(folder.iterdir())


def test_the_demo_ends_well_and_leaves_nothing_behind(once):
    """With --once every promise is kept, the exit code is 0, and neither files nor noise remain."""
    done, remains = once
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "✗" not in done.stdout
    assert done.stdout.count("✓ ") >= 11
    assert remains == []


def test_the_last_table_tells_event_registration_and_holdings(once):
    """A person's lines name events, registrations with their states, and for each target what it holds, its id and when."""
    said = once[0].stdout
    ada, jon = group(said, "Ada"), group(said, "Jon")
    assert re.fullmatch(r"Ada +1 created +1 active +academy +course:42 +\d+ +\d+\.\d\d s *", ada[0])
    assert re.match(r" +2 repeated +hubspot +active +\d+ +\d+\.\d\d s", ada[1])
    assert re.search(r"salesforce +contact +\w{18} ", ada[2])
    assert re.search(r"mailchimp +ce +\w{32} ", ada[3])
    assert max(len(line) for line in ada) <= 100
    assert re.search(r"cancelled +elevate +○ ETHICS-1 ", jon[0])
    assert re.search(r"active +elevate +ETHICS-1 ", jon[1])
    assert re.search(r"cancelled +academy +○ course:42 ", group(said, "Ida")[0])
    assert re.search(r"unmapped +quarantine +nowhere", group(said, "Hal")[0])
    assert re.search(r"none +none +nowhere", group(said, "Eve")[0])


def test_what_happens_on_the_way_is_told(once):
    """Where the output is no terminal, a line tells each retry, and the outage with its end."""
    said = once[0].stdout
    told = ("HubSpot is switched off", "Fay: hubspot ↻2", "Gus: academy ↻1", "HubSpot is switched on", "Fay: hubspot ✓")
    assert [said.index(text) for text in told] == sorted(said.index(text) for text in told)


def test_a_demo_that_goes_wrong_exits_with_1(tmp_path):
    """When a target holds something that it should not, the exit code is 1 and the place is named."""
    sabotage = (
        "import sys; from bridge.cli import demo; from bridge.cli.demo import ending;"
        "ending.SHOULD = ending.SHOULD[1:]; sys.exit(demo.run_demo(once=True))"
    )
    done = run(tmp_path, sys.executable, "-c", sabotage)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ada@example.org at academy: course:42 should not be there" in done.stdout


async def test_the_demo_stays_up_until_it_is_interrupted(tmp_path):
    """Without --once it answers at the printed addresses, as the printed lines ask, until Ctrl-C; then it cleans up."""
    demo = await asyncio.create_subprocess_exec(
        *DEMO, cwd=ROOT, env=environment(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            said = (await demo.stdout.readuntil(b"until Ctrl-C")).decode()
            answer, held, rehearsed = await _as_printed(said)
            demo.send_signal(signal.SIGINT)
            await demo.stdout.read()
            assert await demo.wait() == 0
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
    assert answer["registration_id"] == int(re.search(r'"registration_id": (\d+)', said)[1])
    assert rehearsed == 200
    assert {row["person"] for row in held} >= {"ada@example.org", "ben@example.org"}
    assert list(tmp_path.iterdir()) == []


async def _as_printed(said):
    """Do what the printed lines say: register somebody, and ask the first target what it holds, log in at the console and rehearse."""
    address, body = re.search(r"curl -s (\S+/api/registrations) \\\s+-H '[^']*' -d '([^']*)'", said).groups()
    async with aiohttp.ClientSession() as session:
        async with session.post(address, data=body) as answer:
            assert answer.status == 200
            registered = await answer.json()
        async with session.get(re.search(r"academy +(\S+)", said[said.index("Addresses") :])[1]) as answer:
            held = await answer.json()
    console, name, password = re.search(r"(http\S+/console)/ +log in as (\S+), password (\S+)", said).groups()
    async with browser_session() as session:
        browser = Browser(console.removesuffix("/console"), session)
        await browser.logs_in(name, password)
        page = await browser.opens("/console/rehearse")
        page = await browser.sends("/console/rehearse", {"csrf": page.csrf, "source": "ams", "body": body})
        assert "Command: enroll" in page.words
    return registered, held, page.status


def test_exactly_what_should_be_held_is_no_difference():
    """Held once each, in any order, is what should be."""
    assert differences(SHOULD, reversed(SHOULD)) == []
    assert all(check.kept for check in about_holdings([], SHOULD, "a", "b", ()))


@pytest.mark.parametrize(
    ("held", "kind", "place"),
    [
        ([one for one in SHOULD if one != ADA], "missing", ADA),
        ([*SHOULD, ADA], "twice", ADA),
        ([*SHOULD, Place("hal@example.org", "hubspot", "active")], "too much", Place("hal@example.org", "hubspot", "active")),
    ],
)  # fmt: skip
def test_every_kind_of_difference_is_found_and_breaks_a_promise(held, kind, place):
    """Somebody missing, somebody enrolled twice, somebody in who should not be: each is named and speaks against a check."""
    found = differences(SHOULD, held)
    assert found == [Difference(kind, place)]
    broken = [check for check in about_holdings(found, SHOULD, "ida@example.org", "jon@example.org", ("hal@example.org",)) if not check.kept]  # fmt: skip
    assert broken
    assert all(str(found[0]) in check.faults for check in broken)


def test_access_that_was_taken_away_does_not_count():
    """An ended enrollment is none, whatever the target keeps of it; two live ones are two."""
    ended = Holding("enrollment", "Ada@example.org", "course:42", "9001", live=False)
    live = Holding("enrollment", "Ada@example.org", "course:42", "9002", live=True)
    assert places({"academy": [ended]}) == []
    assert places({"academy": [ended, live, live]}) == [ADA, ADA]


@pytest.mark.parametrize(
    ("target", "what", "expected"),
    [
        ("hubspot", "firstname=Ada, last_course=Ethics, last_course_state=cancelled, lastname=L", "cancelled"),
        ("hubspot", "firstname=Ada", "no state"),
        ("mailchimp", "tags: ethics, ce; status: transactional; FNAME=Ada", "ce, ethics"),
        ("mailchimp", "tags: ; status: transactional", "no tags"),
        ("salesforce", "External=x, LastName=L", "contact"),
    ],
)
def test_a_contact_is_reduced_to_what_counts(target, what, expected):
    """Of a contact the course's state or the tags count; a CRM that shows neither just knows the person."""
    assert mark(target, Holding("contact", "ada@example.org", what, "1", live=True)) == expected
