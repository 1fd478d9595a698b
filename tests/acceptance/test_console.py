"""What the web console shows and does: a real bridge, real targets over loopback, pages as a browser without scripts gets them."""

from __future__ import annotations

import asyncio
import re
import sys

from bridge.edge.console import passwords
from bridge.registry import Registry
from config.load import load
from tests.acceptance.cli_rig import ADA, BOB, EVE, ask, look
from tests.acceptance.console_rig import USERS, console
from tests.acceptance.rig import emulators, live, until

TARGETS = ("elevate", "hubspot")


async def _dead(folder, targets, client, **who) -> int:
    """Have the LMS refuse somebody."""
    before = look(folder / "bridge.db", "SELECT count(*) FROM delivery WHERE state = 'dead'")[0][0]
    targets["elevate"].products = {"NOTHING"}
    _, answer = await client.register(**who)
    await until(lambda: look(folder / "bridge.db", "SELECT count(*) FROM delivery WHERE state = 'dead'")[0][0] > before)
    targets["elevate"].products = {"INTRO"}
    return answer["registration_id"]


async def test_at_a_glance(tmp_path) -> None:
    """An overview without trouble says so, with today's purchases; a dead letter and a quarantined line change that."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register(**ADA)
        await until(lambda: live(targets["hubspot"]))
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM delivery WHERE state <> 'done'") == [])
        await browser.logs_in()
        page = await browser.sees("/console/", "Purchases today (UTC) 1")
        assert "All is well" in page.words
        assert "requests used in 10 s" in page.words
        assert "Waiting for you 1" not in page.words
        await _dead(tmp_path, targets, client, **BOB)
        await client.register(**EVE, product="UNMAPPED-9")
        page = await browser.sees("/console/", "1 in quarantine: Product UNMAPPED-9 of ams is not mapped")
        assert "Something waits for you" in page.words
        assert "1 dead at elevate:" in page.words
        assert "1 dead" in page.words
        assert 'role="img"' in page.text


async def test_paid_but_not_in_takes_three_clicks(tmp_path) -> None:
    """From the overview: find the person, read why on the purchase's page, see request and answer. Two clicks and a word."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        bob = await _dead(tmp_path, targets, client, **BOB)
        for what in (BOB["email"], BOB["user"], BOB["lastname"], "bob  babbage"):
            page = await browser.finds(what)
            assert page.path == f"/console/purchases/{bob}", what
            assert "Not in: somebody has to act" in page.words
            assert "What to do" not in page.words  # the style's, so that the words are the ledger's
            assert "elevate : Given up as a dead letter" in page.words
            assert BOB["email"] not in page.text
            assert BOB["lastname"] not in page.text
        link = page.text.split("#attempt-")[0].rpartition('href="')[2]
        page = await browser.opens(link)
        assert "POST " in page.words
        assert "answer" in page.words
        assert BOB["email"] not in page.text


