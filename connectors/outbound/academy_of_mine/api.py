"""The vendor's operations as calls: one method each, in the bodies of its reference (seed 004).

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from bridge.contract.command import Learner, email_key
from bridge.contract.outbound import NeedsOperator, Outcome, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.http import Answer, Http
from connectors.outbound.academy_of_mine.settings import PLACEHOLDER, AcademyOfMineCourse, AcademyOfMineSettings

_PAGE, _MOST_PAGES = 100, 200
_WITHOUT_COURSE = ("search_users", "create_user", "enrolled_courses")  # a 404 of these is surely the address
_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;]+@[^\s<>()\[\]\"',;]+")


class Ended(Exception):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        stale: whether an id that was remembered may be one that the target no longer knows.
    """

    def __init__(self, outcome: Outcome, *, stale: bool = False) -> None:
        """Keep the outcome."""
        super().__init__()
        self.outcome = outcome
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Row:
    """One enrollment, as a list shows it; a list that shows no access status is taken to mean that access is given."""

    id: str
    allowed: bool
    expired: bool


class Api:
    """The operations that the connector uses."""

    def __init__(self, settings: AcademyOfMineSettings, http: Http) -> None:
        """Speak to the target of these settings."""
        self._settings = settings
        self._http = http
        self._headers = {
            settings.auth.header: settings.auth.value.replace("{api_key}", settings.api_key.get_secret_value())
        }
        self._portal = str(-1 if settings.portal_id is None else settings.portal_id)  # -1: documented as "any"

    async def send(
        self, route: str, remote_id: str = "", *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Make one request to a configured route; a JSON body goes along where one is given."""
        method, _, path = getattr(self._settings.routes, route).partition(" ")
        path = PLACEHOLDER.sub(lambda _: quote(remote_id, safe=""), path.strip())
        headers = {**self._headers, "Accept": "application/json"}
        return await self._http.send(method, path, params=params, json=json, headers=headers)

    def read(self, answer: Answer, route: str, what: str) -> dict[str, Any]:
        """Return the body of a success.

        Raises:
            Ended: it is none, or not one of this API.
        """
        if not answer.ok:
            raise Ended(self._failed(answer, route, what), stale=answer.status == 404)
        if not isinstance(body := answer.json, dict):
            raise garbled(what)
        return body

    async def find_user(self, email: str) -> str | None:
        """Return the id of the user with exactly this e-mail address, or None.

        The reference prints no answer ("Retrieve Users" shows ``{}``), so any list of rows is read that has an id and
        the address somewhere in its values. The search is global: an address is unique in the whole site.
        """
        what = "search the user"
        answer = await self.send("search_users", params={"search_term": email, "remote_user_search": "true"})
        if not answer.ok:
            raise Ended(self._failed(answer, "search_users", what))
        wanted = email_key(email)
        for row in _rows(answer.json, what):
            texts = " ".join(value for value in row.values() if isinstance(value, str))
            if any(email_key(found) == wanted for found in _ADDRESS.findall(texts)):
                return _id(row, "id", "value", "user_id", what=what)
        return None

    async def create_user(self, learner: Learner, password: str) -> tuple[str, bool]:
        """Create a user and return the id, and whether it is a new one.

        Both names are required, so a missing one is made up. A refusal may mean that the address has an account that
        the search did not show a moment ago: it is asked once more.
        """
        what, email = "create the user", str(learner.email)
        names = {
            "firstName": learner.first_name or email.rpartition("@")[0],
            "lastName": learner.last_name or "-",
        }
        answer = await self.send("create_user", params={**names, "email": email, "password": password})
        if answer.status in (400, 409, 422) and (taken := await self.find_user(email)) is not None:
            return taken, False
        return _id(self.read(answer, "create_user", what), "id", what=what), True

    async def change_user(self, user: str, learner: Learner) -> None:
        """Write name and address of a user; ``disabled`` is required, so it is read first and sent back unchanged."""
        what = "read the user"
        is_now = self.read(await self.send("read_user", user), "read_user", what)
        if not isinstance(disabled := is_now.get("disabled"), bool | int | str):
            raise garbled(what)
        params = {
            "id": user,
            "firstName": learner.first_name or str(is_now.get("firstName") or "-"),
            "lastName": learner.last_name or str(is_now.get("lastName") or "-"),
            "email": str(learner.email),
            "disabled": disabled if isinstance(disabled, str) else str(int(disabled)),
        }
        self.read(await self.send("update_user", user, params=params), "update_user", "update the user")

    async def resend_email(self, user: str) -> Answer:
        """Have the mail for a new account sent; it makes a new password each time."""
        return await self.send("resend_email", params={"portalId": self._portal, "user_id": user})

    async def membership(self, user: str) -> str | None:
        """Return the id of the user's membership, or None."""
        found = self.read(await self.send("read_user", user), "read_user", "read the user").get("membership")
        return str(found["id"]) if isinstance(found, dict) and found.get("id") is not None else None

    async def set_membership(self, user: str, membership: str, until: datetime | None) -> None:
        """Give a membership until a date, a past one being its end; None leaves the date to the membership.

        The reference prints no answer; an empty one will do.
        """
        body = {"id": membership} | ({} if until is None else {"expired_at": _date(until)})
        answer = await self.send("update_membership", user, json=body)
        if not (answer.ok and not answer.body):
            self.read(answer, "update_membership", "set the membership")

    async def enroll(self, course: AcademyOfMineCourse, users: Sequence[str]) -> bool:
        """Enroll users in a course or learning path; False when some of them were not, which the answer only counts."""
        body: dict[str, Any] = {"studentIds": _numbers(users)}
        if self._settings.portal_id is not None:
            body["portalId"] = self._settings.portal_id
        route, what = "learning_path_enroll" if course.learning_path_id else "enroll", "enroll"
        said = self.read(await self.send(route, course.id, json=body), route, what)
        left_out = said.get("notEnrolledUsers")
        if not isinstance(left_out, int):
            raise garbled(what)
        return left_out == 0

    async def change_access(
        self, route: str, course: AcademyOfMineCourse, enrollments: Sequence[str], until: datetime | None = None
    ) -> bool:
        """Grant or revoke access, set an expiry date, or remove learners; False when it touched nobody."""
        body: dict[str, Any] = {"enrollmentIds": _numbers(enrollments)}
        if until is not None:
            body["expiryDate"] = _date(until)
        answer = await self.send(route, course.id, json=body)
        said = self.read(answer, route, route.replace("_", " "))
        return re.match(r"\s*0\b", str(said.get("message", ""))) is None

    async def enrolled_in_course(self, user: str, course: AcademyOfMineCourse) -> list[Row]:
        """Return the user's enrollments in this course. That ``records[].id`` is the enrollment's id is assumed."""
        query = {"user_id": user, "viewType": "manage", "manage_course": "false", "order_by": _newest("created_at")}
        records = await self._pages("enrolled_courses", query)
        return [_row(record) for record in records if str(record.get("courseId")) == course.id]

    async def enrolled_in_path(self, user: str, course: AcademyOfMineCourse, email: str | None) -> list[Row]:
        """Return the user's enrollments in this learning path; ``email`` narrows the list of all its students."""
        query = {"learning_path_id": course.id, "order_by": _newest("registered_on")}
        if email:
            query["search_param"] = orjson.dumps({"nameOrEmail": email}).decode()
        records = await self._pages("learning_path_students", query)
        return [_row(record) for record in records if str(record.get("user_id")) == user]

    async def _pages(self, route: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        what, found = "list " + route.replace("_", " "), list[dict[str, Any]]()
        for number in range(1, _MOST_PAGES + 1):
            paging = {"page_size": str(_PAGE), "page_number": str(number), "portalId": self._portal}
            said = self.read(await self.send(route, params={**query, **paging}), route, what)
            page = said.get("records")
            if not isinstance(page, list):
                raise garbled(what)
            found += [record for record in page if isinstance(record, dict)]
            total = said.get("recordsFiltered")  # a site may give fewer a page than it is asked for
            if not page or (len(found) >= total if isinstance(total, int) else len(page) < _PAGE):
                break
        return found

    def _failed(self, answer: Answer, route: str, what: str) -> Outcome:
        if answer.status in (404, 405):
            address = getattr(self._settings.routes, route)
            remedy = f'Check the id in the course\'s table; if the address is wrong, set {route} = "METHOD /path" in '
            remedy += "the target's routes table, [targets.NAME.routes], as your API reference has it."
            why = f"{what}: HTTP {answer.status} from route {route} ({address})"
            return NeedsOperator(why, remedy, "lane" if route in _WITHOUT_COURSE else "delivery")
        outcome = judge(answer, what)
        if (
            isinstance(outcome, Refused)
            and isinstance(said := answer.json, dict)
            and "blockedEmailDomainsmessage" in said
        ):
            return Refused(outcome.why, "Allow the e-mail domain at Academy of Mine, then requeue the delivery.")
        if isinstance(outcome, Refused) and route == "update_user":
            return Refused(outcome.why, "If the new address has an account already, merge the two, then requeue.")
        return outcome


def garbled(what: str) -> Ended:
    """Return what a 2xx without the expected fields means: a proxy's page, or half an answer."""
    return Ended(TryLater(f"{what}: HTTP 200 without the expected fields", applied="unknown", cause="outage"))


def _rows(body: Any, what: str) -> list[dict[str, Any]]:
    # Lists of this vendor come bare, under a name, or (PHP, after a filter) as an object of numbered rows.
    if isinstance(body, dict):
        named = [body[name] for name in ("records", "users", "data") if name in body]
        body = named[0] if named else list(body.values())
        body = list(body.values()) if isinstance(body, dict) else body
    if isinstance(body, list) and all(isinstance(row, dict) for row in body):
        return body
    raise garbled(what)


def _id(row: Mapping[str, Any], *names: str, what: str) -> str:
    for name in names:
        if isinstance(value := row.get(name), int | str) and str(value):
            return str(value)
    raise garbled(what)


def _row(record: Mapping[str, Any]) -> Row:
    status = str(record.get("accessStatus", record.get("access_status")) or "allowed")
    expired = record.get("isExpired") is True
    return Row(_id(record, "id", what="list enrollments"), status.casefold() == "allowed", expired)


def _numbers(ids: Iterable[str]) -> list[int | str]:
    return [int(one) if one.isdecimal() else one for one in ids]


def _date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _newest(column: str) -> str:
    return orjson.dumps({"colName": column, "direction": "desc"}).decode()
