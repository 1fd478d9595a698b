"""Moodle's web service functions as calls: a form goes out, JSON comes back, and errors come with HTTP 200.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from bridge.contract.outbound import NeedsOperator, Outcome, TryLater
from bridge.kit import answers
from bridge.kit.answers import judge, plain_id
from bridge.kit.http import Answer, Exchange, Http, exchanges
from bridge.kit.masking import excerpt, mask
from connectors.outbound.moodle.errors import ACCESS, DATABASE, EXPLAINED, LANE, MAINTENANCE, PEOPLE
from connectors.outbound.moodle.settings import MoodleSettings

_SERVER = "/webservice/rest/server.php"
_MAINTENANCE = 120.0  # seconds: it lasts minutes at least

Function = Literal[
    "core_webservice_get_site_info",
    "core_user_get_users_by_field",
    "core_user_get_users",
    "core_user_create_users",
    "core_user_update_users",
    "enrol_manual_enrol_users",
    "enrol_manual_unenrol_users",
    "core_course_get_courses_by_field",
    "core_enrol_get_enrolled_users",
]
FUNCTIONS: tuple[Function, ...] = get_args(Function)

Row = Mapping[str, Any]


class Ended(answers.Ended):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        code: Moodle's error code, where it gave one.
        said: what was tried and what came back, masked.
    """

    def __init__(self, outcome: Outcome, code: str = "", said: str = "") -> None:
        """Keep the outcome."""
        super().__init__(outcome)
        self.code = code
        self.said = said

    @property
    def of_everybody(self) -> bool:
        """Whether it would be the same for each person of the call alone."""
        lane = isinstance(self.outcome, TryLater | NeedsOperator) and self.outcome.scope == "lane"
        return lane or (isinstance(self.outcome, TryLater) and self.outcome.cause == "outage")


