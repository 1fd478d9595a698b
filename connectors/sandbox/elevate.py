"""An Elevate LMS that runs here: Registration API and Cancellation API, with their answers and errors.

Source: seeds 001 and 002. Error texts other than "The requested product could not be found." are ours: the vendor
publishes no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-elevate-key"


class Elevate(Emulator):
    """Holds users by remote user id, and registrations by (user, product).

    ``products`` limits what can be registered; None takes every product.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"api_key": KEY}

    def __init__(self) -> None:
        """Start without users and registrations."""
        super().__init__()
        self.products: set[str] | None = None
        self.users: dict[str, dict[str, Any]] = {}
        self.registrations: dict[int, dict[str, Any]] = {}
        self.mails: list[tuple[str, str]] = []
        self._newest: dict[tuple[str, str], int] = {}  # of a user and a product; looked up, however many there are
        self._next_id = 583_919

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the two addresses of the API, and the second road to cancellation."""
        return [
            web.post("/api/registrations", self._register),
            web.post("/registrations/cancel", self._cancel),
            web.post("/api/registrations/cancel", self._cancel),
        ]

    def holdings(self) -> list[Holding]:
        """Return every registration ever made; a cancelled one is not live."""
        return [
            Holding("enrollment", self.users[row["user"]]["email"], row["product"], str(number), row["live"])
            for number, row in self.registrations.items()
        ]

    async def _register(self, request: web.Request) -> web.Response:
        body, refusal = await _authorised(request)
        if refusal is not None:
            return refusal
        missing = {
            name: f"The {name} field is required."
            for name in ("remote_user_id", "firstname", "lastname", "email", "remote_product_id")
            if body.get(name) in (None, "") and name not in ("firstname", "lastname")
        }
        if missing:
            return _problem(422, missing)
        user, product = str(body["remote_user_id"]), str(body["remote_product_id"])
        if self.products is not None and product not in self.products:
            return _problem(422, {"product": "The requested product could not be found."})
        self.users[user] = {"email": body["email"], "firstname": body["firstname"], "lastname": body["lastname"]}
        number = self._live(user, product)
        if number is None:
            number = self._next_id
            self._next_id += 1
            self._newest[user, product] = number
            self.registrations[number] = {
                "user": user,
                "product": product,
                "amount": body.get("amount_paid"),
                "live": True,
            }
            if body.get("send_email") in (True, "true", 1, "1"):
                self.mails.append((body["email"], product))
        return web.json_response(
            {"product_url": f"{self.base_url}/products/{product.lower()}?force_login=1", "registration_id": number}
        )

    def _live(self, user: str, product: str) -> int | None:
        number = self._newest.get((user, product))
        return number if number is not None and self.registrations[number]["live"] else None

    async def _cancel(self, request: web.Request) -> web.Response:
        body, refusal = await _authorised(request)
        if refusal is not None:
            return refusal
        wanted = str(body.get("registration_id", ""))
        row = self.registrations.get(int(wanted)) if wanted.isdigit() else None
        if row is None:
            return _problem(404, {"registration": "The requested registration could not be found."})
        row["live"] = False
        row["notified"] = body.get("notify_cancelled_user")
        return web.json_response({"success": True})


async def _authorised(request: web.Request) -> tuple[dict[str, Any], web.Response | None]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}, _problem(400, {"body": "The request body is not valid JSON."})
    if not isinstance(body, dict) or body.get("api_key") != KEY:
        return {}, _problem(401, {"api_key": "The API key is not valid."})
    return body, None


def _problem(status: int, messages: Mapping[str, str]) -> web.Response:
    return web.json_response({"error_messages": dict(messages)}, status=status)


EMULATOR: type[Emulator] = Elevate