async def test_found_by_whatever_is_at_hand(tmp_path) -> None:
    """Event ids, targets' ids and refused bodies lead somewhere; of several purchases a list; of nothing, what to look at."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**ADA)
        await client.register(**ADA, product="BUNDLE")
        await client.register(**{**EVE, "email": "eve@example.org", "amount_paid": "a lot"})
        await until(lambda: look(tmp_path / "bridge.db", "SELECT 1 FROM remote_ref WHERE target = 'hubspot'"))
        assert (await browser.finds(ADA["email"])).text.count('<h3><a href="/console/purchases/') == 2
        (remote,) = look(tmp_path / "bridge.db", "SELECT remote_id FROM remote_ref WHERE target = 'hubspot'")[0]
        assert "a target's id" in (await browser.finds(remote)).words
        assert "Event 3 of ams, refused" in (await browser.finds(EVE["email"])).words
        assert "Event 3 of ams" in (await browser.finds("3")).words
        for what in ("nobody@example.org", "%", "_", "' OR 1=1 --", "9" * 40, "\0", "ü" * 300, "a" * 5_000):
            page = await browser.finds(what)
            assert (page.status, "Nothing is known" in page.words) == (200, True), what
        assert (await browser.finds("   ")).status == 200


async def test_hostile_names_are_inert(tmp_path) -> None:
    """What a sender writes is text on every page, whatever it looks like."""
    evil = '"><script>alert(1)</script>\u202e{{1234*4321}}'
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(user=evil, firstname=evil, lastname=evil, email="x@example.org")
        await client.register(user="u", product=evil)
        await client.register(user="v", product="ABCD1234", order_number=evil)
        for path in ("/", "/troubles", "/purchases/1", "/events/1", "/events/2", "/targets", "/audit", "/deliveries/1"):
            page = await browser.opens(f"/console{path}")
            assert page.status == 200, path
            assert "<script>alert" not in page.text
            assert "\u202e" not in page.text
            assert str(1234 * 4321) not in page.text
        assert "&lt;script&gt;" in (await browser.opens("/console/troubles")).text
        for what in (evil, "<script>alert(1)</script>"):
            assert "<script>alert" not in (await browser.finds(what)).text


async def test_dead_letters_are_requeued(tmp_path) -> None:
    """All of one cause in one card; the preview changes nothing, the button lets them in, and the audit says who did it."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await _dead(tmp_path, targets, client, **BOB)
        await _dead(tmp_path, targets, client, **EVE)
        page = await browser.opens("/console/troubles")
        assert "2 not let in, or not out, since" in page.words
        preview = await browser.sends("/console/act", page.form("requeue"))
        assert "2 of 2 will be done. Nothing has been changed yet." in preview.words
        assert look(tmp_path / "bridge.db", "SELECT count(*) FROM delivery WHERE state = 'dead'") == [(2,)]
        done = await browser.sends("/console/act", preview.form("requeue"))
        assert "Done: Try dead letters again" in done.words
        await until(lambda: len(live(targets["elevate"])) == 2)
        again = await browser.sends("/console/act", preview.form("requeue"))
        assert "there is nothing to do here any more" in again.words
        page = await browser.opens("/console/audit")
        assert "ada requeue" in page.words
        assert "ada login - from 127.0.0.1" in page.words
        assert "ada did requeue" in (await browser.opens("/console/purchases/1")).words


async def test_quarantine_is_released(tmp_path) -> None:
    """Before the product is mapped nothing can be released, and the remedy is said; then reload, release, and they are in."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**ADA, product="NEW-1")
        await client.register(**BOB, product="NEW-1")
        page = await browser.opens("/console/troubles")
        assert "Map the product under [[products]]" in page.words
        preview = await browser.sends("/console/act", page.form("release"))
        assert "0 of 2 will be done" in preview.words
        assert "still not mapped" in preview.words
        assert 'name="step"' not in preview.text
        path = tmp_path / "bridge.toml"
        path.write_text(
            path.read_text().replace('remote_product_id = "ABCD1234"\n', 'remote_product_id = "NEW-1"\n', 1)
        )
        _, done = await browser.acts(page, "reload")
        assert "Done" in done.words
        preview, done = await browser.acts(page, "release")
        assert "2 of 2 will be done" in preview.words
        assert done.words.count("released") == 2
        await until(lambda: len(live(targets["elevate"])) == 2)
        assert "in quarantine" not in (await browser.opens("/console/troubles")).words


async def test_a_faulty_file_changes_nothing(tmp_path) -> None:
    """A reload of a file that can't be used says where the fault is, as the verb does."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await browser.logs_in()
        path = tmp_path / "bridge.toml"
        path.write_text(path.read_text() + "\n[nonsense]\n")
        _, done = await browser.acts(await browser.opens("/console/targets"), "reload")
        assert (done.status, "nonsense" in done.words) == (422, True)


