"""The page where people log in, by password or at an OpenID provider, and the way out again."""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import web

from bridge.edge.console.access import (
    COOKIE,
    FORM_COOKIE,
    PATH,
    Access,
    Refused,
    Visitor,
    is_ours,
    is_own_page,
)
from bridge.edge.console.forms import HOME, form_of, way_back
from bridge.edge.console.openid import COOKIE as OPENID_COOKIE
from bridge.edge.console.openid import ID_COOKIE, OpenIDLogin, Turned
from bridge.edge.console.pages import elsewhere, page, said
from bridge.edge.openid.errand import LASTS
from bridge.edge.openid.terms import WORD

OPENID: Final = f"{PATH}/openid"
LOST: Final = "lost"
"""In the address of the page: they come from a form that was sent when their session was over."""
OUT: Final = f"{OPENID}/out"
"""Where the end of the session at the provider is offered; it is begun below."""

_LOGIN: Final = f"{PATH}/login"


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
        if isinstance(done, Refused) and done.slowed:
            fault = (
                f"Name or password is wrong, or the name is locked for up to {done.minutes} min."
                " So much has failed at this address that each try takes a moment."
            )
            return self._page(request, back, fault, 429, Retry_After="5")
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
        self._access.set_cookie(
            request, response, ID_COOKIE, found.id_token, seconds=found.seconds, path=OPENID, https=https
        )
        self._keep(request, response, "", 0)
        return response

    def _keep(self, request: web.Request, response: web.Response, kept: str, seconds: int) -> None:
        https = self._openid.https
        self._access.set_cookie(request, response, OPENID_COOKIE, kept, seconds=seconds, path=OPENID, https=https)

    async def out(self, request: web.Request, visitor: Visitor) -> web.Response:
        """End the session; to whoever came from a provider, offer to end the one there as well."""
        await self._access.log_out(request)
        offered = visitor.name.startswith(WORD) and await self._openid.ends(request)
        response = elsewhere(OUT if offered else _LOGIN)
        self._access.set_cookie(request, response, COOKIE, "")
        return response

    async def offer(self, request: web.Request) -> web.Response:
        """Say that the session here has ended, and offer to end the one at the provider. By a link, as :meth:`leave`."""
        if await self._access.visitor(request) is not None:
            return elsewhere(HOME)
        return page("out", None, there=f"{OUT}/there") if await self._openid.ends(request) else elsewhere(_LOGIN)

    async def out_there(self, request: web.Request) -> web.Response:
        """Send the browser to the provider to end its session there. Only from our own page: another site ends nobody's."""
        if not is_own_page(request) or await self._access.visitor(request) is not None:
            return elsewhere(OUT)
        response = elsewhere(await self._openid.ends(request) or _LOGIN)
        self._access.set_cookie(request, response, ID_COOKIE, "", path=OPENID)
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
