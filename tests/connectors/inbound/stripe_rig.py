"""What Stripe's tests share: events as Stripe sends them, and Stripe's API played on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from stripe import WebhookSignature

from bridge.contract.inbound import InboundAdapter, InboundEvent
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from connectors.inbound.stripe import ADAPTER
from tests.suites.inbound import RECEIVED, request

SECRET = "whsec_made_up_for_the_test"
API_KEY = "rk_test_made_up_for_the_test"
NOW = int(RECEIVED.timestamp())


def adapter(**settings: Any) -> InboundAdapter:
    """Make the adapter of one source."""
    given = {"adapter": "stripe", "signing_secrets": SECRET, **settings}
    return ADAPTER(ADAPTER.Settings.model_validate(given))


def as_sent(value: Any, indent: str = "") -> str:
    """Write JSON as Stripe does on the wire."""
    deeper = indent + "  "
    if isinstance(value, dict):
        inner = ",\n".join(f"{deeper}{json.dumps(name)}: {as_sent(held, deeper)}" for name, held in value.items())
        return f"{{\n{inner}\n{indent}}}" if inner else f"{{\n{indent}}}"
    if isinstance(value, list):
        inner = ",\n".join(deeper + as_sent(held, deeper) for held in value)
        return f"[\n{inner}\n{indent}]" if inner else f"[\n\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def signed(body: str, *, secret: str = SECRET, at: int = NOW - 10) -> InboundEvent:
    """Build the delivery of a body, signed by the official library."""
    header = WebhookSignature.generate_signature_header(body, secret, at)
    return replace(request(body.encode()), headers={"stripe-signature": header, "content-type": "application/json"})


def told(
    kind: str, thing: Mapping[str, Any], *, event_id: str = "", at: int = NOW - 60, **envelope: Any
) -> InboundEvent:
    """Build the event of a type about an object."""
    value = {
        "id": event_id or f"evt_{kind}_{at}",
        "object": "event",
        "created": at,
        "livemode": True,
        "type": kind,
        "data": {"object": thing},
        **envelope,
    }
    return signed(as_sent(value))


def moment(seconds: int) -> datetime:
    """Return Stripe's time as ours."""
    return datetime.fromtimestamp(seconds, UTC)


def session(**changes: Any) -> dict[str, Any]:
    """A paid one-time checkout."""
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "status": "complete",
        "amount_total": 4990,
        "currency": "eur",
        "customer": None,
        "customer_details": {"email": "ada@example.org", "name": "Ada Lovelace", "phone": "+4412"},
        "customer_email": None,
        "invoice": None,
        "payment_intent": "pi_1",
        "payment_link": None,
        "subscription": None,
        "metadata": {},
        **changes,
    }


def subscribed(**changes: Any) -> dict[str, Any]:
    """A checkout that began a subscription."""
    return session(
        **{"mode": "subscription", "payment_intent": None, "invoice": "in_1", "subscription": "sub_1", **changes}
    )


def item(price_id: str = "price_A", product_id: str = "prod_A", **changes: Any) -> dict[str, Any]:
    """A line of a checkout session, as the API tells it."""
    return {
        "id": f"li_{price_id}",
        "object": "item",
        "amount_total": 4990,
        "currency": "eur",
        "description": "Introduction",
        "price": {"id": price_id, "object": "price", "product": product_id},
        "quantity": 1,
        **changes,
    }


def old_line(
    price_id: str = "price_A", product_id: str = "prod_A", *, start: int, end: int, **changes: Any
) -> dict[str, Any]:
    """A line of an invoice in API version 2022-11-15."""
    return {
        "id": f"il_{price_id}_{start}",
        "object": "line_item",
        "amount": 1900,
        "currency": "eur",
        "description": "1 x Introduction",
        "discount_amounts": [],
        "period": {"start": start, "end": end},
        "price": {"id": price_id, "object": "price", "product": product_id},
        "proration": False,
        "quantity": 1,
        "subscription": "sub_1",
        "type": "subscription",
        **changes,
    }


