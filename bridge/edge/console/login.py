"""The page where people log in, by password or at an OpenID provider, and the way out again."""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import web

from bridge.edge.console.access import COOKIE, FORM_COOKIE, PATH, Access, Refused, is_ours
from bridge.edge.console.forms import HOME, form_of, way_back
from bridge.edge.console.openid import COOKIE as OPENID_COOKIE
from bridge.edge.console.openid import OpenIDLogin, Turned
from bridge.edge.console.pages import elsewhere, page, said
from bridge.edge.openid.errand import LASTS

OPENID: Final = f"{PATH}/openid"
LOST: Final = "lost"
"""In the address of the page: they come from a form that was sent when their session was over."""


class Login:
    """Shows the page, and takes what comes from it."""

    def __init__(self, access: Access, openid: OpenIDLogin) -> None:
        """Let ``access`` judge passwords, and ``openid`` who comes back from a provider."""
        self._access = access
        self._openid = openid

    async def show(self, request: web.Request) -> web.Response:
        """Show the page; to who is logged in already, the first one."""
        if await self._access.visitor(request) is not None:
            return elsewhere(HOME)
        fault = "You were logged out: what you sent just now was not done." if LOST in request.query else ""
        return self._page(request, way_back(request.query.get("next", "")), fault)

    async def take(self, request: web.Request) -> web.Response:
        """Judge name and password."""
        form = await form_of(request)
        if form is None:
            return said(None, 413, "That was too much", "What was sent is too long, or came too slowly.")
        back = way_back(form.get("next", ""))
        if not is_ours(request, request.cookies.get(FORM_COOKIE, ""), form.get("csrf", "")):
            return self._page(request, back, "The page was too old, or cookies are off. Please try once more.", 403)
        done = await self._access.log_in(request, form.get("name", ""), form.get("password", ""))
        if isinstance(done, Refused) and done.minutes:
            fault = f"Too many tries failed. Nobody can log in this way for {done.minutes} min."
            return self._page(request, back, fault, 429, Retry_After=str(done.minutes * 60))
        if isinstance(done, Refused):
            return self._page(request, back, "Name or password is wrong.", 401)
        response = elsewhere(back)
        self._access.set_cookie(request, response, COOKIE, done)
        self._access.set_cookie(request, response, FORM_COOKIE, "")
        return response

    async def leave(self, request: web.Request) -> web.Response:
        """Send the browser to the provider. By a link and not by a form: the policy lets forms lead nowhere else."""
        back = way_back(request.query.get("next", ""))
        found = await self._openid.leaves(request, back)
        if found is None:
            return said(None, 404, "There is no such page")
        if isinstance(found, Turned):
            return self._page(request, back, found.said, found.status)
        address, errand = found
        response = elsewhere(address)
        self._keep(request, response, errand.kept, LASTS)
        return response

    async def back(self, request: web.Request) -> web.Response:
        """Judge who comes back from the provider."""
        found = await self._openid.returns(request)
        if found is None:
            return said(None, 404, "There is no such page")
        if isinstance(found, Turned):
            after = {"Retry_After": str(found.minutes * 60)} if found.minutes else {}
            response = self._page(request, HOME, found.said, found.status, **after)
            if found.over:  # else another site could end a login that is under way, by sending the browser here
                self._keep(request, response, "", 0)
            return response
        response = elsewhere(way_back(found.back))
        https = self._openid.https
        self._access.set_cookie(request, response, COOKIE, found.token, seconds=found.seconds, https=https)
        self._keep(request, response, "", 0)
        return response

    def _keep(self, request: web.Request, response: web.Response, kept: str, seconds: int) -> None:
        https = self._openid.https
        self._access.set_cookie(request, response, OPENID_COOKIE, kept, seconds=seconds, path=OPENID, https=https)

    async def out(self, request: web.Request) -> web.Response:
        """End the session."""
        await self._access.log_out(request)
        response = elsewhere(f"{PATH}/login")
        self._access.set_cookie(request, response, COOKIE, "")
        return response

    def _page(
        self, request: web.Request, back: str, fault: str = "", status: int = 200, **headers: str
    ) -> web.Response:
        token = request.cookies.get(FORM_COOKIE, "")
        fresh = len(token) < 20
        token = secrets.token_urlsafe(32) if fresh else token
        response = page(
            "login",
            None,
            status=status,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            back=back,
            fault=fault,
            csrf=token,
            passwords=self._access.passwords,
            button=self._openid.button,
        )
        if fresh:
            self._access.set_cookie(request, response, FORM_COOKIE, token)
        return response
