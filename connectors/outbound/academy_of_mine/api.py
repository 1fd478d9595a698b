"""The vendor's operations on people and their access: one method each, in the bodies of its reference (seed 004)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.contract.command import Learner, email_key
from bridge.kit.http import Answer
from connectors.outbound.academy_of_mine.calls import Calls, Ended, date, garbled, id_of, newest, numbers, rows_of
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse

_ADDRESS = re.compile(r"[^\s<>()\[\]\",;]+@[^\s<>()\[\]\",;]+")
_IDS = ("id", "value", "user_id")


@dataclass(frozen=True, slots=True)
class Row:
    """One enrollment, as a list shows it; a list that shows no access status is taken to mean that access is given."""

    id: str
    allowed: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What a read shows of a user.

    Attributes:
        disabled: as it goes back unchanged: ``0`` or ``1``, or the site's own word.
        kind: ``general`` or ``learner``; others are staff.
        membership: id of the membership, or None.
        ends: end of the membership; None is without end, or one that could not be read.
    """

    first_name: str
    last_name: str
    disabled: str
    kind: str
    membership: str | None
    ends: datetime | None

    @property
    def shut(self) -> bool:
        """Whether nobody can log in with it."""
        return self.disabled.casefold() not in ("0", "false", "")

    def member(self, now: datetime) -> bool:
        """Whether its membership gives access."""
        return self.membership is not None and (self.ends is None or self.ends > now)


