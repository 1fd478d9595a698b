"""Who gets into the web console, and who does not: a real bridge over loopback."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter

import pytest
from structlog.testing import capture_logs

from bridge.edge.console import guesses, passwords
from tests.acceptance.cli_rig import look
from tests.acceptance.console_rig import HASH, PASSWORD, USERS, Browser, browser_session, console
from tests.acceptance.rig import emulators

PATHS = ("/", "/find", "/troubles", "/targets", "/audit", "/purchases/1", "/deliveries/1", "/events/1", "/nothing")


async def test_nobody_sees_a_page_without_logging_in(tmp_path) -> None:
    """Every page leads to the login and back; nothing of the ledger is in the answer, and a form changes nothing."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register()
        for path in PATHS:
            page = await browser.opens(f"/console{path}", follow=False)
            assert (page.status, page.headers["Location"].partition("?")[0], page.text) == (303, "/console/login", "")
        for path in ("/find", "/act", "/logout"):
            assert (await browser.sends(f"/console{path}", {}, follow=False)).status == 303
        page = await browser.opens("/console/purchases/1")
        assert page.path == "/console/login"
        fields = {"csrf": page.csrf, "name": "ada", "password": PASSWORD, "next": "/console/purchases/1"}
        assert (await browser.sends("/console/login", fields)).path == "/console/purchases/1"


async def test_headers_let_nothing_else_in(tmp_path) -> None:
    """Every answer carries a strict policy, and no page has a script, a style or a handler of its own."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register()
        pages = [await browser.opens("/console/login"), await browser.logs_in()]
        pages += [await browser.opens(f"/console{path}") for path in PATHS]
        for page in pages:
            policy = page.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert page.headers["Referrer-Policy"] == "no-referrer"
            assert page.headers["Cache-Control"] == "no-store"
            assert not re.search(r"<style|<script(?! src=\"/console/assets/)| style=| on[a-z]+=", page.text)
        for name in set(re.findall(r"/console/assets/[^\"]+", pages[0].text)):
            file = await browser.opens(name)
            assert (file.status, "immutable" in file.headers["Cache-Control"]) == (200, True)
        assert (await browser.opens("/console/assets/..%2f__init__.py")).status == 404


@pytest.mark.parametrize(("server", "secure"), [("", False), ('public_url = "https://bridge.example.org"', True)])
async def test_cookies(tmp_path, server: str, secure: bool) -> None:
    """No script reads the session's cookie, no other site sends it with a form, and it goes over HTTPS where that is spoken."""
    async with emulators("elevate") as targets, console(tmp_path, targets, server=server) as (_, __, browser):
        first = await browser.opens("/console/login")
        token = re.search(r"bridge_console_form=([\w-]+)", first.headers["Set-Cookie"])[1]
        page = await browser.sends(
            "/console/login",
            {"csrf": token, "name": "ada", "password": PASSWORD},
            headers={"Cookie": f"bridge_console_form={token}"},
            follow=False,
        )
        cookie = page.headers["Set-Cookie"]
        assert page.status == 303
        for part in ("bridge_console=", "HttpOnly", "SameSite=Lax", "Path=/console"):
            assert part in cookie
        assert ("Secure" in cookie) is secure
        value = re.search(r"bridge_console=([\w-]+)", cookie)[1]
        kept = look(tmp_path / "bridge.db", "SELECT * FROM console_session")
        assert len(kept) == 1
        assert value not in str(kept)
        assert "$argon2" not in str(kept)


async def test_a_trusted_proxy_says_that_it_is_https(tmp_path) -> None:
    """X-Forwarded-Proto counts from a trusted proxy, and from nobody else."""
    for at, (server, secure) in enumerate((("", False), ('trusted_proxies = ["127.0.0.0/8"]', True))):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with emulators("elevate") as targets, console(folder, targets, server=server) as (_, __, browser):
            page = await browser.opens("/console/login", headers={"X-Forwarded-Proto": "https"})
            assert ("Secure" in page.headers["Set-Cookie"]) is secure