async def test_a_target_is_paused_and_resumed(tmp_path) -> None:
    """A paused target is told nothing, its card and the purchase say who paused it and why; resumed, all goes out."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        page = await browser.opens("/console/targets")
        preview, done = await browser.acts(page, "pause", why="they asked <us>")
        assert "0 are queued for it now" in preview.words
        assert "Done: Pause a target: elevate" in done.words
        assert bridge.standing().lanes["elevate"] == "paused"
        await client.register(**ADA)
        page = await browser.opens("/console/purchases/1")
        assert "elevate : The target was paused by ada: they asked <us>." in page.words
        preview, _ = await browser.acts(page, "resume")
        assert "1 is queued for it now" in preview.words
        await until(lambda: live(targets["elevate"]))
        wrong = {**page.form("resume"), "target": "nobody", "step": "do"}
        assert (await browser.sends("/console/act", wrong)).status == 422


async def test_try_now(tmp_path) -> None:
    """A delivery whose next try is far away is tried at once, and the record says who asked for it."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        ledger = bridge.ledger
        page = await browser.opens("/console/targets")
        await browser.acts(page, "pause")
        await client.register(**ADA)
        await ledger.write(lambda unit: unit.run("UPDATE delivery SET due_at = due_at + 3600000, attempts = 3"))
        await browser.acts(await browser.opens("/console/targets"), "resume")
        page = await browser.opens("/console/purchases/1")
        assert "Is due at" in page.words
        assert live(targets["elevate"]) == []
        preview, _ = await browser.acts(page, "retry")
        assert "1 of 1 will be done" in preview.words
        await until(lambda: live(targets["elevate"]))
        assert "ada did retry" in (await browser.opens("/console/purchases/1")).words


async def test_an_event_is_replayed(tmp_path) -> None:
    """What a sender wrote is shown masked, and a replay of what happened already changes nothing."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        await client.register(**ADA)
        page = await browser.opens("/console/events/1")
        assert "Purchase 1 : created" in page.words
        for hidden in (ADA["email"], ADA["lastname"], "ams-key-for-tests"):
            assert hidden not in page.text
        preview, done = await browser.acts(page, "replay")
        assert "1 of 1 will be done" in preview.words
        assert "1 was looked at" in done.words
        await until(lambda: live(targets["elevate"]))
        assert look(tmp_path / "bridge.db", "SELECT count(*) FROM registration") == [(1,)]
        assert len(live(targets["elevate"])) == 1


async def test_buttons_are_told_apart_without_what_stands_around_them(tmp_path) -> None:
    """Who has the buttons of a page read out hears of each what it is about."""
    async with emulators(*TARGETS) as targets, console(tmp_path, targets) as (_, client, browser):
        await browser.logs_in()
        for product in ("NEW-1", "NEW-2"):
            await client.register(**ADA, product=product)
        for path, verb in (("targets", "Pause…"), ("troubles", "Release…")):
            page = await browser.opens(f"/console/{path}")
            buttons = [re.sub("<[^>]+>", "", one) for one in re.findall("<button[^>]*>(.*?)</button>", page.text)]
            assert sum(name.startswith(verb) for name in buttons) == 2
            assert len(set(buttons)) == len(buttons), buttons


async def test_numbers_that_lead_nowhere(tmp_path) -> None:
    """A page of something that is not there says so, however large its number."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        page = await browser.logs_in()
        for kind in ("purchases", "deliveries", "events"):
            for number in ("0", "7", "9" * 19):
                assert (await browser.opens(f"/console/{kind}/{number}")).status == 404
            assert (await browser.opens(f"/console/{kind}/x")).status == 404
        for before in ("x", "9" * 30, "9" * 5_000, "-1", "5"):
            assert (await browser.opens(f"/console/audit?before={before}")).status == 200
        for fields in (
            {"action": "drop"},
            {"action": "requeue", "ids": "1,x,%00," + "9" * 30},
            {"action": "release", "kind": "unmapped"},
            {"action": "pause", "target": "\0" * 20},
            {"action": "requeue", "ids": ""},
        ):
            answer = await browser.sends("/console/act", {"csrf": page.csrf, **fields})
            assert answer.status in (200, 422), fields


async def test_while_the_ledger_is_away(tmp_path) -> None:
    """The console says so, on a page, and is back with the ledger."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, browser):
        await browser.logs_in()
        await bridge.ledger.write(lambda unit: unit.run("ALTER TABLE console_session RENAME TO away"))
        page = await browser.opens("/console/")
        assert (page.status, "The ledger can't be reached" in page.words) == (503, True)
        await bridge.ledger.write(lambda unit: unit.run("ALTER TABLE away RENAME TO console_session"))
        assert (await browser.opens("/console/")).status == 200


async def test_what_add_user_prints_lets_somebody_in(tmp_path) -> None:
    """The lines can be pasted as they are, whatever the name; the password stands nowhere in them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "console", "add-user", 'gra "ce', "--role", "operator", "--password-stdin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(b"correct horse battery\n")
    assert process.returncode == 0
    assert b"correct" not in out
    async with emulators("elevate") as targets, console(tmp_path, targets, users=out.decode()) as (_, __, browser):
        assert load(tmp_path / "bridge.toml", Registry(), env={}).settings.console.users['gra "ce'].role == "operator"
        assert (await browser.logs_in('gra "ce', "correct horse battery")).path == "/console/"