class Api(Calls):
    """People, and what they are in."""

    async def find_user(self, email: str) -> str | None:
        """Return the id of the user with exactly this e-mail address, or None.

        The reference prints no answer ("Retrieve Users" shows ``{}``), so any list of rows is read that has an id and
        the address. The search is global: an address is unique in the whole site.
        """
        wanted, what = email_key(email), "search the user"
        found = await self.search({"search_term": email, "remote_user_search": "true"}, what)
        ids = dict.fromkeys(id_of(row, *_IDS, what=what) for row in found if _addresses(row) == {wanted})
        return next(iter(ids)) if len(ids) == 1 else None

    async def anybody(self) -> str | None:
        """Return the id of some user, or None where the site shows none."""
        what = "search for any user"
        rows = await self.search({"search_term": "@", "remote_user_search": "true"}, what)
        return id_of(rows[0], *_IDS, what=what) if rows else None

    async def in_portal(self, user: str, email: str) -> bool:
        """Say whether the user is among the portal's; its search shows no others."""
        query = {"search_term": email, "portalId": self.portal, "remote_user_search": "false"}
        rows = await self.search(query, what := "search the portal")
        return any(id_of(row, *_IDS, what=what) == user for row in rows)

    async def search(self, query: Mapping[str, str], what: str) -> list[dict[str, Any]]:
        """Return the rows of "Retrieve Users"."""
        answer = await self.send("search_users", params=query)
        if not answer.ok:
            raise Ended(self.failed(answer, "search_users", what))
        return rows_of(answer.json, what)

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
        return id_of(self.read(answer, "create_user", what), "id", what=what), True

    async def account(self, user: str) -> Account:
        """Read a user. ``disabled`` has to be in the answer: it is required where a user is written."""
        what = "read the user"
        now = self.read(await self.send("read_user", user), "read_user", what)
        if not isinstance(disabled := now.get("disabled"), bool | int | str):
            raise garbled(what)
        held = now.get("membership")
        held = held if isinstance(held, dict) and held.get("id") is not None else {}
        return Account(
            first_name=str(now.get("firstName") or "-"),
            last_name=str(now.get("lastName") or "-"),
            disabled=disabled if isinstance(disabled, str) else str(int(disabled)),
            kind=str(now.get("userType") or "").casefold(),
            membership=str(held["id"]) if held else None,
            ends=_moment(held.get("expiryDate")),
        )

    async def change_user(self, user: str, learner: Learner) -> None:
        """Write name and address of a user; ``disabled`` is required, so it is read first and sent back unchanged."""
        now = await self.account(user)
        params = {
            "id": user,
            "firstName": learner.first_name or now.first_name,
            "lastName": learner.last_name or now.last_name,
            "email": str(learner.email),
            "disabled": now.disabled,
        }
        self.read(await self.send("update_user", user, params=params), "update_user", "update the user")

    async def set_disabled(self, user: str, *, disabled: bool) -> None:
        """Disable or enable an account; the bulk edit is used because it writes nothing else."""
        body = {"user_ids": numbers([user]), "disabled": disabled}
        what = "disable the account" if disabled else "enable the account"
        self.done(await self.send("edit_users", json=body), "edit_users", what)

    async def resend_email(self, user: str) -> Answer:
        """Have the mail for a new account sent; it makes a new password each time."""
        return await self.send("resend_email", params={"portalId": self.portal, "user_id": user})

    async def add_to_portal(self, user: str) -> None:
        """Add an account to the portal's learners, which takes a seat."""
        body = {
            "portalId": self.settings.portal_id,
            "selectExistingUsers": numbers([user]),
            "userAddedType": "existingUser",
        }
        answer = await self.send("add_to_portal", json=body)
        self.done(answer, "add_to_portal", "add the learner to the portal")

    async def portal_details(self) -> dict[str, Any]:
        """Read the portal."""
        answer = await self.send("read_portal", params={"portalId": self.portal})
        return self.read(answer, "read_portal", "read the portal")

    async def set_membership(self, user: str, membership: str, until: datetime | None) -> None:
        """Give a membership until a date, a past one being its end; None leaves the date to the membership."""
        body = {"id": membership} | ({} if until is None else {"expired_at": date(until)})
        answer = await self.send("update_membership", user, json=body)
        self.done(answer, "update_membership", "set the membership")

    async def enroll(self, course: AcademyOfMineCourse, users: Sequence[str]) -> bool:
        """Enroll users in a course or learning path; False when some of them were not, which the answer only counts."""
        body: dict[str, Any] = {"studentIds": numbers(users)}
        if self.settings.portal_id is not None:
            body["portalId"] = self.settings.portal_id
        route, what = "learning_path_enroll" if course.learning_path_id else "enroll", "enroll"
        said = self.read(await self.send(route, course.id, json=body), route, what)
        left_out = said.get("notEnrolledUsers")
        if not isinstance(left_out, int):
            raise garbled(what)
        return left_out == 0

    async def change_access(
        self, route: str, course: AcademyOfMineCourse, enrollments: Sequence[str], until: str = ""
    ) -> bool:
        """Grant or revoke access, set a date or reset progress, or remove learners; False when it touched nobody."""
        body: dict[str, Any] = {"enrollmentIds": numbers(enrollments)} | ({"expiryDate": until} if until else {})
        answer = await self.send(route, course.id, json=body)
        said = self.read(answer, route, route.replace("_", " "))
        return re.match(r"\D*\b0\b", str(said.get("message", ""))) is None

    async def enrolled_in_course(self, user: str, course: AcademyOfMineCourse) -> list[Row]:
        """Return the user's enrollments in this course. That ``records[].id`` is the enrollment's id is assumed."""
        return [_row(record) for record in await self._enrolled(user) if str(record.get("courseId")) == course.id]

    async def enrolled_anywhere(self, user: str) -> list[Row]:
        """Return the user's enrollments in all courses."""
        return [_row(record) for record in await self._enrolled(user)]

    async def _enrolled(self, user: str) -> list[dict[str, Any]]:
        query = {"user_id": user, "viewType": "manage", "manage_course": "false", "order_by": newest("created_at")}
        return await self.pages("enrolled_courses", query)

    async def enrolled_in_path(self, user: str, path: str, email: str | None) -> list[Row]:
        """Return the user's enrollments in this learning path; ``email`` narrows the list of all its students."""
        query = {"learning_path_id": path, "order_by": newest("registered_on")}
        if email:
            query["search_param"] = orjson.dumps({"nameOrEmail": email}).decode()
        records = await self.pages("learning_path_students", query)
        return [_row(record) for record in records if str(record.get("user_id")) == user]


def _addresses(row: Mapping[str, Any]) -> set[str]:
    """Return the addresses that a row has: of its field for them, or where it has none, in any of its texts.

    A search finds names, too, and people choose their own: whoever is named like another one's address is not that one.
    So a row is somebody's only where it shows their address and no other.
    """
    texts = {name.casefold(): value for name, value in row.items() if isinstance(value, str)}
    named = [value for name, value in texts.items() if name.replace("_", "") in ("email", "emailaddress", "useremail")]
    # An apostrophe may be part of an address, o'neill@..., but not at its ends.
    return {email_key(found.strip("'")) for text in named or texts.values() for found in _ADDRESS.findall(text)}


def _row(record: Mapping[str, Any]) -> Row:
    status = str(record.get("accessStatus", record.get("access_status")) or "allowed")
    expired = record.get("isExpired") is True
    return Row(id_of(record, "id", what="list enrollments"), status.casefold() == "allowed", expired)


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=UTC) if value else None
    except ValueError:
        return None
