"""The admin API: what the console and the verbs do and tell, as JSON for programs, below ``/admin/api/``."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import orjson
import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from bridge.actions import ActionRefused
from bridge.contract.errors import ConfigError, LedgerError
from bridge.edge.api.access import Caller, Tokens
from bridge.edge.api.document import ENDPOINTS, PREFIX, document
from bridge.edge.api.endpoint import LARGEST_ID, Call, Desk, Endpoint
from bridge.edge.api.problem import FieldFault, Refused, answered, as_json, faults_of
from bridge.edge.bounded import bounded_body

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]

Checked = TypeVar("Checked", bound=BaseModel)

_FAULTY: Final = "The arguments are not as they should be."
_ROOT: Final = "/admin/api"
_MOST_BYTES: Final = 64 * 1024
_BODY_SECONDS: Final = 30.0


class Api:
    """Registers the addresses, and stands between each of them and whoever calls."""

    def __init__(self, tokens: Tokens, desk: Desk) -> None:
        """Let ``tokens`` decide who asks at the ``desk``."""
        self._tokens = tokens
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register every address below ``/admin/api/``."""
        by_path: dict[str, dict[str, Endpoint]] = {}
        for one in ENDPOINTS:
            by_path.setdefault(one.path, {})[one.method] = one
        for path, methods in by_path.items():
            router.add_route("*", PREFIX + _pattern(path), _guarded(self._asked(methods)))
        router.add_get(f"{_ROOT}/openapi.json", _guarded(_document))
        router.add_route("*", _ROOT + "/{rest:.*}", _guarded(self._unknown))

    async def _unknown(self, request: web.Request) -> web.Response:
        await self._caller(request)
        raise Refused(404, f"There is no such address; {_ROOT}/openapi.json has all there are.")

    def _asked(self, methods: Mapping[str, Endpoint]) -> Handler:
        allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))

        async def asked(request: web.Request) -> web.Response:
            caller = await self._caller(request)
            one = methods.get("GET" if request.method == "HEAD" else request.method)
            if one is None:
                raise Refused(405, f"This address knows {allowed}.", Allow=allowed)
            if one.operates and not caller.operates:
                raise Refused(403, f"Token '{caller.name}' is a viewer's; [admin.tokens] says who operates.")
            return await self._answer(request, one, caller)

        return asked

    async def _caller(self, request: web.Request) -> Caller:
        found = await self._tokens.caller(request)
        if isinstance(found, Caller):
            return found
        if found.minutes:
            said = f"Too many wrong tokens came from there. No token counts from there for {found.minutes} min."
            raise Refused(429, said, Retry_After=str(found.minutes * 60))
        raise Refused(401, "Send a token of [admin.tokens]: Authorization: Bearer TOKEN.", WWW_Authenticate="Bearer")

    async def _answer(self, request: web.Request, one: Endpoint, caller: Caller) -> web.Response:
        query = _checked(one.query, dict(request.query))
        if getattr(query, "reveal", False) and not caller.operates:
            raise Refused(
                403, "Learners are revealed to operators only.", [FieldFault(field="reveal", message="not you")]
            )
        call = Call(caller, _path(request), query, await _read(request, one.body))
        found = await one.does(self._desk, call)
        if found is None:
            raise Refused(404, "There is no such thing in the ledger.")
        if one.operates or getattr(query, "reveal", False):
            log.info("api.acted" if one.operates else "api.revealed", operation=one.name, by=caller.recorded_as)
        return as_json(one.answer.model_validate(found).model_dump(mode="json"))


def _pattern(path: str) -> str:
    return re.sub(r"{(\w+_id)}", r"{\1:[0-9]{1,19}}", path)


def _path(request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = dict(request.match_info)
    found |= {name: int(text) for name, text in found.items() if name.endswith("_id")}
    if not all(0 < number <= LARGEST_ID for name, number in found.items() if name.endswith("_id")):
        raise Refused(404, "There is no such thing in the ledger.")
    return found


async def _read(request: web.Request, model: type[BaseModel] | None) -> Any:
    if model is None:
        return None
    body = await bounded_body(request, _MOST_BYTES, _BODY_SECONDS)
    if body is None:
        raise Refused(413, f"A body has {_MOST_BYTES // 1024} KiB at most, and {_BODY_SECONDS:g} s to come.")
    try:
        said = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        raise Refused(400, "The body is no JSON.") from None
    return _checked(model, said)


def _checked(model: type[Checked], said: Any) -> Checked:
    if nul := [name for name, value in said.items() if "\0" in str(value)] if isinstance(said, dict) else []:
        raise Refused(422, _FAULTY, [FieldFault(field=str(name), message="NUL is in no text") for name in nul])
    try:
        return model.model_validate(said)
    except ValidationError as fault:
        raise Refused(422, _FAULTY, faults_of(fault)) from None


async def _document(_: web.Request) -> web.Response:
    return as_json(document())


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Refused as refused:
            return answered(refused)
        except ActionRefused as refused:
            blamed = [FieldFault(field=refused.field, message=str(refused))] if refused.field else []
            return answered(Refused(404 if refused.missing else 422, str(refused), blamed))
        except ConfigError as fault:
            found = [FieldFault(field=one.where, message=one.message) for one in fault.faults]
            return answered(Refused(422, "The configuration can't be used; nothing was changed.", found))
        except LedgerError as fault:
            log.warning("api.unavailable", fault=str(fault))
            return answered(Refused(503, "The ledger can't be reached; try again in a moment.", Retry_After="10"))
        except Exception as fault:
            log.exception("api.failed", fault=type(fault).__name__)
            return answered(Refused(500, "It is a defect of the bridge; its log tells more. Deliveries go on."))

    return guarded
