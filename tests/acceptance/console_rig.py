"""The web console for acceptance tests: people with passwords, and a browser without a screen."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from argon2 import PasswordHasher

from bridge.app import Bridge
from bridge.registry import Registry
from config.load import load
from tests.acceptance.rig import Client, configuration

PASSWORD = "a password for tests"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # quick: a hash says how it was made
USERS = f"""
[console.users.ada]
password = "{HASH}"
role = "operator"

[console.users.vic]
password = "{HASH}"
"""


@dataclass(frozen=True)
class Page:
    """An answer of the console."""

    status: int
    text: str
    headers: dict[str, str]
    path: str

    @property
    def csrf(self) -> str:
        return re.findall(r'name="csrf" value="([^"]+)"', self.text)[-1]

    @property
    def words(self) -> str:
        """What somebody reads."""
        return html.unescape(
            " ".join(re.sub(r"<(svg|script|style).*?</\1>|<[^>]+>", " ", self.text, flags=re.DOTALL).split())
        )

    def form(self, action: str, which: int = 0) -> dict[str, str]:
        """Return the hidden fields of a form for an action."""
        forms = re.findall(r'<form[^>]*action="/console/act"[^>]*>(.*?)</form>', self.text, re.DOTALL)
        found = [dict(re.findall(r'name="(\w+)" value="([^"]*)"', one)) for one in forms]
        return [one for one in found if one.get("action") == action][which]


class Browser:
    """Somebody at the console."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url, self.session = base_url, session

    async def opens(self, path: str, method: str = "GET", *, follow: bool = True, **how) -> Page:
        async with self.session.request(method, self.base_url + path, allow_redirects=follow, **how) as answer:
            return Page(answer.status, await answer.text(), dict(answer.headers), urlsplit(str(answer.url)).path)

    async def sends(self, path: str, fields: dict[str, str], **how) -> Page:
        return await self.opens(path, "POST", data=fields, **how)

    async def logs_in(self, name: str = "ada", password: str = PASSWORD, **how) -> Page:
        page = await self.opens("/console/login")
        return await self.sends("/console/login", {"csrf": page.csrf, "name": name, "password": password}, **how)

    async def sees(self, path: str, text: str) -> Page:
        """Open a page until it says something: what it shows may be a moment old."""
        deadline = asyncio.get_running_loop().time() + 15
        while text not in (page := await self.opens(path)).words:
            assert asyncio.get_running_loop().time() < deadline, page.words
            await asyncio.sleep(0.05)
        return page

    async def finds(self, what: str) -> Page:
        page = await self.opens("/console/find")
        return await self.sends("/console/find", {"csrf": page.csrf, "what": what})

    async def acts(self, page: Page, action: str, which: int = 0, **more: str) -> tuple[Page, Page]:
        """Press a button of a page, and the one of the preview; return both pages."""
        preview = await self.sends("/console/act", page.form(action, which))
        return preview, await self.sends("/console/act", {**preview.form(action), **more})


def browser_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@asynccontextmanager
async def console(folder: Path, targets, extra: str = "", users: str = USERS, server: str = "", port: int = 0):
    """Run a bridge in this process; yields (bridge, sender, browser)."""
    path = configuration(folder, targets, port=port, extra=extra + users)
    path.write_text(path.read_text().replace("[server]\n", f"[server]\n{server}\n", 1))
    settings = load(path, Registry(), env={}).settings
    bridge = Bridge(settings, reread=lambda: load(path, Registry(), env={}).settings, file=path)
    await bridge.start()
    try:
        async with aiohttp.ClientSession() as session, browser_session() as people:
            url = f"http://127.0.0.1:{bridge.port}"
            yield bridge, Client(url, session), Browser(url, people)
    finally:
        await bridge.stop()
