"""Logging in to the web console at an OpenID provider: a real bridge and a real provider over loopback."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie

import pytest

from tests.acceptance.cli_rig import asked, look
from tests.acceptance.console_rig import PASSWORD, Browser, Page, browser_session, console
from tests.acceptance.openid_rig import (
    EVE,
    SECRET,
    VIC,
    decided,
    provider,
    published,
    query_of,
    section,
    sent_back,
    signs_in,
    with_provider,
)
from tests.acceptance.rig import emulators, free_port


def _sessions(folder) -> list[str]:
    return [row[0] for row in look(folder / "bridge.db", "SELECT name FROM console_session ORDER BY created_at")]


async def test_somebody_logs_in_and_acts(tmp_path) -> None:
    """They land on the page that they wanted, act under their name with the role of their group, and log out."""
    async with with_provider(tmp_path) as (_, __, browser):
        first = await browser.opens("/console/targets")
        assert "Log in with Example" in first.words
        start = re.search(rf'href="{browser.base_url}(/console/openid\?next=[^"]+)"', first.text)[1]
        page = await signs_in(browser, start)
        assert (page.status, page.path) == (200, "/console/targets")
        assert "openid ada@example.org (operator)" in page.words
        await browser.acts(page, "pause")
        told = look(tmp_path / "bridge.db", "SELECT operator, action FROM operator_action ORDER BY id")
        assert told == [("openid ada@example.org", "login"), ("openid ada@example.org", "pause")]
        audit = await browser.opens("/console/audit")
        assert (
            audit.words.count("openid ada@example.org") == 3
        )  # who is logged in, and who did the two: not masked as learners
        await browser.sees("/console/targets", "by openid ada@example.org")
        await browser.sends("/console/logout", {"csrf": page.csrf})
        assert _sessions(tmp_path) == []
        assert (await browser.opens("/console/")).path == "/console/login"


async def test_roles_come_from_the_claim(tmp_path) -> None:
    """A viewer changes nothing; who has none of the groups is told so, and gets no session."""
    async with with_provider(tmp_path) as (found, _, browser), browser_session() as others:
        found.person = VIC
        page = await signs_in(browser, "/console/openid?next=/console/targets")
        assert "(viewer)" in page.words
        assert "Pause" not in page.words
        found.person = EVE
        page = await signs_in(Browser(browser.base_url, others))
        assert (page.status, "nobody gave you a role here" in page.words) == (403, True)
        found.person = {**VIC, "email_verified": False}
        page = await signs_in(Browser(browser.base_url, others))
        assert (page.status, "does not tell your name" in page.words) == (403, True)
        assert _sessions(tmp_path) == ["openid vic@example.org"]


async def test_cookies_of_the_way_there_and_back(tmp_path) -> None:
    """What is kept for the way is narrow and short-lived, and gone after it; the session's is as after a password."""
    async with with_provider(tmp_path, session='"1h"') as (_, __, browser):
        away = await browser.opens("/console/openid", follow=False)
        cookie = SimpleCookie(away.headers["Set-Cookie"])["bridge_console_openid"]
        assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == ("/console/openid", "Lax", "600")
        assert cookie["httponly"]
        there = query_of(away.headers["Location"])
        assert len({there["state"], there["nonce"], there["code_challenge"], *cookie.value.split(".")}) == 6
        back = await sent_back(browser)
        async with browser.session.get(browser.base_url + back, allow_redirects=False) as answer:
            given = answer.cookies
            assert (answer.status, answer.headers["Location"]) == (303, "/console/")
        assert given["bridge_console_openid"].value == ""
        session = given["bridge_console"]
        assert (session["path"], session["samesite"], session["max-age"]) == ("/console", "Lax", "3600")
        assert session["httponly"]


