"""What goes over the wire: requests as HubSpot reads them, answers and refusals as it words them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from aiohttp import web

BATCH_LIMIT = 100

Kind = Literal["contacts", "deals"]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Refusal(Exception):
    """A request that HubSpot does not take. ``error`` is the body, without the correlation id."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        """Word the refusal."""
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"status": "error", "message": message, "category": category, **more}


def not_valid(message: str, error: str, name: str) -> Refusal:
    """Return the refusal of one property's value."""
    return faulty([{"isValid": False, "message": message, "error": error, "name": name}])


def faulty(faults: Sequence[Mapping[str, Any]]) -> Refusal:
    """Return the refusal of several properties' values; HubSpot puts JSON into the message."""
    category = "PROPERTY_DOESNT_EXIST" if faults[0]["error"] == "PROPERTY_DOESNT_EXIST" else "VALIDATION_ERROR"
    return Refusal(400, category, f"Property values were not valid: {orjson.dumps(list(faults)).decode()}")


def now() -> str:
    """Return the time as HubSpot writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def body_of(request: web.Request) -> dict[str, Any]:
    """Return the body of a request."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "VALIDATION_ERROR", "Invalid input JSON")
    return body


async def inputs_of(request: web.Request) -> list[dict[str, Any]]:
    """Return the inputs of a batch."""
    inputs = (await body_of(request)).get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refusal(400, "VALIDATION_ERROR", "Invalid input JSON: inputs must not be empty")
    if len(inputs) > BATCH_LIMIT:
        raise Refusal(400, "VALIDATION_ERROR", f"The maximum number of inputs is {BATCH_LIMIT}")
    return inputs


def properties_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties that a request sends: strings, all of them."""
    properties = body.get("properties")
    if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
        raise Refusal(400, "VALIDATION_ERROR", "Invalid input JSON: properties must be an object of strings")
    return properties


def batch(results: Sequence[Any], errors: Sequence[Any], status: int = 200, partly: int = 207) -> web.Response:
    """Answer a batch, in an order that is not the inputs'."""
    at = now()
    body = {"status": "COMPLETE", "results": list(reversed(results)), "startedAt": at, "completedAt": at}
    if errors:
        return web.json_response({**body, "numErrors": len(errors), "errors": list(errors)}, status=partly)
    return web.json_response(body, status=status)


def one_error(refusal: Refusal, **context: list[str]) -> dict[str, Any]:
    """Return a refusal as one of the errors of a batch."""
    return {"links": {}, "errors": [], **refusal.error, "context": context}