def test_add_user_refuses_what_is_no_password() -> None:
    """A short password, an empty name and an unknown role are bad usage."""
    assert ask("console", "add-user", "ada", "--password-stdin").code == 2
    assert ask("console", "add-user", "", "--password-stdin").code == 2
    assert ask("console", "add-user", "ada", "--role", "admin", "--password-stdin").code == 2


async def test_a_password_that_is_too_long_is_wrong(tmp_path) -> None:
    """Nobody makes the bridge hash what no password can be."""
    assert passwords.LONGEST < 5_000
    async with emulators("elevate") as targets, console(tmp_path, targets, users=USERS) as (_, __, browser):
        assert (await browser.logs_in(password="x" * 5_000)).status == 401


async def test_events_that_could_not_be_read_are_replayed_as_a_group(tmp_path) -> None:
    """What waits because nobody understood it has a card with its remedy, and is understood anew at once."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        for n in (1, 2):
            await client.register(user=f"u{n}")
            await bridge.ledger.write(
                lambda unit, n=n: unit.run(
                    "INSERT INTO quarantine (event_id, source, kind, occurred_at, state, created_at, updated_at)"
                    " VALUES (:n, 'ams', 'unreadable', 1, 'waiting', 1, 1)",
                    n=n,
                )
            )
        page = await browser.opens("/console/troubles")
        assert "Events of ams that could not be read" in page.words
        preview, _ = await browser.acts(page, "replay")
        assert "2 of 2 will be done" in preview.words
        assert "Nothing does." in (await browser.opens("/console/troubles")).words


async def test_questions_that_were_given_up_are_asked_again(tmp_path) -> None:
    """Lookups that senders did not answer are grouped like dead letters, and asked again."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, client, browser):
        await browser.logs_in()
        await client.register()
        await bridge.ledger.write(
            lambda unit: unit.run(
                "INSERT INTO lookup (event_id, source, kind, key, state, due_at, why, created_at, updated_at)"
                " VALUES (1, 'ams', 'order', 'k', 'dead', 1, 'HTTP 500 of ada@example.org', 1, 1)"
            )
        )
        page = await browser.opens("/console/troubles")
        assert "ams: HTTP 500 of a•••@•••.org" in page.words
        preview, done = await browser.acts(page, "requeue_lookups")
        assert "1 of 1 will be done" in preview.words
        assert "Done: Ask the sender again" in done.words
        assert look(tmp_path / "bridge.db", "SELECT count(*) FROM lookup WHERE state = 'dead'") == [(0,)]


async def test_pages_are_told_of_changes(tmp_path) -> None:
    """Server-sent events say that there is something new; they end with the session, and without one there are none."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        assert (await browser.opens("/console/live")).path == "/console/login"
        await browser.logs_in()
        page = await browser.opens("/console/")
        seen = page.text.partition('data-print="')[2].partition('"')[0]
        url = f"{browser.base_url}/console/live?seen={seen}"
        async with browser.session.get(url) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
            await client.register(**ADA)
            async with asyncio.timeout(15):
                assert await stream.content.readline() == b"event: changed\n"
            await browser.sends("/console/logout", {"csrf": page.csrf})
            await client.register(**BOB)
            async with asyncio.timeout(15):
                rest = await stream.content.read()
        assert rest.replace(b"event: changed\n", b"").replace(b"data: fetch\n", b"").strip() == b""


async def test_a_bridge_stops_while_pages_watch(tmp_path) -> None:
    """Streams end with it at once."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, browser):
        await browser.logs_in()
        async with browser.session.get(f"{browser.base_url}/console/live") as stream:
            begun = asyncio.get_running_loop().time()
            await bridge.stop()
            assert asyncio.get_running_loop().time() - begun < 4, "a listener gives what is under way five seconds"
            assert await stream.content.read() in (b"", b"event: changed\ndata: fetch\n\n")