class Api:
    """The functions that the connector uses."""

    def __init__(self, settings: MoodleSettings, http: Http) -> None:
        """Speak to the site of these settings."""
        self._token = settings.token.get_secret_value()
        self._http = http

    async def site(self) -> Row:
        """Return what the site says of itself and of the token.

        Raises:
            Ended: it does not answer as a site does.
        """
        what = "read the site's description"
        found = await self._call("core_webservice_get_site_info", {}, what, {})
        if not isinstance(found, dict) or "userid" not in found:
            raise garbled(what)
        return found

    async def users(self, field: str, values: Sequence[str]) -> list[Row]:
        """Return the accounts with one of these values; at most as exact as the site's database compares."""
        what = f"look people up by {field}"
        found = await self._call("core_user_get_users_by_field", {"field": field, "values": list(values)}, what, PEOPLE)
        return _people(found, what)

    async def users_with_address(self, email: str) -> list[Row]:
        """Return the accounts with this address in whatever case."""
        what = "search an account by its address"
        wanted = {"criteria": [{"key": "email", "value": email}]}
        found = await self._call("core_user_get_users", wanted, what, PEOPLE)
        return _people(found.get("users") if isinstance(found, dict) else None, what)

    async def create(self, users: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Make accounts, all or none, and return id and user name of each."""
        what = "make the account"
        return _rows(await self._call("core_user_create_users", {"users": list(users)}, what, PEOPLE), what)

    async def update(self, users: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Change accounts and return the warnings of those that were left as they are."""
        what = "update the account"
        found = await self._call("core_user_update_users", {"users": list(users)}, what, PEOPLE)
        return [] if found is None else _rows(found.get("warnings", []) if isinstance(found, dict) else None, what)

    async def enrol(self, rows: Sequence[Mapping[str, int]]) -> None:
        """Enrol, change or suspend, all or none; a repeat changes nothing."""
        await self._call("enrol_manual_enrol_users", {"enrolments": list(rows)}, _of_course("enrol", rows), ACCESS)

    async def unenrol(self, rows: Sequence[Mapping[str, int]]) -> None:
        """Take people out of courses, all or none; who is not in is no fault."""
        await self._call("enrol_manual_unenrol_users", {"enrolments": list(rows)}, _of_course("unenrol", rows), ACCESS)

    async def courses(self, ids: Sequence[int]) -> list[Row]:
        """Return those of the courses that exist and that the technical user may see."""
        what = "look the courses up"
        wanted = {"field": "ids", "value": ",".join(str(one) for one in ids)}
        found = await self._call("core_course_get_courses_by_field", wanted, what, ACCESS)
        return _rows(found.get("courses") if isinstance(found, dict) else None, what)

    async def roles_seen(self, course: int) -> dict[int, str]:
        """Return id and short name of the roles that some people of a course have."""
        what = f"look at the roles in course {course}"
        options = [{"name": "userfields", "value": "roles"}, {"name": "limitnumber", "value": 100}]
        found = await self._call(
            "core_enrol_get_enrolled_users", {"courseid": course, "options": options}, what, ACCESS
        )
        roles = [role for row in _rows(found, what) for role in row.get("roles") or [] if isinstance(role, dict)]
        return {role["roleid"]: str(role.get("shortname", "")) for role in roles if isinstance(role.get("roleid"), int)}

    async def _call(self, function: Function, params: Mapping[str, Any], what: str, codes: Mapping[str, str]) -> Any:
        answer = await self._send(function, params)
        said = answer.json
        if isinstance(said, dict) and isinstance(code := said.get("errorcode"), str):
            message = " ".join(excerpt(str(said.get("message", "")), 200).split())
            told = f"{what}: Moodle says {code}, {message}"
            raise Ended(_meaning(code, told, answer, codes), code, told)
        if not answer.ok:
            raise Ended(_failed(answer, what))
        if said is None and answer.body.strip() != b"null":
            raise garbled(what)
        return said

    async def _send(self, function: Function, params: Mapping[str, Any]) -> Answer:
        # The kit masks a form by the names of its fields, which know no brackets: so the record is written here, from
        # the values before they were flattened. The token is no part of it.
        form = {"wstoken": self._token, "wsfunction": function, "moodlewsrestformat": "json", **dict(_flat("", params))}
        own = _Own(exchanges.get())
        token = exchanges.set(own)
        try:
            return await self._http.send("POST", _SERVER, form=form)
        finally:
            exchanges.reset(token)
            for exchange in own:
                _record(exchange, function, params)


def garbled(what: str) -> Ended:
    """Return what a 2xx without the expected fields means: a proxy's page, or half an answer."""
    return Ended(TryLater(f"{what}: HTTP 200 without the expected fields", applied="unknown", cause="outage"))


class _Own(list[Exchange]):
    """The exchanges of one call, which stand in the attempt's from their beginning: what is under way has begun."""

    def __init__(self, attempt: list[Exchange] | None) -> None:
        super().__init__()
        self._attempt = attempt

    def append(self, exchange: Exchange) -> None:
        super().append(exchange)
        if self._attempt is not None:
            self._attempt.append(exchange)


def _record(exchange: Exchange, function: Function, params: Mapping[str, Any]) -> None:
    exchange.sent = {"wsfunction": function, **mask(params)}
    if function == "core_webservice_get_site_info" and isinstance(exchange.answer, dict | str):
        exchange.answer = "left out: it may hold keys of the site"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the fields of a value as PHP reads them: ``users[0][username]``."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(f"{prefix}[{name}]" if prefix else name, part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _flat(f"{prefix}[{index}]", part)
    else:
        yield prefix, str(value)


def _meaning(code: str, told: str, answer: Answer, codes: Mapping[str, str]) -> Outcome:
    if code in MAINTENANCE:
        return TryLater(told, answer.retry_after or _MAINTENANCE, scope="lane", cause="outage")
    if code in DATABASE:
        return TryLater(told, answer.retry_after, applied="unknown", cause="outage")
    if code in LANE:
        return EXPLAINED[LANE[code]].needs_operator(told, "lane")
    if code in codes:
        return EXPLAINED[codes[code]].needs_operator(told, "lane" if codes is PEOPLE else "delivery")
    return EXPLAINED["refused"].refused(told)


def _failed(answer: Answer, what: str) -> Outcome:
    if answer.status == 403 and not answer.body.strip():
        return EXPLAINED["rest-off"].needs_operator(f"{what}: HTTP 403 without a word", "lane")
    if answer.status == 404:
        return EXPLAINED["wrong-address"].needs_operator(f"{what}: HTTP 404 at {_SERVER}", "lane")
    return judge(answer, what)


def _rows(found: Any, what: str) -> list[Row]:
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        return found
    raise garbled(what)


def _people(found: Any, what: str) -> list[Row]:
    rows = _rows(found, what)
    if any(plain_id(row.get("id")) is None for row in rows):
        raise garbled(what)
    return rows


def _of_course(verb: str, rows: Sequence[Mapping[str, int]]) -> str:
    courses = sorted({row["courseid"] for row in rows})
    return f"{verb} in course {', '.join(str(one) for one in courses)}"