async def test_a_session_outlives_a_restart_and_ends_with_the_log_out(tmp_path) -> None:
    """Nobody logs in again because of a restart; after the log-out the old cookie is worth nothing."""
    async with emulators("elevate") as targets, browser_session() as people:
        async with console(tmp_path, targets) as (bridge, _, __):
            await Browser(f"http://127.0.0.1:{bridge.port}", people).logs_in()
        async with console(tmp_path, targets) as (bridge, _, __):
            browser = Browser(f"http://127.0.0.1:{bridge.port}", people)
            page = await browser.opens("/console/")
            assert page.path == "/console/"
            kept = {cookie.key: cookie.value for cookie in people.cookie_jar}
            assert (await browser.sends("/console/logout", {"csrf": page.csrf})).path == "/console/login"
            people.cookie_jar.update_cookies(kept)
            assert (await browser.opens("/console/")).path == "/console/login"


async def test_who_left_the_configuration_is_out_at_once(tmp_path) -> None:
    """A reload ends the session of a removed user and of a changed password; a changed role counts at once."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (bridge, _, browser):
        await browser.logs_in()
        path = tmp_path / "bridge.toml"
        text = path.read_text()
        path.write_text(text.replace('role = "operator"', 'role = "viewer"'))
        await bridge.reread()
        assert "(viewer)" in (await browser.opens("/console/")).words
        path.write_text(text.replace("[console.users.ada]", "[console.users.bob]"))
        await bridge.reread()
        assert (await browser.opens("/console/")).path == "/console/login"
        path.write_text(text)
        await bridge.reread()
        assert (await browser.opens("/console/")).path == "/console/"
        path.write_text(text.replace(HASH, passwords.hashed("another password for tests")))
        await bridge.reread()
        assert (await browser.opens("/console/")).path == "/console/login"


async def test_a_form_that_is_not_ours_does_nothing(tmp_path) -> None:
    """Without the token, with another one, or sent by another site: 403, and nothing has happened."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        login = {"name": "ada", "password": PASSWORD}
        await browser.opens("/console/login")
        assert (await browser.sends("/console/login", login)).status == 403
        assert (await browser.sends("/console/login", {**login, "csrf": "x" * 43})).status == 403
        page = await browser.logs_in()
        pause = {"action": "pause", "target": "elevate", "step": "do"}
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert (await browser.sends("/console/act", pause)).status == 403
        assert (await browser.sends("/console/act", {**pause, "csrf": "x" * 64})).status == 403
        assert (await browser.sends("/console/act", {**pause, "csrf": page.csrf}, headers=foreign)).status == 403
        assert (await browser.opens("/console/act?csrf=" + page.csrf, "POST")).status == 403
        assert (await browser.sends("/console/logout", {})).status == 403
        assert look(tmp_path / "bridge.db", "SELECT * FROM lane") == []
        assert (await browser.sends("/console/act", {**pause, "csrf": page.csrf})).status == 200
        assert len(look(tmp_path / "bridge.db", "SELECT * FROM lane")) == 1


async def test_a_viewer_looks_and_does_not_touch(tmp_path) -> None:
    """A viewer sees no button, and is refused where they send the form all the same; finding is looking."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, client, browser):
        await client.register()
        page = await browser.logs_in("vic")
        targets_page = await browser.opens("/console/targets")
        assert "Pause" not in targets_page.words
        for step in ("", "do"):
            fields = {"csrf": page.csrf, "action": "pause", "target": "elevate", "step": step}
            assert (await browser.sends("/console/act", fields)).status == 403
        assert look(tmp_path / "bridge.db", "SELECT * FROM lane") == []
        assert (await browser.finds("1")).status == 200


async def test_too_many_wrong_passwords(tmp_path) -> None:
    """After five the right password does not help either, also after a restart; others at other addresses get in."""
    server = 'trusted_proxies = ["127.0.0.1"]'
    async with emulators("elevate") as targets:
        async with console(tmp_path, targets, server=server) as (_, __, browser):
            for _n in range(5):
                assert (await browser.logs_in(password="wrong")).status == 401
            page = await browser.logs_in()
            assert (page.status, "Too many tries" in page.words) == (429, True)
            assert int(page.headers["Retry-After"]) > 0
        async with console(tmp_path, targets, server=server) as (_, __, browser):
            assert (await browser.logs_in()).status == 429
            away = {"X-Forwarded-For": "203.0.113.9"}
            assert (await browser.logs_in(headers=away)).status == 200
    kept = str(look(tmp_path / "bridge.db", "SELECT * FROM console_failure"))
    assert "ada" not in kept
    assert "127.0.0.1" not in kept


async def test_a_forged_address_does_not_help(tmp_path) -> None:
    """X-Forwarded-For of somebody who is no trusted proxy is not believed."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        for n in range(5):
            await browser.logs_in(password="wrong", headers={"X-Forwarded-For": f"203.0.113.{n}"})
        assert (await browser.logs_in(headers={"X-Forwarded-For": "203.0.113.99"})).status == 429


