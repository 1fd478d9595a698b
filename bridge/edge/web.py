"""The aiohttp application: addresses of senders, links of learners, probes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from bridge.contract.catalogue import Catalogue
from bridge.edge.api import Api
from bridge.edge.claims import ClaimPage
from bridge.edge.console import Console
from bridge.edge.health import Health
from bridge.edge.webhooks import Webhooks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Inside:
    """What is for operators: the web console and the admin API."""

    console: Console
    api: Api

    def add_to(self, app: web.Application) -> None:
        """Register the addresses of both."""
        self.console.add_to(app)
        self.api.add_to(app.router)


def application(
    webhooks: Webhooks,
    health: Health,
    claims: ClaimPage,
    catalogue: Callable[[], Catalogue],
    max_body: int,
    *,
    inside: Inside | None,
    metrics: bool,
) -> web.Application:
    """Build the application. What is ``inside`` and ``metrics`` are shown here, or on the admin listener."""
    app = web.Application(middlewares=[_errors(webhooks.late)], client_max_size=max_body)
    webhooks.add_to(app.router)
    claims.add_to(app.router)
    health.add_probes_to(app.router)
    if metrics:
        health.add_metrics_to(app.router)
    if inside is not None:
        inside.add_to(app)
    app.router.add_get("/go/{course}", _to_registration(catalogue))
    return app


def admin_application(health: Health, inside: Inside | None, *, metrics: bool = True) -> web.Application:
    """Build what the admin listener shows, and all that a bridge shows that takes nothing of senders."""
    app = web.Application(middlewares=[_errors(_nobody)])
    health.add_probes_to(app.router)
    if metrics:
        health.add_metrics_to(app.router)
    if inside is not None:
        inside.add_to(app)
    return app


def _to_registration(catalogue: Callable[[], Catalogue]) -> Any:
    async def go(request: web.Request) -> web.Response:
        """Elevate's route 1: browse at the LMS, buy at the AMS."""
        course = catalogue().courses.get(request.match_info["course"])
        if course is None or course.registration_url is None:
            return web.json_response({"error": "no such course"}, status=404)
        return web.Response(status=302, headers={"Location": course.registration_url, "Cache-Control": "no-store"})

    return go


Late = Callable[[web.Request], Awaitable[web.Response | None]]
"""Answers a request that no route was made for at start-up, or returns None."""


async def _nobody(_: web.Request) -> None:
    return None


def _errors(late: Late) -> Any:
    @web.middleware
    async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer every fault as JSON, without a trace; log what was not meant to happen."""
        try:
            return await _handled(request, handler, late)
        except web.HTTPException as fault:
            headers = {"Allow": fault.headers["Allow"]} if "Allow" in fault.headers else None
            return web.json_response({"error": fault.reason.lower()}, status=fault.status, headers=headers)
        except Exception as fault:
            log.exception("edge.failed", path=request.path, fault=type(fault).__name__)
            # 503 and not 500: whatever it was, the call was not kept, and the sender should send it again.
            return web.json_response({"error": "internal error"}, status=503, headers={"Retry-After": "30"})

    return errors


async def _handled(request: web.Request, handler: Any, late: Late) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[no-any-return]
    except web.HTTPNotFound:
        if (answer := await late(request)) is None:
            raise
        return answer
