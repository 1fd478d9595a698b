"""How requests go to Academy of Mine, and what its answers mean.

A call that does not succeed raises :class:`Ended` with the outcome that follows from the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson

from bridge.contract.outbound import Outcome, Refused, TryLater
from bridge.contract.settings import Rate
from bridge.kit import answers
from bridge.kit.answers import judge
from bridge.kit.http import Answer, Http
from connectors.outbound.academy_of_mine.errors import KNOWN
from connectors.outbound.academy_of_mine.settings import PLACEHOLDER, AcademyOfMineSettings

_PAGE, _MOST_PAGES = 100, 200
_WITHOUT_ID = (  # these name no id that could be the one that is wrong: a 404 is surely the address
    *("search_users", "create_user", "edit_users", "enrolled_courses"),
    *("list_courses", "list_learning_paths", "list_memberships", "list_products", "list_orders", "create_order"),
)
_MINUTE = 60.0  # the usual window of the header's limit where it names none: assumed


class Ended(answers.Ended):
    """A call did not succeed.

    Attributes:
        outcome: what it means for the delivery.
        stale: whether an id that was remembered may be one that the target no longer knows.
    """

    def __init__(self, outcome: Outcome, *, stale: bool = False) -> None:
        """Keep the outcome."""
        super().__init__(outcome)
        self.stale = stale


class Calls:
    """Requests to the configured routes."""

    def __init__(self, settings: AcademyOfMineSettings, http: Http) -> None:
        """Speak to the target of these settings."""
        self.settings = settings
        self._http = http
        self._headers = {
            settings.auth.header: settings.auth.value.replace("{api_key}", settings.api_key.get_secret_value())
        }
        self.portal = str(-1 if settings.portal_id is None else settings.portal_id)  # -1: documented as "any"

    async def send(
        self, route: str, remote_id: str = "", *, params: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Make one request to a configured route; a JSON body goes along where one is given."""
        method, _, path = self.address(route).partition(" ")
        path = PLACEHOLDER.sub(lambda _: quote(remote_id, safe=""), path.strip())
        headers = {**self._headers, "Accept": "application/json"}
        answer = await self._http.send(method, path, params=params, json=json, headers=headers)
        if limit := answer.count("X-RateLimit-Limit"):
            self._http.learn(Rate(limit, _MINUTE), answer.count("X-RateLimit-Remaining"))
        return answer

    def address(self, route: str) -> str:
        """Return a route as it is set: method and path."""
        return str(getattr(self.settings.routes, route))

    def read(self, answer: Answer, route: str, what: str) -> dict[str, Any]:
        """Return the body of a success.

        Raises:
            Ended: it is none, or not one of this API.
        """
        if not answer.ok:
            raise Ended(self.failed(answer, route, what), stale=answer.status == 404)
        if not isinstance(body := answer.json, dict):
            raise garbled(what)
        return body

    def done(self, answer: Answer, route: str, what: str) -> None:
        """Take a success whose body the reference does not print: an empty one will do.

        Raises:
            Ended: it is none, or a proxy's page.
        """
        if not (answer.ok and not answer.body):
            self.read(answer, route, what)

    async def pages(self, route: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return all records of a list."""
        found = list[dict[str, Any]]()
        for number in range(1, _MOST_PAGES + 1):
            page, total = await self.page(route, query or {}, number, _PAGE)
            found += page
            # A site may give fewer a page than it is asked for.
            if not page or (len(found) >= total if total is not None else len(page) < _PAGE):
                break
        return found

    async def page(
        self, route: str, query: Mapping[str, str], number: int, size: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return one page of a list, and how many records there are in all."""
        what = "ask for " + route.replace("_", " ")
        paging = {"page_size": str(size), "page_number": str(number), "portalId": self.portal}
        said = self.read(await self.send(route, params={**query, **paging}), route, what)
        records, total = said.get("records"), said.get("recordsFiltered")
        if not isinstance(records, list):
            raise garbled(what)
        rows = [record for record in records if isinstance(record, dict)]
        return rows, total if isinstance(total, int) else None

    def failed(self, answer: Answer, route: str, what: str) -> Outcome:
        """Return the outcome of an answer that is not a success."""
        if answer.status in (404, 405):
            said = f"{what}: HTTP {answer.status} from route {route} ({self.address(route)})"
            if route in _WITHOUT_ID:
                return KNOWN["wrong-route"].needs_operator(said, "lane")
            return KNOWN["not-found"].needs_operator(said)
        outcome = judge(answer, what)
        if isinstance(outcome, Refused) and (known := _reason(answer, route)):
            return KNOWN[known].refused(outcome.why.removeprefix(KNOWN["refused"].sentence).strip())
        return outcome


def _reason(answer: Answer, route: str) -> str | None:
    said = answer.json
    words = said if isinstance(said, dict) else {}
    if any(str(name).casefold().startswith("blockedemaildomain") for name in words):
        return "blocked-domain"
    if route == "add_to_portal" and re.search(r"\bseats?\b", answer.text, re.IGNORECASE):
        return "no-seat"
    if route not in ("create_user", "update_user"):
        return None
    faults = words.get("errors")
    # A refusal of an update that names no field is most likely the address: it alone has to be unique.
    at_email = "email" in faults if isinstance(faults, dict) else True
    return "email-taken" if route == "update_user" and at_email else "user-refused"


def garbled(what: str) -> Ended:
    """Return what a 2xx without the expected fields means: a proxy's page, or half an answer."""
    return Ended(TryLater(f"{what}: HTTP 200 without the expected fields", applied="unknown", cause="outage"))


def rows_of(body: Any, what: str) -> list[dict[str, Any]]:
    """Return the rows of a list that comes bare, under a name, or (PHP, after a filter) as an object of numbered rows."""
    if isinstance(body, dict):
        named = [body[name] for name in ("records", "users", "data") if name in body]
        body = named[0] if named else list(body.values())
        body = list(body.values()) if isinstance(body, dict) else body
    if isinstance(body, list) and all(isinstance(row, dict) for row in body):
        return body
    raise garbled(what)


def id_of(row: Mapping[str, Any], *names: str, what: str) -> str:
    """Return the id that stands under the first of these names."""
    for name in names:
        if isinstance(value := row.get(name), int | str) and str(value):
            return str(value)
    raise garbled(what)


def numbers(ids: Iterable[str]) -> list[int | str]:
    """Return ids as the reference shows them in bodies."""
    return [int(one) if one.isdecimal() else one for one in ids]


def date(moment: datetime) -> str:
    """Return a moment in the vendor's form; UTC, which is assumed."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def newest(column: str) -> str:
    """Return the parameter that puts the newest first."""
    return orjson.dumps({"colName": column, "direction": "desc"}).decode()