async def _suspected(browser) -> None:
    """Let so many names fail at the browser's address that it is suspected; the known ones among them fail like the others."""
    pages = [await browser.logs_in(f"name{n}", "wrong") for n in range(18)]
    pages += [await browser.logs_in("ada", "wrong"), await browser.logs_in("vic", "wrong")]
    assert {page.status for page in pages} == {401}
    assert {"Name or password is wrong." in page.words for page in pages} == {True}


async def test_others_failures_at_an_address_lock_nobody_out_who_knows_their_password(tmp_path, monkeypatch) -> None:
    """Behind one address is an office. Who knows their password gets in at once; who does not is told the same, whichever names there are."""
    monkeypatch.setattr(passwords, "_nobodys", lambda: HASH)  # as quick as that of the others
    monkeypatch.setattr(guesses, "_PAUSE", 0.05)
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await _suspected(browser)
        wrong = [await browser.logs_in("ada", f"wrong{n}") for n in range(4)]
        wrong += [await browser.logs_in("ada"), await browser.logs_in("nobody", "wrong")]
        assert {page.status for page in wrong} == {429}, "ada's own name has failed five times there: it is locked"
        assert len({page.words for page in wrong}) == 1
        assert (await browser.logs_in("vic")).status == 200
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        assert (await browser.logs_in("nobody", "wrong")).status == 429, "a restart does not forget"
        assert (await browser.logs_in("vic")).status == 200


async def test_a_suspected_address_is_looked_at_one_by_one(tmp_path, monkeypatch) -> None:
    """Each failure takes its time, whether there is such a name or not, those behind it wait, and more than a few are turned away; what is kept does not grow."""
    monkeypatch.setattr(passwords, "_nobodys", lambda: HASH)
    monkeypatch.setattr(guesses, "_PAUSE", 0.3)
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await _suspected(browser)
        kept = look(tmp_path / "bridge.db", "SELECT count(*) FROM console_failure")
        page = await browser.opens("/console/login")

        async def fails(name: str) -> int:
            fields = {"csrf": page.csrf, "name": name, "password": "wrong"}
            return (await browser.sends("/console/login", fields)).status

        names = [*(f"other{n}" for n in range(17)), "ada", "vic", "ada"]
        began = time.monotonic()
        with capture_logs() as logs:
            assert set(await asyncio.gather(*map(fails, names))) == {429}
        took = time.monotonic() - began
        said = Counter(line["event"] for line in logs)
        assert said["console.login_failed"] + said["console.locked_out"] == len(names)
        assert said["console.locked_out"] > 0
        assert took >= 0.3 * said["console.login_failed"] >= 0.3 * 5
        assert look(tmp_path / "bridge.db", "SELECT count(*) FROM console_failure") == kept
        assert (await browser.logs_in("vic")).status == 200


async def test_where_nobody_may_log_in(tmp_path) -> None:
    """Without users the page says how to make one, and no password gets anybody in."""
    async with emulators("elevate") as targets, console(tmp_path, targets, users="") as (_, __, browser):
        page = await browser.opens("/console/")
        assert "bridge console add-user" in page.words
        token = next(cookie.value for cookie in browser.session.cookie_jar)
        fields = {"csrf": token, "name": "ada", "password": PASSWORD}
        assert (await browser.sends("/console/login", fields)).status == 401


