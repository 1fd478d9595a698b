"""The operators' web console: ``/console/``. Pages show what the ledger tells; buttons do what :mod:`bridge.actions` can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web

from bridge.contract.errors import LedgerError
from bridge.edge.console.access import PATH, Access, Visitor, is_ours
from bridge.edge.console.acting import Acting
from bridge.edge.console.forms import BODY_SECONDS, HOME, Form, form_of, way_back
from bridge.edge.console.forms import MOST_BYTES as MOST_OF_FORM
from bridge.edge.console.glance import Glance
from bridge.edge.console.login import LOST, OPENID, OUT, Login
from bridge.edge.console.mapping import MappingPage
from bridge.edge.console.openid import BACK
from bridge.edge.console.pages import LIVE_HEADERS, asset, elsewhere, said, warm
from bridge.edge.console.rehearsing import MOST_BYTES, RehearsalBox
from bridge.edge.console.systems import SystemPages
from bridge.edge.console.views import Views

log = structlog.get_logger(__name__)

Shows = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]
Takes = Callable[[web.Request, Visitor, Form], Awaitable[web.Response]]

_STILL_THERE: Final = 15.0  # seconds after which a stream without news says so: proxies cut what is silent for long
_BOTH: Final = frozenset({f"{PATH}/find", f"{PATH}/rehearse"})  # that forms lead to, and links too
_NAMED: Final = "{name:[a-z0-9][a-z0-9_-]*}"  # as config takes them


class Console:
    """Registers the addresses, and stands between each of them and whoever calls."""

    def __init__(
        self,
        access: Access,
        login: Login,
        glance: Glance,
        views: Views,
        acting: Acting,
        systems: SystemPages,
        mapping: MappingPage,
        box: RehearsalBox,
    ) -> None:
        """Let ``access`` decide who sees ``views``, ``systems`` and ``mapping``, acts, and rehearses in the ``box``.

        ``login`` is where the others are sent; ``glance`` looks while we listen.
        """
        self._access = access
        self._login = login
        self._glance = glance
        self._warming: asyncio.Task[None] | None = None
        self._views = views
        self._acting = acting
        self._systems = systems
        self._mapping = mapping
        self._box = box

    def add_to(self, app: web.Application) -> None:
        """Register every address below ``/console/``."""
        app.on_startup.append(self._begin)
        app.on_shutdown.append(self._end)
        router, views = app.router, self._views
        shown: dict[str, Shows] = {
            "/": views.overview,
            "/troubles": views.troubles,
            "/targets": self._systems.targets,
            "/sources": self._systems.sources,
            f"/targets/{_NAMED}": self._systems.target,
            f"/sources/{_NAMED}": self._systems.source,
            "/mapping": self._mapping.show,
            "/rehearse": self._box.show,
            "/audit": views.audit,
            "/find": self._find_page,
            r"/purchases/{id:\d{1,19}}": views.purchase,
            r"/deliveries/{id:\d{1,19}}": views.delivery,
            r"/events/{id:\d{1,19}}": views.event,
        }
        for path, view in shown.items():
            router.add_get(PATH + path, self._shown(view))
        router.add_get(f"{PATH}/live", self._shown(self._live), allow_head=False)
        taken: dict[str, Takes] = {"/find": views.find, "/act": self._acting.act, "/logout": self._log_out}
        for path, take in taken.items():
            router.add_post(PATH + path, self._taken(take))
        router.add_post(f"{PATH}/rehearse", self._taken(self._box.play, MOST_BYTES))
        router.add_get(f"{PATH}/login", self._guarded(self._login.show))
        router.add_post(f"{PATH}/login", self._guarded(self._login.take))
        router.add_get(OPENID, self._guarded(self._login.leave), allow_head=False)
        router.add_get(OPENID + BACK, self._guarded(self._login.back), allow_head=False)
        router.add_get(OUT, self._guarded(self._login.offer), allow_head=False)
        router.add_get(f"{OUT}/there", self._guarded(self._login.out_there), allow_head=False)
        router.add_get(PATH, self._guarded(self._home))
        router.add_get(PATH + "/assets/{name}", self._guarded(self._asset))
        router.add_route("*", PATH + "/{rest:.*}", self._guarded(self._unknown))

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except LedgerError as fault:
                log.warning("console.unavailable", fault=str(fault))
                return said(
                    None,
                    503,
                    "The ledger can't be reached",
                    "Try again in a moment. The log tells more.",
                    Retry_After="10",
                )
            except web.HTTPException:
                raise
            except Exception as fault:
                log.exception("console.failed", fault=type(fault).__name__)
                return said(
                    None, 500, "That page failed", "It is a defect of the bridge; its log tells more. Deliveries go on."
                )

        return guarded

    def _shown(self, view: Shows) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def shown(request: web.Request) -> web.StreamResponse:
            visitor = await self._access.visitor(request)
            return self._to_login(request) if visitor is None else await view(request, visitor)

        return self._guarded(shown)

    def _taken(self, take: Takes, most: int = MOST_OF_FORM) -> Callable[..., Awaitable[web.StreamResponse]]:
        async def taken(request: web.Request) -> web.Response:
            visitor = await self._access.visitor(request)
            if visitor is None:
                return self._to_login(request)
            form = await form_of(request, most)
            if form is None:
                return said(visitor, 413, "That was too much", "What was sent is too long, or came too slowly.")
            if not is_ours(request, visitor.csrf, form.pop("csrf", "")):
                return said(
                    visitor,
                    403,
                    "That form is not ours",
                    "Nothing was done. Go back, load the page again, and try once more.",
                )
            return await take(request, visitor, form)

        return self._guarded(taken)

    @staticmethod
    def _to_login(request: web.Request) -> web.Response:
        back = way_back(request.path) if request.method == "GET" or request.path in _BOTH else HOME
        # Who sent a form does not look for what was in it: they take it for done.
        lost = request.method == "POST" and request.path != f"{PATH}/logout"
        query = "&".join([f"next={back}"] * (back != HOME) + [f"{LOST}=yes"] * lost)
        address = f"{PATH}/login?{query}" if query else f"{PATH}/login"
        if "HX-Request" in request.headers:  # a page that renews itself must not put the login into its middle
            return said(None, 401, "Please log in again", HX_Redirect=address)
        return elsewhere(address)

    async def _home(self, _: web.Request) -> web.Response:
        return elsewhere(HOME)

    async def _asset(self, request: web.Request) -> web.Response:
        return asset(request.match_info["name"]) or said(None, 404, "There is no such file")

    async def _unknown(self, request: web.Request) -> web.Response:
        visitor = await self._access.visitor(request)
        return self._to_login(request) if visitor is None else said(visitor, 404, "There is no such page")

    async def _begin(self, _: web.Application) -> None:
        self._glance.start()
        self._warming = asyncio.create_task(asyncio.to_thread(warm), name="console:warm")

    async def _end(self, _: web.Application) -> None:
        await self._glance.close()
        if self._warming is not None:
            await self._warming

    async def _live(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """Tell a page, as server-sent events, that there is something new to fetch, for as long as the session lasts."""
        async with self._glance.watching(request.query.get("seen", "")) as changed:
            if changed is None:
                return said(visitor, 503, "Too many pages are open", "This one renews itself every 20 seconds.")
            response = web.StreamResponse(headers=LIVE_HEADERS)
            await response.prepare(request)
            try:
                while (told := await changed(_STILL_THERE)) is not None and await self._access.visitor(request):
                    async with asyncio.timeout(BODY_SECONDS):
                        await response.write(b"event: changed\ndata: fetch\n\n" if told else b": still there\n\n")
            except (ConnectionError, TimeoutError, LedgerError):
                log.debug("console.watcher_gone")  # its browser asks again, or renews itself by the clock
            return response

    async def _find_page(self, request: web.Request, visitor: Visitor) -> web.Response:
        return await self._views.find(request, visitor, {})

    async def _log_out(self, request: web.Request, visitor: Visitor, _: Form) -> web.Response:
        return await self._login.out(request, visitor)
