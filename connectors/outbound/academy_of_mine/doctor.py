"""What ``bridge doctor`` looks at: every route that only reads, the portal, and the ids that are mapped."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

from bridge.contract.outbound import Finding, NeedsOperator, Refused, TryLater
from bridge.kit.clock import Clock
from connectors.outbound.academy_of_mine.api import Api
from connectors.outbound.academy_of_mine.calls import Ended, garbled
from connectors.outbound.academy_of_mine.errors import KNOWN
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse

_UNTRIED = "not tried, because there is nothing yet to try it with"
_KINDS = {
    "course": ("list_courses", "course_id"),
    "learning path": ("list_learning_paths", "learning_path_id"),
    "membership": ("list_memberships", "membership_id"),
    "product": ("list_products", "products of [targets.NAME.orders]"),
}


Found = TypeVar("Found")
_NOT_THE_ROUTE = (KNOWN["credentials"].next_step, KNOWN["redirected"].next_step)


class Doctor:
    """Looks at one target; changes nothing."""

    def __init__(self, api: Api, clock: Clock) -> None:
        """Speak through ``api``."""
        self._api = api
        self._clock = clock
        self._found: list[Finding] = []

    async def examine(self, courses: Sequence[AcademyOfMineCourse]) -> list[Finding]:
        """Return one finding for each thing that was looked at."""
        await self._people()
        if self._api.settings.portal_id is not None:
            await self._portal()
        await self._ids("course", (one.id for one in courses if one.course_id))
        paths = await self._ids("learning path", (one.id for one in courses if one.learning_path_id))
        if paths:
            await self._try("learning_path_students", self._api.enrolled_in_path("0", paths[0], None))
        await self._ids("membership", (one.id for one in courses if one.membership_id))
        if products := self._api.settings.orders.products:
            await self._ids("product", (str(number) for number in products.values()))
            await self._orders()
        return self._found

    async def _people(self) -> None:
        user = await self._try("search_users", self._api.anybody())
        if user is None:
            self._untried("read_user", "enrolled_courses")
            return
        await self._try("read_user", self._api.account(user))
        await self._try("enrolled_courses", self._api.enrolled_anywhere(user))

    async def _portal(self) -> None:
        what, number = f"portal {self._api.portal}", self._api.portal
        details = await self._try("read_portal", self._api.portal_details(), also=f"correct portal_id ({number})")
        if details is None:
            return
        seats = details.get("availableSeats")
        if str(details.get("id")) != number:
            self._fault(what, "another portal was answered", "Correct portal_id.")
        elif details.get("isActive") is False:
            self._fault(what, "not active", "Make the portal active at Academy of Mine, or set another portal_id.")
        elif details.get("seatAccess") == "limited" and isinstance(seats, int) and seats < 1:
            self._fault(what, "no seat is left", "Add seats to the portal at Academy of Mine, or free one.")
        else:
            self._found.append(Finding(what, ok=True, said="it is there"))

    async def _ids(self, kind: str, ids: Iterable[str]) -> list[str]:
        """Look whether these exist, and return those which do."""
        wanted = list(dict.fromkeys(ids))
        route, setting = _KINDS[kind]
        if not wanted or (listed := await self._try(route, self._api.pages(route))) is None:
            return []
        names = {str(record.get("id")): record for record in listed}
        for number in wanted:
            if number not in names:
                where = setting if kind == "product" else f"{setting} in [courses.*]"
                self._fault(f"{kind} {number}", "Academy of Mine does not list it", f"Correct {where}.")
            elif str(names[number].get("status", "")).upper() == "DRAFT":
                self._fault(f"{kind} {number}", "it is a draft", "Publish it at Academy of Mine.")
            else:
                self._found.append(Finding(f"{kind} {number}", ok=True, said="it is there"))
        return [number for number in wanted if number in names]

    async def _orders(self) -> None:
        found = await self._try("list_orders", self._api.page("list_orders", {}, 1, 1))
        if found is None or not found[0]:
            self._untried("read_order")
            return
        await self._try("read_order", self._order(str(found[0][0].get("id"))))

    async def _order(self, number: str) -> dict[str, Any]:
        said = self._api.read(await self._api.send("read_order", params={"id": number}), "read_order", "read an order")
        if not isinstance(said.get("orderNotes"), list):  # without them an order of ours is not found again
            raise garbled("read an order")
        return said

    async def _try(self, route: str, call: Awaitable[Found], also: str = "") -> Found | None:
        """Make a call and keep what was found of its route; None where the route fails."""
        what = f"route {route} ({self._api.address(route)})"
        try:
            answer = await call
        except Ended as ended:
            outcome = ended.outcome
            assert isinstance(outcome, NeedsOperator | Refused | TryLater)  # noqa: S101 - a call ends in nothing else
            remedy = f'Set {route} = "METHOD /path" under [targets.NAME.routes] as your API reference has it'
            if isinstance(outcome, TryLater) and (outcome.cause == "throttled" or "HTTP 5" in outcome.why):
                remedy = "Ask again later"
            remedy = f"{remedy}{f', or {also}' if also else ''}."
            if not isinstance(outcome, TryLater) and outcome.remedy in _NOT_THE_ROUTE:
                remedy = outcome.remedy
            self._fault(what, outcome.why, remedy)
            return None
        self._found.append(Finding(what, ok=True, said="it answers"))
        return answer

    def _untried(self, *routes: str) -> None:
        for route in routes:
            what = f"route {route} ({self._api.address(route)})"
            if not any(one.what == what for one in self._found):
                self._found.append(Finding(what, ok=True, said=_UNTRIED))

    def _fault(self, what: str, said: str, remedy: str) -> None:
        self._found.append(Finding(what, ok=False, said=said, remedy=remedy))