async def test_an_own_listener(tmp_path) -> None:
    """With an admin port the console and the metrics are there, and senders' address has neither."""
    extra = "[admin]\nport = 0\n"
    async with emulators("elevate") as targets, console(tmp_path, targets, extra) as (bridge, _, browser):
        for path in ("/console/", "/console/login", "/metrics"):
            assert (await browser.opens(path)).status == 404
        inside = Browser(f"http://127.0.0.1:{bridge.admin_port}", browser.session)
        assert (await inside.logs_in()).path == "/console/"
        assert (await inside.opens("/metrics")).status == 200


async def test_bodies_that_are_no_forms(tmp_path) -> None:
    """Too much is 413, what is no form fails like one that is not ours: never an error of ours."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        for data, status in ((b"x" * 70_000, 413), (b"\xff\xfe" * 50, 403), ("&".join(["a=1"] * 500), 403), (b"", 403)):
            assert (await browser.opens("/console/login", "POST", data=data)).status == status
        await browser.logs_in()
        for data, status in ((b"x" * 70_000, 413), (b"\0", 403), ("&".join(["a=1"] * 500), 403)):
            assert (await browser.opens("/console/act", "POST", data=data)).status == status


async def test_no_text_with_nul_gets_as_far_as_the_ledger(tmp_path) -> None:
    """PostgreSQL can neither keep one nor look for it, and would seem to be away."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        page = await browser.logs_in()
        pause = {"csrf": page.csrf, "action": "pause", "target": "elevate", "step": "do", "why": "a\0b"}
        assert (await browser.sends("/console/act", pause)).status == 200
        assert look(tmp_path / "bridge.db", "SELECT why FROM lane") == [("a\N{REPLACEMENT CHARACTER}b",)]


@pytest.mark.parametrize(
    "address", ["https://evil.example", "//evil.example", "/console//evil.example", "/console/x\r\nA: b"]
)
async def test_the_way_back_stays_here(tmp_path, address: str) -> None:
    """A link to the login can't lead elsewhere after it."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        page = await browser.opens("/console/login", params={"next": address})
        fields = {"csrf": page.csrf, "name": "ada", "password": PASSWORD, "next": address}
        assert (await browser.sends("/console/login", fields, follow=False)).headers["Location"] == "/console/"


async def test_a_form_that_outlived_its_session_is_not_taken_for_done(tmp_path) -> None:
    """The login says that nothing was done, and leads back to where there is a page; who only wanted out is told nothing."""
    async with emulators("elevate") as targets, console(tmp_path, targets) as (_, __, browser):
        await browser.logs_in()
        form = (await browser.opens("/console/targets")).form("pause")
        for path, back in (("/act", "/console/"), ("/rehearse", "/console/rehearse"), ("/find", "/console/find")):
            browser.session.cookie_jar.clear()
            page = await browser.sends(f"/console{path}", {**form, "step": "do"})
            assert (page.status, page.path) == (200, "/console/login")
            assert "what you sent just now was not done" in page.words
            fields = {
                "csrf": page.csrf,
                "name": "ada",
                "password": PASSWORD,
                "next": re.search('name="next" value="([^"]*)"', page.text)[1],
            }
            assert (await browser.sends("/console/login", fields)).path == back
        assert look(tmp_path / "bridge.db", "SELECT * FROM lane") == []
        browser.session.cookie_jar.clear()
        assert "not done" not in (await browser.sends("/console/logout", form)).words


async def test_a_page_that_renews_itself_sends_to_the_login(tmp_path) -> None:
    """When the session has ended, the login does not appear in the middle of a page."""
    async with emulators("elevate") as targets, console(tmp_path, targets, users=USERS) as (_, __, browser):
        page = await browser.opens("/console/", headers={"HX-Request": "true"}, follow=False)
        assert (page.status, page.headers["HX-Redirect"]) == (401, "/console/login")
