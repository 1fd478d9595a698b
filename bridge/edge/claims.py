"""The page on which a bought seat is claimed: ``/claim/{code}``. GET shows, POST claims.

Whoever has the address may claim, so it is a secret: it stands in no log of ours, and the page keeps it from other sites,
caches and search engines.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import jinja2
import structlog
from aiohttp import web
from pydantic import ValidationError

from bridge.contract.catalogue import Catalogue
from bridge.contract.command import Learner
from bridge.contract.errors import LedgerError
from bridge.edge.bounded import bounded_body
from bridge.edge.telemetry import Telemetry
from bridge.edge.throttle import Throttle
from bridge.intake.claim import Claim, Seat, claim_group, seen
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import seats
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_PATIENCE = 10.0  # seconds for a look at the ledger
_CODE = re.compile(r"[A-Za-z0-9_-]{22,64}")
_MOST_BYTES: Final = 16 * 1024
_BODY_SECONDS: Final = 30.0
_RETRY_AFTER: Final = "30"
_CLAIMS_A_MINUTE: Final = 20
"""Of one link. A claim costs a transaction, and what it answers tells whose address holds the seat."""
_PAGES: Final = Path(__file__).with_name("pages")
_STYLE: Final = (_PAGES / "claim.css").read_text(encoding="utf-8")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_PAGES), autoescape=True, undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a page says: status, heading, sentences."""

    status: int
    heading: str
    sentences: tuple[str, ...] = ()


SAYS: Final[Mapping[str, _Said]] = {
    "open": _Said(200, "Claim your place", ("A place was bought for you. Tell us who you are, and you are in.",)),
    "invalid": _Said(422, "Claim your place", ("Something is missing or not right below.",)),
    "claimed": _Said(200, "You are in", ("This place is yours. It may take a moment until the course opens for you.",)),
    "used": _Said(
        409,
        "This place is taken",
        (
            "Somebody has claimed it already. If that was you, go on to the course.",
            "If not, ask whoever sent you the link for another one.",
        ),
    ),
    "another": _Said(
        409,
        "You have a place already",
        ("You are in through this order; this link stays free for somebody else.",),
    ),
    "held": _Said(
        409,
        "This place can't be claimed at the moment",
        ("The order is on hold, or not paid yet. Try again later, or ask whoever sent you the link.",),
    ),
    "revoked": _Said(410, "This link is no longer valid", ("Ask whoever sent you the link for another one.",)),
    "unknown": _Said(404, "There is no such link", ("Check that you have opened it in full.",)),
    "unavailable": _Said(
        503, "Not possible at the moment", ("The link stays valid. Please try again in a few minutes.",)
    ),
    "too_often": _Said(429, "Too many tries", ("The link stays valid. Please try again in a minute.",)),
    "too_large": _Said(413, "Claim your place", ("What was sent is too long.",)),
    "method_not_allowed": _Said(405, "Claim your place", ("Open the link in a browser.",)),
}
_FIELDS: Final = (
    ("email", "E-mail address", "email", "email", 254),
    ("first_name", "First name", "text", "given-name", 200),
    ("last_name", "Last name", "text", "family-name", 200),
)


class ClaimPage:
    """Shows seats to whoever opens their links, and takes claims."""

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue], telemetry: Telemetry, clock: Clock) -> None:
        """Claim seats of ``ledger`` under the mapping of today."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._clock = clock
        self._throttle = Throttle(_CLAIMS_A_MINUTE, 60.0, clock)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the address, with and without a trailing slash."""
        for spelling in ("/claim/{code}", "/claim/{code}/"):
            router.add_route("*", spelling, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        became, answer = "unavailable", None
        try:
            became, answer = await self._handled(request)
        except LedgerError as fault:
            log.warning("claim.unavailable", fault=str(fault))
        except Exception as fault:
            # Here, and not by the application's own handler, which would log the path.
            log.exception("claim.failed", fault=type(fault).__name__)
        if request.method == "POST":
            self._telemetry.claimed(became)
        return answer or self._page("unavailable", Seat("unavailable"))

    async def _handled(self, request: web.Request) -> tuple[str, web.Response]:
        code = request.match_info["code"]
        if request.method not in ("GET", "HEAD", "POST"):
            return self._told("method_not_allowed")
        if _CODE.fullmatch(code) is None:
            return self._told("unknown")
        now = milliseconds(self._clock.now())
        row = await self._ledger.read(lambda connection: seats.look(connection, code), _PATIENCE)
        seat = seen(row, self._catalogue(), now)
        if request.method != "POST" or seat.became not in ("open", "used"):
            return seat.became, self._page(seat.became, seat, status=200 if seat.became == "used" else None)
        # By the link, not by the caller: a whole office claims from one address.
        if not self._throttle.lets(code):
            return "too_often", self._page("too_often", seat)
        return await self._claimed(request, code, seat)

    def _told(self, became: str) -> tuple[str, web.Response]:
        return became, self._page(became, Seat("unknown"))

    async def _claimed(self, request: web.Request, code: str, seat: Seat) -> tuple[str, web.Response]:
        body = await bounded_body(request, _MOST_BYTES, _BODY_SECONDS)
        if body is None:
            return "too_large", self._page("too_large", seat)
        said = _form(body)
        learner, faults = _learner(said)
        if learner is None:
            return "invalid", self._page("invalid", seat, said, faults)
        claim = Claim(code, learner, self._catalogue(), milliseconds(self._clock.now()))
        found = await self._ledger.submit(claim_group, claim)
        log.info("claim.taken", became=found.became, event_id=found.event_id, registration_id=found.registration_id)
        return found.became, self._page(found.became, found)

    def _page(
        self,
        became: str,
        seat: Seat,
        said: Mapping[str, str] | None = None,
        faults: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> web.Response:
        says, faults = SAYS[became], faults or {}
        text = _TEMPLATES.get_template("claim.html").render(
            style=_STYLE,
            heading=says.heading,
            sentences=says.sentences,
            urgent=bool(faults),
            titles=seat.titles,
            faults=faults,
            fields=_fields(said or {}, faults) if became in ("open", "invalid") else (),
            product_url=seat.product_url if became in ("claimed", "used", "another") else None,
        )
        headers = dict(_HEADERS)
        if says.status in (429, 503):
            headers["Retry-After"] = "60" if says.status == 429 else _RETRY_AFTER
        if says.status == 405:
            headers["Allow"] = "GET, HEAD, POST"
        return web.Response(
            status=status or says.status, text=text, content_type="text/html", charset="utf-8", headers=headers
        )


def _fields(said: Mapping[str, str], faults: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": label,
            "type": kind,
            "autocomplete": autocomplete,
            "most": most,
            "value": said.get(name, ""),
            "fault": faults.get(name),
        }
        for name, label, kind, autocomplete, most in _FIELDS
    ]


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return {}
    known = {name for name, *_ in _FIELDS}
    return {name: value.strip() for name, value in pairs if name in known}


def _learner(said: Mapping[str, str]) -> tuple[Learner | None, dict[str, str]]:
    """Return the person, or what is wrong with which field."""
    faults = {}
    for name, label, _, _, most in _FIELDS:
        value = said.get(name, "")
        if not value:
            faults[name] = f"{label} is missing."
        elif len(value) > most or not value.isprintable():
            faults[name] = f"{label} can't be used: at most {most} characters, all of them printable."
    if "email" not in faults:
        try:
            Learner(email=said["email"])
        except ValidationError:
            faults["email"] = "This is not an e-mail address, such as name@example.org."
    return (None, faults) if faults else (Learner(**said), {})