def new_line(
    price_id: str = "price_A", product_id: str = "prod_A", *, start: int, end: int, **changes: Any
) -> dict[str, Any]:
    """The same line in a version of 2025 and later."""
    line = old_line(price_id, product_id, start=start, end=end)
    for gone in ("price", "subscription", "proration", "type"):
        del line[gone]
    below = {"subscription": "sub_1", "subscription_item": "si_1", "proration": False}
    return {
        **line,
        "pricing": {"type": "price_details", "price_details": {"price": price_id, "product": product_id}},
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": below,
            "invoice_item_details": None,
        },
        **changes,
    }


def old_invoice(*lines: Mapping[str, Any], paid_at: int, **changes: Any) -> dict[str, Any]:
    """A paid invoice in API version 2022-11-15."""
    return {
        "id": "in_1",
        "object": "invoice",
        "amount_paid": 1900,
        "billing_reason": "subscription_create",
        "charge": "ch_1",
        "currency": "eur",
        "customer": "cus_1",
        "customer_email": "ada@example.org",
        "customer_name": "Ada Lovelace",
        "customer_phone": "+4412",
        "discount": None,
        "discounts": [],
        "lines": {"object": "list", "data": list(lines), "has_more": False},
        "number": "ABC-0001",
        "paid": True,
        "payment_intent": "pi_1",
        "status": "paid",
        "status_transitions": {"paid_at": paid_at},
        "subscription": "sub_1",
        **changes,
    }


def new_invoice(
    *lines: Mapping[str, Any], paid_at: int, payments: Sequence[str] = (), **changes: Any
) -> dict[str, Any]:
    """The same invoice in a version of 2025 and later; its payments are there only when they are asked for."""
    invoice = old_invoice(*lines, paid_at=paid_at)
    for gone in ("charge", "discount", "paid", "payment_intent", "subscription"):
        del invoice[gone]
    invoice["parent"] = {
        "type": "subscription_details",
        "subscription_details": {"metadata": {}, "subscription": "sub_1"},
        "quote_details": None,
    }
    if payments:
        paid = [
            {"object": "invoice_payment", "payment": {"type": "payment_intent", "payment_intent": i}} for i in payments
        ]
        invoice["payments"] = {"object": "list", "data": paid, "has_more": False}
    return {**invoice, **changes}


class PlayedStripe:
    """Stripe's API: the objects it holds, faults to answer with first, and what it was asked.

    Attributes:
        asked: method, path, query and headers of each request.
        faults: answers given before any other, one after the other.
    """

    def __init__(self, *, page: int = 100) -> None:
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.invoices: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], Mapping[str, str]]] = []
        self.faults: list[Callable[[], web.Response]] = []
        self._page = page

    async def answer(self, asked: web.Request) -> web.Response:
        self.asked.append((asked.method, asked.path, dict(asked.query), asked.headers.copy()))
        if self.faults:
            return self.faults.pop(0)()
        if asked.headers.get("Authorization") != f"Bearer {API_KEY}":
            return error(401, "Invalid API Key provided")
        match asked.path.removeprefix("/v1/").split("/"):
            case ["checkout", "sessions", name, "line_items"] if name in self.lines:
                return self._listed(self.lines[name], asked)
            case ["checkout", "sessions", name] if name in self.sessions:
                return web.json_response(self.sessions[name])
            case ["invoices", name, "lines"] if name in self.invoices:
                return self._listed(self.lines[name], asked)
            case ["invoices", name] if name in self.invoices:
                invoice = self.invoices[name]
                shown = invoice if "payments" in asked.query.values() else {**invoice, "payments": None}
                return web.json_response(shown)
        return error(404, "No such object")

    def _listed(self, lines: Sequence[dict[str, Any]], asked: web.Request) -> web.Response:
        size = min(int(asked.query.get("limit", "10")), self._page)
        ids = [line["id"] for line in lines]
        first = ids.index(asked.query["starting_after"]) + 1 if "starting_after" in asked.query else 0
        shown = lines[first : first + size]
        more = first + size < len(lines)
        return web.json_response({"object": "list", "data": shown, "has_more": more, "url": asked.path})

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[str]:
        """Listen on loopback; yields the base address."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(application) as server:
            yield str(server.make_url("/")).rstrip("/")

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Http]:
        """Yield what the adapter speaks through."""
        async with self.at_work() as url, open_session() as session_:
            yield Http(url, Windows((), SystemClock()), 2.0, session_)


def error(status: int, message: str, **headers: str) -> web.Response:
    """An answer of the API that is none."""
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)
