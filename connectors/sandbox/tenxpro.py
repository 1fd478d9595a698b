"""A 10XPRO site that runs here: its custom API, with registration and cancellation.

Source: as ``connectors/outbound/tenxpro.py``. What it answers is ours: the vendor tells no answers. ``answers`` makes it say
the same in plain words, or say nothing where all is well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

SECRET = "sandbox-tenxpro-secret"  # noqa: S105 - of the emulator
_NAMES = ("course_id", "forum_category_id", "bundle_id")
_TAKEN = {
    "purchase": {*_NAMES, "email", "first_name", "last_name", "full_access", "forum_full_access", "send_mail"},
    "credit": {*_NAMES, "email", "forum_full_access"},
}


class Tenxpro(Emulator):
    """Holds members by e-mail, and what each of them has access to.

    ``courses`` are the ids that exist, of whatever kind; None takes every id.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"secret": SECRET}

    def __init__(self) -> None:
        """Start without members."""
        super().__init__()
        self.courses: set[str] | None = None
        self.answers: Literal["json", "text", "nothing"] = "json"
        self.members: dict[str, dict[str, str]] = {}
        self.access: dict[tuple[str, str, str], bool] = {}
        self.full: set[tuple[str, str, str]] = set()
        self.mails: list[str] = []

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the one address, by GET and by POST."""
        return [web.get("/customapi.php", self._call), web.post("/customapi.php", self._call)]

    def holdings(self) -> list[Holding]:
        """Return whatever anybody was ever registered for; what they are inactive in is not live."""
        return [
            Holding("enrollment", self.members[email]["email"], f"{kind}:{number}", number, live)
            for (email, kind, number), live in self.access.items()
        ]

    async def _call(self, request: web.Request) -> web.Response:
        given = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        if given.pop("secret", "") != SECRET:
            return self._say(401, "The secret is missing or not valid.")
        kind = given.pop("type", "")
        if kind not in _TAKEN:
            return self._say(422, "The type parameter is required.")
        if strange := sorted(set(given) - _TAKEN[kind]):
            return self._say(422, f"There is no parameter {', '.join(strange)}.")
        named = [name for name in _NAMES if given.get(name)]
        if len(named) != 1 or not given.get("email"):
            return self._say(422, "The email parameter and one id are required.")
        number = given[named[0]]
        if self.courses is not None and number not in self.courses:
            return self._say(422, "The course was not found.")
        key = (given["email"].lower(), named[0].removesuffix("_id"), number)
        return self._register(key, given) if kind == "purchase" else self._deactivate(key)

    def _register(self, key: tuple[str, str, str], given: Mapping[str, str]) -> web.Response:
        if given.get("send_mail") != "no":
            self.mails.append(given["email"])
        names = {name: given.get(name, "") for name in ("first_name", "last_name")}
        self.members[key[0]] = {**self.members.get(key[0], {"email": given["email"]}), **names}
        self.access[key] = True
        if "yes" in (given.get("full_access"), given.get("forum_full_access")):
            self.full.add(key)
        return self._say(200, "")

    def _deactivate(self, key: tuple[str, str, str]) -> web.Response:
        if key[0] not in self.members:
            return self._say(422, "The user could not be found.")
        if key in self.access:
            self.access[key] = False
        return self._say(200, "")

    def _say(self, status: int, problem: str) -> web.Response:
        if self.answers == "json":
            return web.json_response(
                {"success": False, "error": problem} if problem else {"success": True}, status=status
            )
        # PHP calls its output HTML, whatever it is.
        text = f"Error: {problem}" if problem else ("" if self.answers == "nothing" else "OK")
        return web.Response(status=200, text=text, content_type="text/html")


EMULATOR: type[Emulator] = Tenxpro
