"""Accounts, memberships and portals of the school."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from connectors.sandbox.academy_of_mine.state import DATE, User, body_of, checked, invalid, message, moment, not_found

if TYPE_CHECKING:
    from connectors.sandbox.academy_of_mine import AcademyOfMine


class People:
    """Answers what is asked about people."""

    def __init__(self, school: AcademyOfMine) -> None:
        """Answer for this school."""
        self._school = school

    async def search(self, request: web.Request) -> web.Response:
        """Retrieve Users."""
        asked = request.query
        if fault := checked(asked, ["search_term"], ["portalId", "userType", "remote_user_search"]):
            return fault
        term, portal = asked["search_term"].casefold(), int(asked.get("portalId", "-1"))
        inside = portal > 0 and asked.get("remote_user_search") != "true"
        rows = [
            {"id": user.id, "first_name": user.first_name, "last_name": user.last_name, "email": user.email}
            for user in self._school.users.values()
            if term in f"{user.first_name} {user.last_name} {user.email}".casefold()
            and (not inside or portal in user.portals)
        ]
        return web.json_response(rows)

    async def create(self, request: web.Request) -> web.Response:
        """Make an account."""
        asked = request.query
        if fault := checked(asked, ["firstName", "lastName", "email", "password"], ["userCategory"]):
            return fault
        if len(asked["password"]) < 8:
            return invalid(password="The password must be at least 8 characters.")  # noqa: S106 - a message
        if self._by_email(asked["email"]):
            return invalid(email="The email has already been taken.")
        user = self._school.add_user(asked["email"], asked["firstName"], asked["lastName"])
        user.password_length = len(asked["password"])
        return web.json_response({"id": user.id, "message": "User created successfully"})

    async def read(self, request: web.Request) -> web.Response:
        """Retrieve User By ID."""
        if (user := self._school.user(request.match_info["id"])) is None:
            return not_found("User")
        full_name = {"type": "text", "label": "Full Name", "submitted_value": f"{user.first_name} {user.last_name}"}
        return web.json_response(
            {
                "id": user.id,
                "firstName": user.first_name,
                "lastName": user.last_name,
                "lastLoggedIn": "Never",
                "disabled": user.disabled,
                "userType": user.kind,
                "membership": _membership(user),
                "customUserMetas": {"full_name": full_name},
                "internal_note": user.note,
            }
        )

    async def update(self, request: web.Request) -> web.Response:
        """Update an account; what may be left out stays as it is."""
        if (user := self._school.user(request.match_info["id"])) is None:
            return not_found("User")
        asked = request.query
        needed = ["id", "firstName", "lastName", "email", "disabled"]
        if fault := checked(asked, needed, ["internal_note", "customUserMetas", "userCategory"]):
            return fault
        if (other := self._by_email(asked["email"])) and other is not user:
            return invalid(email="The email has already been taken.")
        user.first_name, user.last_name, user.email = asked["firstName"], asked["lastName"], asked["email"]
        user.disabled = asked["disabled"] in ("1", "true")
        user.note = asked.get("internal_note", user.note)
        return web.json_response({"message": "User updated successfully"})

    async def edit(self, request: web.Request) -> web.Response:
        """Quick Edit of several accounts; only ``disabled`` is played."""
        body = await body_of(request)
        if fault := checked(body, ["user_ids"], ["disabled"]):
            return fault
        for number in body["user_ids"]:
            if user := self._school.user(number):
                user.disabled = bool(body["disabled"])
        return message(200, "Users updated Successfully")

    async def give_membership(self, request: web.Request) -> web.Response:
        """Update Membership of a user."""
        if (user := self._school.user(request.match_info["id"])) is None:
            return not_found("User")
        body = await body_of(request)
        if fault := checked(body, ["id"], ["expired_at"]):
            return fault
        if int(body["id"]) not in self._school.memberships:
            return not_found("Membership")
        until = body.get("expired_at")
        user.membership = int(body["id"])
        user.memberships[user.membership] = moment(until) if until else None
        return web.Response()

    async def resend(self, request: web.Request) -> web.Response:
        """Resend New Account Email; a user who is not found is ignored, as documented."""
        if fault := checked(request.query, ["portalId"], ["user_id"]):
            return fault
        if user := self._school.user(request.query.get("user_id", "")):
            user.mails += 1
        return web.json_response(
            {"status": "success", "message": "New Password is created and New Account Email Sent."}
        )

    async def portal(self, request: web.Request) -> web.Response:
        """Read a portal."""
        if fault := checked(request.query, ["portalId"]):
            return fault
        number = int(request.query["portalId"])
        if (portal := self._school.portals.get(number)) is None:
            return not_found("Portal")
        used = self._used(number)
        return web.json_response(
            {
                "id": number,
                "portalName": f"Portal {number}",
                "seatAccess": "unlimited" if portal.seats is None else "limited",
                "totalSeats": portal.seats,
                "usedSeats": used,
                "availableSeats": None if portal.seats is None else portal.seats - used,
                "isActive": portal.active,
            }
        )

    async def join(self, request: web.Request) -> web.Response:
        """Add learners to a portal; of the ways to do it only ``existingUser`` is played."""
        body = await body_of(request)
        if fault := checked(body, ["portalId", "userAddedType", "selectExistingUsers"]):
            return fault
        if body["userAddedType"] != "existingUser":
            return invalid(userAddedType="The selected user added type is invalid.")
        if (portal := self._school.portals.get(number := body["portalId"])) is None:
            return not_found("Portal")
        users = [user for one in body["selectExistingUsers"] if (user := self._school.user(one))]
        for user in users:
            if user.email.rpartition("@")[2] in self._school.blocked_domains:
                said = f"Email or domain is blocked for user with email {user.email}. Please contact Admin."
                return web.json_response({"blockedEmailDomainsmessage": said}, status=422)
        if portal.seats is not None and self._used(number) + len(users) > portal.seats:
            return message(422, "There are not enough seats in this portal.")
        for user in users:  # somebody who is in it already takes another seat, so far as anybody knows
            self._school.seats_taken.append((number, user.id))
            user.portals.add(number)
        return message(201, "Learners added successfully")

    def _used(self, portal: int) -> int:
        return sum(1 for number, _ in self._school.seats_taken if number == portal)

    def _by_email(self, email: str) -> User | None:
        wanted = email.casefold()
        return next((user for user in self._school.users.values() if user.email.casefold() == wanted), None)


def _membership(user: User) -> dict[str, Any] | None:
    if user.membership is None:
        return None
    until = user.memberships[user.membership]
    name = f"Membership {user.membership}"
    return {"id": user.membership, "name": name, "expiryDate": until and until.strftime(DATE)}