async def test_cookies_go_over_https_where_the_console_is_reached_so(tmp_path) -> None:
    """Also behind a proxy that says nothing, and on a listener of its own: console_url says it of this login."""
    url, listener = "https://console.example.org", "[admin]\nport = 0\n"
    async with emulators("elevate") as targets, provider() as found:
        found.redirect_uri = f"{url}/console/openid/callback"
        extra = listener + section(found, console_url=f'"{url}"')
        async with console(tmp_path, targets, extra) as (bridge, _, browser):
            inside = Browser(f"http://127.0.0.1:{bridge.admin_port}", browser.session)
            away = await inside.opens("/console/openid", follow=False)
            kept = SimpleCookie(away.headers["Set-Cookie"])["bridge_console_openid"]
            assert kept["secure"]
            back = await decided(browser, away.headers["Location"])
            own = {"Cookie": f"bridge_console_openid={kept.value}"}
            async with browser.session.get(inside.base_url + back, headers=own, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/console/")
                assert all(cookie["secure"] for cookie in answer.cookies.values())
                assert set(answer.cookies) == {"bridge_console", "bridge_console_openid", "bridge_console_openid_id"}
            page = await inside.opens("/console/login")
            assert "Secure" not in page.headers["Set-Cookie"]  # a password may be typed on this machine


@pytest.mark.parametrize("alg", ["RS256", "PS256", "EdDSA"])
async def test_a_new_key_counts_at_once(tmp_path, alg: str) -> None:
    """The provider signs with a key that it did not publish before: its keys are fetched again, once."""
    async with with_provider(tmp_path) as (found, _, browser), browser_session() as others:
        assert (await signs_in(browser)).path == "/console/"
        found.key, found.keys = (alg, "two"), [published("ES256"), published(alg, "two")]
        before = found.count("/keys")
        assert (await signs_in(Browser(browser.base_url, others))).path == "/console/"
        assert found.count("/keys") - before == 1


async def test_the_provider_names_itself_on_the_way_back(tmp_path) -> None:
    """Where it says that it does (RFC 9207), nobody comes back without its name or with another one."""
    async with with_provider(tmp_path) as (found, _, browser):
        found.changes = {"authorization_response_iss_parameter_supported": True}
        for other in ("&iss=https%3A%2F%2Fevil.example", ""):
            back = re.sub(r"&iss=[^&]+", other, await sent_back(browser))
            page = await browser.opens(back)
            assert (page.status, "could not be proven" in page.words) == (403, True)
        assert (await signs_in(browser)).path == "/console/"


async def test_the_secret_goes_where_the_provider_wants_it(tmp_path) -> None:
    """In the form instead of the header, where that is all it takes."""
    async with with_provider(tmp_path) as (found, _, browser):
        found.changes = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert (await signs_in(browser)).path == "/console/"


async def test_a_reload_counts_at_once(tmp_path) -> None:
    """Another mapping ends the sessions that began under the old one, another label does not; without the table nobody is in by it."""
    async with with_provider(tmp_path) as (_, bridge, browser):
        path = tmp_path / "bridge.toml"
        text = path.read_text()
        assert (await signs_in(browser)).path == "/console/"

        async def reloaded(old: str, new: str) -> Page:
            assert old in text
            path.write_text(text.replace(old, new))
            await bridge.reread()
            return await browser.opens("/console/")

        assert (await reloaded("Log in with Example", "Staff")).path == "/console/"
        page = await reloaded('operators = "bridge-operators"', 'operators = "nobody"')
        assert page.path == "/console/login"
        assert (await signs_in(browser)).status == 403
        under_way = await sent_back(browser)
        table = text[text.index("[admin.openid]") : text.index("[console.users")]
        page = await reloaded(table, "")
        assert "Log in with" not in page.words
        assert [(await browser.opens(one)).status for one in ("/console/openid", under_way)] == [404, 404]
        assert (await reloaded(table, table)).path == "/console/"  # the session is there, and under its terms again


async def test_passwords_can_be_turned_off(tmp_path) -> None:
    """Then nobody is in by one any more, the form is gone, and what is posted all the same is wrong."""
    async with with_provider(tmp_path) as (_, bridge, browser):
        page = await browser.logs_in()
        assert page.path == "/console/"
        path = tmp_path / "bridge.toml"
        path.write_text(path.read_text().replace("[admin.openid]\n", "[admin.openid]\npasswords = false\n"))
        await bridge.reread()
        page = await browser.opens("/console/")
        assert (page.path, "Password" in page.words, "Log in with Example" in page.words) == (
            "/console/login",
            False,
            True,
        )
        token = next(one.value for one in browser.session.cookie_jar if one.key == "bridge_console_form")
        fields = {"csrf": token, "name": "ada", "password": PASSWORD}
        assert (await browser.sends("/console/login", fields)).status == 401
        assert (await signs_in(browser)).path == "/console/"


async def test_without_users_the_page_shows_the_provider_alone(tmp_path) -> None:
    """Nobody is asked to add a user where people log in elsewhere."""
    async with with_provider(tmp_path, users="") as (_, __, browser):
        page = await browser.opens("/console/")
        assert "add-user" not in page.words
        assert "Password" not in page.words
        assert (await signs_in(browser)).path == "/console/"


async def test_an_own_listener(tmp_path) -> None:
    """With an admin port the way to the provider and back is there, at the address that the file names."""
    async with emulators("elevate") as targets, provider() as found:
        port = free_port()
        found.redirect_uri = f"http://127.0.0.1:{port}/console/openid/callback"
        table = section(found, console_url=f'"http://127.0.0.1:{port}"')
        extra = f"[admin]\nport = {port}\n{table}"
        async with console(tmp_path, targets, extra) as (_, __, browser):
            assert (await browser.opens("/console/openid")).status == 404
            inside = Browser(f"http://127.0.0.1:{port}", browser.session)
            assert (await signs_in(inside)).path == "/console/"


async def test_check_and_doctor_look_at_it(tmp_path) -> None:
    """The one says what to register without asking anybody, the other asks the provider and says what is wrong with it."""
    async with with_provider(tmp_path) as (found, _, browser):
        config = tmp_path / "bridge.toml"
        checked = await asked("check", "--config", config)
        assert f"address to register there: {browser.base_url}/console/openid/callback" in checked.out
        assert found.asked == []
        well = await asked("doctor", "--config", config, "--json")
        (row,) = [row for row in well.json if row["target"] == "admin.openid"]
        assert (well.code, row["ok"], len(row["findings"])) == (0, True, 4)
        assert "has no address for it" in str(row)
        found.changes = {"end_session_endpoint": f"{found.issuer}/logout"}
        assert f"{browser.base_url}/console/login has to be registered" in str(
            (await asked("doctor", "--config", config, "--json")).json
        )
        assert browser.base_url in row["said"]
        assert [
            row["target"] for row in (await asked("doctor", "--config", config, "--target", "elevate", "--json")).json
        ] == ["elevate"]
        for changes, said in (
            ({"issuer": "https://other.example"}, "another name"),
            ({"code_challenge_methods_supported": ["plain"]}, "not offered"),
            ({"response_types_supported": ["id_token"]}, "not offered"),
            ({"jwks_uri": f"{found.issuer}/nothing"}, "answered with status 404"),
        ):
            found.changes = changes
            sick = await asked("doctor", "--config", config, "--json")
            (row,) = [row for row in sick.json if row["target"] == "admin.openid"]
            assert (sick.code, row["ok"], said in str(row)) == (1, False, True)
        assert found.count("/token") == 0
        found.changes = {}
        await found.stop()
        sick = await asked("doctor", "--config", config)
        assert sick.code == 1
        assert "no connection" in sick.out
        assert SECRET not in sick.out + sick.err + checked.out
