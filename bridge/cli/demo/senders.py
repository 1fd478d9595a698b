"""The systems that sell: each calls the bridge over HTTP, exactly as its vendor's page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from bridge.cli.demo.wiring import AMS_KEY, CHECKOUT_SECRET

_PURCHASE = "/customapi.php"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who buys. ``user_id`` is the AMS's; a payment system knows the e-mail only."""

    first: str
    last: str
    user_id: str = ""

    @property
    def email(self) -> str:
        """The address: example.org belongs to nobody."""
        return f"{self.first.lower()}@example.org"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bridge answered."""

    request: str
    status: int
    body: Mapping[str, Any]

    @property
    def registration_id(self) -> int | None:
        """The id of the registration, where the answer holds one."""
        return self.body.get("registration_id")


class Senders:
    """The AMS and the payment system."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Call through ``session``, which knows the bridge's address."""
        self._session = session

    async def ams(self, person: Person, product: str, *, key: str = AMS_KEY) -> Reply:
        """Register somebody: the JSON of Elevate's Registration API (seed 001)."""
        body = {
            "api_key": key,
            "remote_user_id": person.user_id,
            "firstname": person.first,
            "lastname": person.last,
            "email": person.email,
            "remote_product_id": product,
            "amount_paid": "0",
        }
        return await self._json("/api/registrations", body)

    async def ams_cancels(self, registration_id: int) -> Reply:
        """Cancel by the id that the registration was answered with: Elevate's Cancellation API (seed 001)."""
        body = {
            "api_key": AMS_KEY,
            "registration_id": registration_id,
            "cancellations_email": "office@example.org",
            "cancellation_explanation": "The member asked for it.",
            "notify_cancelled_user": True,
            "cancellation_explanation_for_user": "Your registration was cancelled, as you asked.",
        }
        return await self._json("/registrations/cancel", body)

    async def checkout_get(self, person: Person, product: Mapping[str, str]) -> Reply:
        """Tell of a purchase as 10XPRO's HTTP GET: everything in the query (seed 000)."""
        async with self._session.get(_PURCHASE, params={"secret": CHECKOUT_SECRET, **_bought(person, product)}) as said:
            return await _reply(said)

    async def checkout_post(self, person: Person, product: Mapping[str, str]) -> Reply:
        """Tell of a purchase as 10XPRO's HTTP POST: a form, the secret in the address (seed 000)."""
        secret = {"secret": CHECKOUT_SECRET}
        async with self._session.post(_PURCHASE, params=secret, data=_bought(person, product)) as said:
            return await _reply(said)

    async def _json(self, path: str, body: Mapping[str, Any]) -> Reply:
        headers = {"Content-Type": "application/json"}
        async with self._session.post(path, data=orjson.dumps(body), headers=headers) as said:
            return await _reply(said)


def _bought(person: Person, product: Mapping[str, str]) -> dict[str, str]:
    who = {"email": person.email, "first_name": person.first, "last_name": person.last}
    return {"type": "purchase", **product, **who}


async def _reply(said: aiohttp.ClientResponse) -> Reply:
    return Reply(f"{said.method} {said.url.path}", said.status, orjson.loads(await said.read()))
