"""A Salesforce org that runs here: its token endpoint, and Contact by the REST API with its errors and quirks.

Source: Salesforce's REST API guide (upsert by external id, collections, duplicate rules, status codes) and its help on
the client credentials flow. The texts of REQUEST_LIMIT_EXCEEDED and DUPLICATE_EXTERNAL_ID, and the shape of ``limits``,
are not confirmed by the vendor's pages.
"""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

CLIENT_ID = "sandbox-consumer-key"
CLIENT_SECRET = "sandbox-consumer-secret"  # noqa: S105 - opens nothing but this emulator

_API = r"/services/data/v{version:\d+\.0}"
_STANDARD = {"FirstName": 40, "LastName": 80, "Email": 80, "Phone": 40, "MobilePhone": 40, "Title": 128}
_CUSTOM_LENGTH = 255
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_QUERY = re.compile(r"SELECT\s+(.+?)\s+FROM\s+Contact(?:\s+WHERE\s+(\w+)\s*=\s*'((?:[^'\\]|\\.)*)')?", re.IGNORECASE)
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECK = string.ascii_uppercase + "012345"

Handler = Callable[[web.Request], Awaitable[web.Response]]


class _Refusal(Exception):
    """An answer of the API that is not a success: one member of its error array."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] = (), **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.fields = list(fields)
        self.more = more

    def answer(self) -> web.Response:
        """Say it as a single call does."""
        member: dict[str, Any] = {**self.more, "message": self.message, "errorCode": self.code}
        return web.json_response([member | ({"fields": self.fields} if self.fields else {})], status=self.status)

    def result(self) -> dict[str, Any]:
        """Say it as a collections call does, where the key is ``statusCode``."""
        error = {"statusCode": self.code, "message": self.message, "fields": self.fields}
        return {"success": False, "errors": [error]}


class _Several(Exception):
    """The external id stands on several records."""


class Salesforce(Emulator):
    """Holds contacts by their 18-character id.

    Attributes:
        duplicate_rule: what happens to a new contact whose e-mail another one has: nothing, an alert that ``allowSave``
            passes, or a block that it doesn't.
        daily_requests: how many API calls the org has a day; more are refused with 403.
        instance_url: what the token answer says; None is this server.
        logins: how many sessions were given out.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}

    def __init__(self) -> None:
        """Start without contacts, with ``Bridge_Id__c`` as the external id of Contact."""
        super().__init__()
        self.contacts: dict[str, dict[str, Any]] = {}
        self.external_ids = {"Bridge_Id__c"}
        self.duplicate_rule: Literal["off", "alert", "block"] = "off"
        self.daily_requests = 100_000
        self.instance_url: str | None = None
        self.logins = 0
        self._used = 0
        self._sessions: set[str] = set()
        self._locked: dict[str, int] = {}

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the token endpoint and the part of the REST API that concerns contacts."""
        contact = _API + "/sobjects/Contact"
        return [
            web.post("/services/oauth2/token", self._token),
            web.get(_API + "/limits{slash:/?}", self._in_session(self._limits)),
            web.get(_API + "/query{slash:/?}", self._in_session(self._query)),
            web.get(contact + "/describe", self._in_session(self._describe)),
            web.get(contact + "/{id}", self._in_session(self._get)),
            web.get(contact + "/{field}/{value}", self._in_session(self._get)),
            web.patch(contact + "/{id}", self._in_session(self._update)),
            web.patch(contact + "/{field}/{value}", self._in_session(self._upsert_one)),
            web.patch(_API + "/composite/sobjects/Contact/{field}", self._in_session(self._upsert_many)),
        ]

    def holdings(self) -> list[Holding]:
        """Return every contact, with its fields as text."""
        return [
            Holding("contact", str(fields.get("Email") or ""), _as_text(fields), record_id, live=True)
            for record_id, fields in self.contacts.items()
        ]

    def hold(self, **fields: Any) -> str:
        """Put a contact there as a colleague would by hand, past every rule; return its id."""
        record_id = _record_id(len(self.contacts) + 1)
        self.contacts[record_id] = fields
        return record_id

    def lock(self, external_id: str, tries: int) -> None:
        """Let the next ``tries`` writes of this contact meet a lock."""
        self._locked[external_id.casefold()] = tries

    def expire_sessions(self) -> None:
        """Forget every session; the next call with one is 401."""
        self._sessions.clear()

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = _basic(request.headers.get("Authorization", "")) or (form.get("client_id"), form.get("client_secret"))
        if form.get("grant_type") != "client_credentials":
            return _no_token("unsupported_grant_type", "grant type not supported")
        if given[0] != CLIENT_ID:
            return _no_token("invalid_client_id", "client identifier invalid")
        if given[1] != CLIENT_SECRET:
            return _no_token("invalid_grant", "authentication failure - invalid client credentials")
        self.logins += 1
        session = f"00D5g0000000001!AQ.sandbox.session.{self.logins}"
        self._sessions.add(session)
        return web.json_response(
            {
                "access_token": session,
                "signature": "c2FuZGJveA==",
                "scope": "api",
                "instance_url": self.instance_url or self.base_url,
                "id": f"{self.base_url}/id/00D5g0000000001EAA/0055g000000001AAA",
                "token_type": "Bearer",
                "issued_at": "1700000000000",
            }
        )

    def _in_session(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._sessions:
                return _Refusal(401, "INVALID_SESSION_ID", "Session expired or invalid").answer()
            if self._used >= self.daily_requests:
                return _Refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").answer()
            self._used += 1
            try:
                answer = await handler(request)
            except _Refusal as refusal:
                answer = refusal.answer()
            answer.headers["Sforce-Limit-Info"] = f"api-usage={self._used}/{self.daily_requests}"
            return answer

        return guarded

    async def _limits(self, _: web.Request) -> web.Response:
        left = self.daily_requests - self._used
        return web.json_response({"DailyApiRequests": {"Max": self.daily_requests, "Remaining": left}})

    async def _query(self, request: web.Request) -> web.Response:
        asked = _QUERY.fullmatch(request.query.get("q", "").strip())
        if asked is None:
            raise _Refusal(
                400, "MALFORMED_QUERY", "unexpected token: the sandbox takes SELECT ... FROM Contact WHERE ="
            )
        names = [name.strip() for name in asked[1].split(",")]
        wanted = re.sub(r"\\(.)", r"\1", asked[3] or "")
        found = [key for key in self.contacts if not asked[2] or _same(self._record(key).get(asked[2]), wanted)]
        records = [{name: self._record(key).get(name) for name in ("attributes", *names)} for key in found]
        return web.json_response({"totalSize": len(records), "done": True, "records": records})

    async def _describe(self, _: web.Request) -> web.Response:
        names = [*_STANDARD, *sorted(self.external_ids)]
        fields = [
            {
                "name": name,
                "externalId": name in self.external_ids,
                "unique": name in self.external_ids,
                "nillable": name != "LastName",
                "createable": True,
                "length": _STANDARD.get(name, _CUSTOM_LENGTH),
            }
            for name in names
        ]
        return web.json_response({"name": "Contact", "fields": fields})

    async def _get(self, request: web.Request) -> web.Response:
        found = self._addressed(request)
        if len(found) > 1:
            return _several(request, found)
        if not found:
            raise _missing()
        record = self._record(found[0])
        if names := request.query.get("fields"):
            record = {name: record.get(name) for name in ("attributes", *names.split(","))}
        return web.json_response(record)

    async def _update(self, request: web.Request) -> web.Response:
        found = self._addressed(request)
        if not found:
            raise _missing()
        fields = await _body(request)
        self._check(fields, creating=False)
        for name in self.external_ids & fields.keys():
            for other in self._by_external_id(name, str(fields[name])):
                if other != found[0]:
                    raise _Refusal(
                        400,
                        "DUPLICATE_VALUE",
                        f"duplicate value found: {name} duplicates value on record with id: {other[:15]}",
                    )
        self.contacts[found[0]].update(fields)
        return web.Response(status=204)

    async def _upsert_one(self, request: web.Request) -> web.Response:
        name, value = request.match_info["field"], request.match_info["value"]
        fields = await _body(request)
        if name in fields:
            raise _Refusal(
                400, "INVALID_FIELD", f"The {name} field should not be specified in the sobject data.", [name]
            )
        try:
            record_id, created = self._upsert(name, value, fields, allow=_allows(request))
        except _Several:
            return _several(request, self._addressed(request))
        if not created and _version(request) < 46:
            return web.Response(status=204)
        said = {"id": record_id, "success": True, "errors": [], "created": created}
        return web.json_response(said, status=201 if created else 200)

    async def _upsert_many(self, request: web.Request) -> web.Response:
        name, records = request.match_info["field"], (await _body(request)).get("records")
        if _version(request) < 46:
            raise _missing()
        if not isinstance(records, list) or not 0 < len(records) <= 200:
            raise _Refusal(400, "INVALID_INPUT", "expected 1 to 200 records")
        seen: set[str] = set()
        results = []
        for record in records:
            value = str(record.get(name, ""))
            results.append(self._result(name, value, record, seen, allow=_allows(request)))
            seen.add(value.casefold())
        return web.json_response(results)

    def _result(self, name: str, value: str, record: Mapping[str, Any], seen: set[str], *, allow: bool) -> Any:
        fields = {key: text for key, text in record.items() if key not in ("attributes", name)}
        if value.casefold() in seen:
            return _Refusal(400, "DUPLICATE_EXTERNAL_ID", f"Duplicate external id specified: {value}").result()
        try:
            record_id, created = self._upsert(name, value, fields, allow=allow)
        except _Refusal as refusal:
            return refusal.result()
        except _Several:
            return _Refusal(
                300, "DUPLICATE_EXTERNAL_ID", f"{name}: more than one record found for external id"
            ).result()
        return {"id": record_id, "success": True, "errors": [], "created": created}

    def _upsert(self, name: str, value: str, fields: Mapping[str, Any], *, allow: bool) -> tuple[str, bool]:
        found = self._by_external_id(name, value)
        if len(found) > 1:
            raise _Several
        if self._locked.get(value.casefold(), 0) > 0:
            self._locked[value.casefold()] -= 1
            one = f"record or 1 records: {found[0][:15] if found else '0035g00000AbCdE'}"
            raise _Refusal(400, "UNABLE_TO_LOCK_ROW", f"unable to obtain exclusive access to this {one}")
        self._check(fields, creating=not found)
        if found:
            self.contacts[found[0]].update(fields)
            return found[0], False
        if self.duplicate_rule == "block" or (self.duplicate_rule == "alert" and not allow):
            self._apply_duplicate_rule(str(fields.get("Email") or ""))
        return self.hold(**{name: value}, **fields), True

    def _check(self, fields: Mapping[str, Any], *, creating: bool) -> None:
        if (creating or "LastName" in fields) and not fields.get("LastName"):
            raise _Refusal(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"])
        for name, value in fields.items():
            if name not in _STANDARD and not name.endswith("__c"):
                raise _Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type Contact", [name])
            text, longest = str(value or ""), _STANDARD.get(name, _CUSTOM_LENGTH)
            if len(text) > longest:
                message = f"{name}: data value too large: {text} (max length={longest})"
                raise _Refusal(400, "STRING_TOO_LONG", message, [name])
            if name == "Email" and text and not _EMAIL.fullmatch(text):
                raise _Refusal(400, "INVALID_EMAIL_ADDRESS", f"Email: invalid email address: {text}", [name])

    def _apply_duplicate_rule(self, email: str) -> None:
        alike = [key for key, fields in self.contacts.items() if email and _same(fields.get("Email"), email)]
        if not alike:
            return
        matches = [
            {"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100, "record": self._stub(key)}
            for key in alike
        ]
        result = {"entityType": "Contact", "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": matches}
        detail = {
            "allowSave": self.duplicate_rule == "alert",
            "duplicateRule": "Contacts_DR",
            "duplicateRuleEntityType": "Contact",
            "errorMessage": "Use one of these records?",
            "matchResults": [{**result, "rule": "Contacts_MR", "size": len(matches), "success": True}],
        }
        raise _Refusal(400, "DUPLICATES_DETECTED", "Use one of these records?", duplicateResut=detail)

    def _addressed(self, request: web.Request) -> list[str]:
        if (field := request.match_info.get("field")) is not None:
            return self._by_external_id(field, request.match_info["value"])
        wanted = request.match_info["id"]
        return [key for key in self.contacts if wanted in (key, key[:15])]

    def _by_external_id(self, name: str, value: str) -> list[str]:
        if name not in self.external_ids:
            raise _missing()
        return [key for key, fields in self.contacts.items() if _same(fields.get(name), value)]

    def _stub(self, record_id: str) -> dict[str, Any]:
        url = f"/services/data/v60.0/sobjects/Contact/{record_id}"
        return {"attributes": {"type": "Contact", "url": url}, "Id": record_id}

    def _record(self, record_id: str) -> dict[str, Any]:
        return {**self._stub(record_id), **self.contacts[record_id]}


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise _Refusal(400, "JSON_PARSER_ERROR", "Unexpected character") from None
    if not isinstance(body, dict):
        raise _Refusal(400, "JSON_PARSER_ERROR", "The HTTP entity body must be an object")
    return body


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme != "Basic":
        return None
    name, _, secret = base64.b64decode(encoded).decode().partition(":")
    return name, secret


def _no_token(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)


def _missing() -> _Refusal:
    return _Refusal(404, "NOT_FOUND", "The requested resource does not exist")


def _several(request: web.Request, found: Sequence[str]) -> web.Response:
    root = f"/services/data/v{request.match_info['version']}/sobjects/Contact/"
    return web.json_response([root + record_id for record_id in found], status=300)


def _allows(request: web.Request) -> bool:
    return "allowsave=true" in request.headers.get("Sforce-Duplicate-Rule-Header", "").replace(" ", "").lower()


def _version(request: web.Request) -> float:
    return float(request.match_info["version"])


def _same(held: Any, wanted: str) -> bool:
    return held is not None and str(held).casefold() == wanted.casefold()


def _as_text(fields: Mapping[str, Any]) -> str:
    shown = {"External" if name == "Bridge_Id__c" else name: value for name, value in fields.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def _record_id(number: int) -> str:
    """Return the 18-character id: 15 that tell case, and 3 that say which of them are capitals."""
    tail = ""
    for _ in range(5):
        number, digit = divmod(number, 62)
        tail = _BASE62[digit] + tail
    short = f"0035g00000{tail}"
    chunks = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(_CHECK[sum(c.isupper() << i for i, c in enumerate(chunk))] for chunk in chunks)


EMULATOR: type[Emulator] = Salesforce
