"""A Salesforce org that runs here: its token endpoint, and the REST API over Contact and one custom object.

It knows both ways to log in, upsert by external id, collections, queries, ``describe``, duplicate rules, row locks and the
day's limit. Source: Salesforce's REST API guide (upsert by external id, collections, duplicate rules, status codes) and
its help on the two flows. The texts of REQUEST_LIMIT_EXCEEDED, DUPLICATE_EXTERNAL_ID and of an unknown parent, and the
shape of ``limits``, are not confirmed by the vendor's pages.

Map: login (the token endpoint), schema (objects and fields), store (records and their rules), answers; here: the addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding
from connectors.sandbox.salesforce.answers import Refusal, Several, missing
from connectors.sandbox.salesforce.login import CLIENT_ID, CLIENT_SECRET, USERNAME, TokenEndpoint, private_key
from connectors.sandbox.salesforce.schema import Schema, contact, course_registration
from connectors.sandbox.salesforce.store import Fields, Store

_API = r"/services/data/v{version:\d+\.0}"
_OBJECT = _API + r"/sobjects/{object:\w+}"

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Salesforce(Emulator):
    """Holds contacts and registrations by their 18-character id.

    Attributes:
        login: the token endpoint.
        store: the records, by object.
        daily_requests: how many API calls the org has a day; more are refused with 403. ``used``: of them so far.
        app_requests: (used, most) of this app, which the limit header then tells besides.
        instance_url: what the token answer says; None is this server.
        page_size: rows in one answer to a query.
        write_seconds: how long a single upsert holds its row and its parent's; another one there meets the lock meanwhile.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    replaces: ClassVar[frozenset[str]] = frozenset({"username", "audience"})
    featured: ClassVar[Mapping[str, Any]] = {
        "registration": {
            "object": "Course_Registration__c",
            "Course_Code__c": "{course.key}",
            "Status__c": "{registration.state}",
        },
        "actions": [
            {"on": "completed", "object": "registration", "fields": {"Status__c": "completed"}},
            {"on": "refunded", "object": "registration", "fields": {"Status__c": "refunded"}},
        ],
    }

    def __init__(self) -> None:
        """Start without records, with ``Bridge_Id__c`` as the external id of Contact."""
        super().__init__()
        self.login = TokenEndpoint()
        self.store = Store(contact(), course_registration())
        self.daily_requests = 100_000
        self.used = 0
        self.app_requests: tuple[int, int] | None = None
        self.instance_url: str | None = None
        self.page_size = 2_000
        self.write_seconds = 0.0
        self._pages: dict[str, list[Fields]] = {}
        self._held: set[str] = set()

    @staticmethod
    def signed_credentials() -> dict[str, str]:
        """Return the settings of a target that logs in by a signed assertion."""
        return {"client_id": CLIENT_ID, "username": USERNAME, "private_key": private_key()}

    @property
    def contacts(self) -> dict[str, Fields]:
        """Every contact by id."""
        return self.store.records["Contact"]

    @property
    def registrations(self) -> dict[str, Fields]:
        """Every registration by id."""
        return self.store.records["Course_Registration__c"]

    @property
    def duplicate_rule(self) -> Literal["off", "alert", "block"]:
        """What happens to a new contact whose e-mail another one has: nothing, an alert that ``allowSave`` passes, a block."""
        return self.store.duplicate_rule

    @duplicate_rule.setter
    def duplicate_rule(self, rule: Literal["off", "alert", "block"]) -> None:
        self.store.duplicate_rule = rule

    @property
    def logins(self) -> int:
        """How many sessions were given out."""
        return self.login.logins

    def schema(self, name: str = "Contact") -> Schema:
        """Return an object, to give it fields."""
        return self.store.schemas[name]

    def accommodate(self, settings: Any, courses: Sequence[Any]) -> None:
        """Have the objects with their external ids and every field that is mapped."""
        mapped = {"Contact": settings.contact}
        if (registration := settings.registration) is not None:
            mapped[registration.object] = registration
            self.store.have(registration.object, registration.contact)
        for name, mapping in mapped.items():
            kind = "contact" if name == "Contact" else "registration"
            fields = {
                *(mapping.model_extra or ()),
                *(f for one in settings.actions if one.object == kind for f in one.fields),
            }
            schema = self.schema(name)
            for field in fields - schema.fields.keys():
                schema.add(field)
            if mapping.external_id not in schema.external_ids:
                schema.add(mapping.external_id, external_id=True, unique=True)

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the token endpoint and the part of the REST API that concerns records of our objects."""
        collections = _API + "/composite/sobjects"
        return [
            web.post("/services/oauth2/token", self._token),
            web.get(_API + "/limits{slash:/?}", self._in_session(self._limits)),
            web.get(_API + "/query{slash:/?}", self._in_session(self._query)),
            web.get(_API + "/query/{page}", self._in_session(self._more)),
            web.get(_OBJECT + "/describe", self._in_session(self._describe)),
            web.get(_OBJECT + "/{id}", self._in_session(self._get)),
            web.get(_OBJECT + "/{field}/{value}", self._in_session(self._get)),
            web.patch(_OBJECT + "/{id}", self._in_session(self._update)),
            web.patch(_OBJECT + "/{field}/{value}", self._in_session(self._upsert)),
            web.patch(collections, self._in_session(self._update_many)),
            web.patch(collections + "/{object}/{field}", self._in_session(self._upsert_many)),
        ]

    def holdings(self) -> list[Holding]:
        """Return every contact, with its fields as text."""
        return [
            Holding("contact", str(fields.get("Email") or ""), _as_text(fields), record_id, live=True)
            for record_id, fields in self.contacts.items()
        ]

    def hold(self, **fields: Any) -> str:
        """Put a contact there as a colleague would by hand, past every rule; return its id."""
        return self.store.hold("Contact", fields)

    def lock(self, external_id: str, tries: int) -> None:
        """Let the next ``tries`` upserts of this record meet a lock."""
        self.store.locked[external_id.casefold()] = tries

    def expire_sessions(self) -> None:
        """Forget every session; the next call with one is 401."""
        self.login.sessions.clear()

    async def _token(self, request: web.Request) -> web.Response:
        return await self.login.token(request, lambda: self.instance_url or self.base_url, self.base_url)

    def _in_session(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            try:
                self._let_in(request)
                answer = await handler(request)
            except Refusal as refusal:
                answer = refusal.answer()
            usage = f"api-usage={self.used}/{self.daily_requests}"
            if self.app_requests is not None:
                used, most = self.app_requests
                usage += f"; per-app-api-usage={used}/{most}(appName=sandbox)"
            answer.headers["Sforce-Limit-Info"] = usage
            return answer

        return guarded

    def _let_in(self, request: web.Request) -> None:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.login.sessions:
            raise Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if self.used >= self.daily_requests:
            raise Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self.used += 1

    async def _limits(self, _: web.Request) -> web.Response:
        left = self.daily_requests - self.used
        return web.json_response({"DailyApiRequests": {"Max": self.daily_requests, "Remaining": left}})

    async def _query(self, request: web.Request) -> web.Response:
        return self._page(request, self.store.query(request.query.get("q", "")), 0)

    async def _more(self, request: web.Request) -> web.Response:
        name, _, start = request.match_info["page"].rpartition("-")
        if name not in self._pages:
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(request, self._pages[name], int(start))

    def _page(self, request: web.Request, rows: list[Fields], start: int) -> web.Response:
        end = start + self.page_size
        said: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows), "records": rows[start:end]}
        if end < len(rows):
            name = "01g5g000000000AAA"
            self._pages[name] = rows
            said["nextRecordsUrl"] = f"/services/data/v{request.match_info['version']}/query/{name}-{end}"
        return web.json_response(said)

    async def _describe(self, request: web.Request) -> web.Response:
        return web.json_response(self.store.schema(request.match_info["object"]).described())

    async def _get(self, request: web.Request) -> web.Response:
        found = self._addressed(request)
        if len(found) > 1:
            return _several(request, found)
        if not found:
            raise missing()
        record = self.store.shown(request.match_info["object"], found[0])
        if names := request.query.get("fields"):
            record = {name: record.get(name) for name in ("attributes", *names.split(","))}
        return web.json_response(record)

    async def _update(self, request: web.Request) -> web.Response:
        found = self._addressed(request)
        if not found:
            raise missing()
        self.store.update(request.match_info["object"], found[0], await _body(request))
        return web.Response(status=204)

    async def _upsert(self, request: web.Request) -> web.Response:
        name, value = request.match_info["field"], request.match_info["value"]
        fields = await _body(request)
        if name in fields:
            message = f"The {name} field should not be specified in the sobject data."
            raise Refusal(400, "INVALID_FIELD", message, [name])
        try:
            async with self._rows({value, *(str(one) for one in fields.values() if isinstance(one, dict))}):
                record_id, created = self.store.upsert(
                    request.match_info["object"], name, value, fields, allow=_allows(request)
                )
        except Several:
            return _several(request, self._addressed(request))
        if not created and _version(request) < 46:
            return web.Response(status=204)
        said = {"id": record_id, "success": True, "errors": [], "created": created}
        return web.json_response(said, status=201 if created else 200)

    @asynccontextmanager
    async def _rows(self, rows: set[str]) -> AsyncIterator[None]:
        if self.write_seconds and not rows.isdisjoint(self._held):
            raise Refusal(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        self._held |= rows
        try:
            await asyncio.sleep(self.write_seconds)
            yield
        finally:
            self._held -= rows

    async def _upsert_many(self, request: web.Request) -> web.Response:
        name, field = request.match_info["object"], request.match_info["field"]
        seen: set[str] = set()
        results = []
        for record in await _records(request):
            value = str(record.get(field, ""))
            if record.get("attributes", {}).get("type") != name:
                raise Refusal(400, "INVALID_INPUT", f"every record is to be of type {name}")
            results.append(self._result(name, field, value, record, seen, allow=_allows(request)))
            seen.add(value.casefold())
        return web.json_response(results)

    async def _update_many(self, request: web.Request) -> web.Response:
        return web.json_response([self._updated(record) for record in await _records(request)])

    def _updated(self, record: Mapping[str, Any]) -> Any:
        name, record_id = str(record.get("attributes", {}).get("type")), str(record.get("id"))
        found = self.store.by_id(name, record_id)
        if not found:
            return Refusal(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id").result()
        fields = {key: text for key, text in record.items() if key not in ("attributes", "id")}
        try:
            self.store.update(name, found[0], fields)
        except Refusal as refusal:
            return refusal.result()
        return {"id": record_id, "success": True, "errors": []}

    def _result(
        self, name: str, field: str, value: str, record: Mapping[str, Any], seen: set[str], *, allow: bool
    ) -> Any:
        fields = {key: text for key, text in record.items() if key not in ("attributes", field)}
        if value.casefold() in seen:
            return Refusal(400, "DUPLICATE_EXTERNAL_ID", f"Duplicate external id specified: {value}").result()
        try:
            record_id, created = self.store.upsert(name, field, value, fields, allow=allow)
        except Refusal as refusal:
            return refusal.result()
        except Several:
            message = f"{field}: more than one record found for external id"
            return Refusal(300, "DUPLICATE_EXTERNAL_ID", message).result()
        return {"id": record_id, "success": True, "errors": [], "created": created}

    def _addressed(self, request: web.Request) -> list[str]:
        name = request.match_info["object"]
        if (field := request.match_info.get("field")) is not None:
            return self.store.by_external_id(name, field, request.match_info["value"])
        self.store.schema(name)
        return self.store.by_id(name, request.match_info["id"])


async def _records(request: web.Request) -> list[dict[str, Any]]:
    if _version(request) < 46:
        raise missing()
    records = (await _body(request)).get("records")
    if not isinstance(records, list) or not 0 < len(records) <= 200:
        raise Refusal(400, "INVALID_INPUT", "expected 1 to 200 records")
    return records


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise Refusal(400, "JSON_PARSER_ERROR", "Unexpected character") from None
    if not isinstance(body, dict):
        raise Refusal(400, "JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    return body


def _several(request: web.Request, found: Sequence[str]) -> web.Response:
    root = f"/services/data/v{request.match_info['version']}/sobjects/{request.match_info['object']}/"
    return web.json_response([root + record_id for record_id in found], status=300)


def _allows(request: web.Request) -> bool:
    return "allowsave=true" in request.headers.get("Sforce-Duplicate-Rule-Header", "").replace(" ", "").lower()


def _version(request: web.Request) -> float:
    return float(request.match_info["version"])


def _as_text(fields: Mapping[str, Any]) -> str:
    shown = {"External" if name == "Bridge_Id__c" else name: value for name, value in fields.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


EMULATOR: type[Emulator] = Salesforce
