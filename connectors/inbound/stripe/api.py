"""Stripe's API, as far as events leave out what was bought: a session's lines or its invoice, an invoice with its payments and all lines.

Every answer is asked for in one API version, whatever version the account or the event has.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.payload import Payload
from connectors.inbound.stripe.told import id_of

VERSION = "2026-10-28.endive"
"""What the official library 16.1 asks in."""

_PAGE = 100  # the most that Stripe gives at once
_MOST_PAGES = 20


class NotTold(Exception):
    """Stripe did not answer the question; carries what follows from it."""

    def __init__(self, outcome: TryLater | NeedsOperator | Refused) -> None:
        """Keep the outcome."""
        super().__init__(outcome.why)
        self.outcome = outcome


class Api:
    """What is asked for one event."""

    def __init__(self, key: str, http: Http, account: str) -> None:
        """Ask with ``key``; for an event of a connected account in that account's name."""
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}", "Stripe-Version": VERSION}
        if account:
            self._headers["Stripe-Account"] = quote(account, safe="")

    async def session_lines(self, session_id: str) -> list[Payload]:
        """Return all lines of a checkout session.

        Raises:
            NotTold: it was not to be had.
        """
        return await self._pages(f"/v1/checkout/sessions/{quote(session_id, safe='')}/line_items", "the line items")

    async def invoice(self, invoice_id: str) -> tuple[Payload, list[Payload]]:
        """Return an invoice with its payments, and all its lines.

        Raises:
            NotTold: it was not to be had.
        """
        path = f"/v1/invoices/{quote(invoice_id, safe='')}"
        invoice = Payload(await self._get(path, {"expand[0]": "payments"}, "the invoice"), "invoice")
        if invoice.text("id") != invoice_id:
            raise _garbled("the invoice")
        if invoice.flag("lines.has_more"):
            return invoice, await self._pages(f"{path}/lines", "the invoice's lines")
        return invoice, list(invoice.at("lines.data"))

    async def made_invoice(self, session_id: str) -> str:
        """Return the id of the invoice that a checkout session has made.

        Raises:
            NotTold: it was not to be had, or is not there yet.
        """
        said = await self._get(f"/v1/checkout/sessions/{quote(session_id, safe='')}", {}, "the session")
        session = Payload(said, "session")
        if session.text("id") != session_id:
            raise _garbled("the session")
        if not (invoice := id_of(session, "invoice")):
            raise NotTold(TryLater("the session's invoice is not made yet"))
        return invoice

    async def _pages(self, path: str, what: str) -> list[Payload]:
        found: list[Payload] = []
        params = {"limit": str(_PAGE)}
        for _ in range(_MOST_PAGES):
            page = Payload(await self._get(path, params, what))
            if not isinstance(page.at("data").value, list):
                raise _garbled(what)
            found += page.at("data")
            if not page.flag("has_more"):
                return found
            last = found[-1].text("id") if found else ""
            if not last or last == params.get("starting_after"):
                raise _garbled(what)
            params["starting_after"] = last
        raise NotTold(Refused(f"{what}: more than {_PAGE * _MOST_PAGES}", "Enroll these people by hand."))

    async def _get(self, path: str, params: dict[str, str], what: str) -> dict[str, Any]:
        answer = await self._http.send("GET", path, params=dict(params), headers=self._headers)
        if answer.status == 404:
            remedy = "See that api_key is of the account and the mode (test or live) of the webhook, then requeue the lookup."
            raise NotTold(Refused(f"{what}: not there for this api_key", remedy))
        if not answer.ok:
            outcome = judge(answer, what)
            if isinstance(outcome, TryLater | NeedsOperator | Refused):
                raise NotTold(outcome)
        said = answer.json
        if not answer.ok or not isinstance(said, dict):
            raise _garbled(what)
        return said


def _garbled(what: str) -> NotTold:
    # The purchase is real, so the question stays: a proxy's page or half a deployment is over some day.
    return NotTold(TryLater(f"{what}: the answer can't be understood", cause="outage"))
