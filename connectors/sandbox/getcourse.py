"""A GetCourse account that runs here: import API and export API, errors at HTTP 200, exports that take their time.

Source: as ``connectors/outbound/getcourse``. A process at GetCourse is what an operator sets up there; ``process_field``,
``process_groups`` and ``process_works`` say what the one of this account does. That a group which does not exist is made is
assumed.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson
from aiohttp import web

from bridge.kit.sandbox import Emulator, Holding

KEY = "sandbox-getcourse-key"
_UNAUTHORISED = "Неавторизованное API-обращение"
_USER = {"email", "phone", "first_name", "last_name", "city", "country", "group_name", "addfields"}
_SYSTEM = {"refresh_if_exists", "partner_email", "multiple_offers", "return_payment_link", "return_deal_number"}
_DEAL = """
deal_number offer_code product_title product_description quantity deal_cost deal_status deal_is_paid manager_email
deal_created_at deal_finished_at deal_comment payment_type payment_status partner_email addfields deal_currency
"""
_STATUSES = """
new payed cancelled false in_work payment_waiting part_payed waiting_for_return not_confirmed pending
"""


class _No(Exception):
    """The operation is refused, in the words of ``args``."""


class Getcourse(Emulator):
    """Holds people by e-mail, orders by number, and the groups that people are in.

    ``courses`` are the codes and names of offers that exist; None takes every offer. ``looks`` is how often an export is
    asked for before it is ready; ``limit`` how many requests the export API takes in how many seconds.
    """

    credentials: ClassVar[Mapping[str, Any]] = {"key": KEY}

    def __init__(self) -> None:
        """Start with a group, a field and a process on it, and without people."""
        super().__init__()
        self.courses: set[str] | None = None
        self.groups: dict[str, int] = {"Students": 501}
        self.fields: list[str] = ["Bridge status"]
        self.process_field = "Bridge status"
        self.process_groups: set[str] = set()
        self.process_works = True
        self.may_write = True
        self.imports = True
        self.allowance: int | None = None
        self.looks = 0
        self.limit: tuple[int, float] | None = (100, 7_200.0)
        self.people: dict[str, dict[str, Any]] = {}
        self.deals: dict[str, dict[str, Any]] = {}
        self.exports: dict[int, dict[str, Any]] = {}
        self._export_requests: list[float] = []
        self._next = 320_000

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the addresses of both APIs."""
        return [
            web.post("/pl/api/users", self._import),
            web.post("/pl/api/deals", self._import),
            web.get("/pl/api/account/groups", self._list_groups),
            web.get("/pl/api/account/groups/{id}/users", self._start_export),
            web.get("/pl/api/account/deals", self._start_export),
            web.get("/pl/api/account/exports/{id}", self._read_export),
            web.post("/pl/api/account/fields", self._list_fields),
        ]

    def holdings(self) -> list[Holding]:
        """Return every order that ever gave access, and every membership in a group that somebody has."""
        orders = [
            Holding("enrollment", deal["email"], deal["offer"], str(deal["id"]), deal["access"])
            for deal in self.deals.values()
            if deal["access"] is not None
        ]
        memberships = [
            Holding("enrollment", person["email"], f"group:{name}", str(person["id"]), live=True)
            for person in self.people.values()
            for name in person["groups"]
        ]
        return orders + memberships

    async def _import(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("key") != KEY:
            return web.json_response(
                {"success": False, "action": form.get("action"), "result": [], "error": _UNAUTHORISED}
            )
        problem = _problem(form) or ("" if self.may_write else "Действие запрещено")
        if problem:
            return web.json_response({"success": False, "action": form.get("action"), "result": [], "error": problem})
        if not self.imports:
            return web.Response(content_type="text/html")
        try:
            params = orjson.loads(base64.b64decode(str(form["params"]), validate=True))
            result = self._deal(params) if request.path.endswith("deals") else self._user_result(params)
        except (binascii.Error, orjson.JSONDecodeError):
            result = {"success": False, "error": True, "error_message": "Не указаны параметры"}  # noqa: RUF001 - their word
        except _No as no:
            result = {"success": False, "error": True, "error_message": str(no)}
        return web.json_response({"success": True, "action": "add", "result": result})

    def _user_result(self, params: Mapping[str, Any]) -> dict[str, Any]:
        _only(params, {"user", "system", "session"})
        _, status, person = self._user(params)
        return {"success": True, "user_id": person["id"], "user_status": status, "error": False, "error_message": ""}

    def _user(self, params: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
        user, system = params.get("user", {}), params.get("system", {})
        _only(user, _USER)
        _only(system, _SYSTEM)
        email = str(user.get("email", "")).lower()
        if "@" not in email:
            raise _No("Не заполнен email")  # noqa: RUF001 - as they write
        person = self.people.get(email)
        fresh = person is None
        if person is None:
            self._create()
            person = self.people[email] = {"id": self._number(), "email": user["email"], "groups": {}}
        if fresh or system.get("refresh_if_exists") in (1, "1"):
            person |= {name: user[name] for name in ("first_name", "last_name", "phone") if name in user}
            for name in user.get("group_name", []):
                self.groups.setdefault(name, self._number())
                person["groups"].setdefault(name, _today())
        return email, "added" if fresh else "updated", person

    def _deal(self, params: Mapping[str, Any]) -> dict[str, Any]:
        _only(params, {"user", "system", "session", "deal"})
        given = params["deal"]
        _only(given, set(_DEAL.split()))
        if given.get("deal_status", "new") not in _STATUSES.split():
            raise _No("Неверный статус заказа")
        offer = str(given.get("offer_code") or given.get("product_title") or "")
        if offer and self.courses is not None and offer not in self.courses:
            raise _No("Предложение не найдено")
        number = str(given.get("deal_number") or self._number())
        deal = self.deals.get(number)
        if deal is None and not (offer and "deal_cost" in given):
            raise _No("Не указано предложение или сумма заказа")  # noqa: RUF001 - as they write
        email, _, person = self._user(params)
        if deal is None:
            self._create()
            deal = self.deals[number] = {"id": self._number(), "email": person["email"], "status": "new", "payments": 0}
            deal |= {"access": None, "addfields": {}, "status_changed": _today()}
        elif deal["email"].lower() != email:
            raise _No("Заказ с таким номером у другого пользователя")  # noqa: RUF001 - as they write
        self._change(deal, given, offer)
        system = params.get("system", {})
        told = {"success": True, "deal_id": deal["id"], "user_id": person["id"], "error": False, "error_message": ""}
        told |= {"deal_number": number} if system.get("return_deal_number") else {}
        link = f"{self.base_url}/sales/shop/dealPay/id/{deal['id']}"
        return told | ({"payment_link": link} if system.get("return_payment_link") else {})

    def _change(self, deal: dict[str, Any], given: Mapping[str, Any], offer: str) -> None:
        deal["offer"] = offer or deal["offer"]
        deal |= {name: given[name] for name in ("deal_cost", "deal_currency", "deal_comment") if name in given}
        deal["payments"] = max(deal["payments"], int(given.get("deal_is_paid") in (1, "1", "yes")))
        self._set_status(deal, given.get("deal_status", deal["status"]))
        before = deal["addfields"].get(self.process_field)
        deal["addfields"] |= given.get("addfields", {})
        after = deal["addfields"].get(self.process_field)
        if self.process_works and after != before and after in _STATUSES.split() and after != "payed":
            self._set_status(deal, after)
            deal["access"] = (
                deal["access"] and False
            )  # a process may cancel the purchases too; a changed status does not
            groups = self.people[deal["email"].lower()]["groups"]
            for name in self.process_groups:
                groups.pop(name, None)

    def _set_status(self, deal: dict[str, Any], status: str) -> None:
        if status != deal["status"]:
            deal |= {"status": status, "status_changed": _today()}
            if status == "payed":
                deal["access"] = True

    def _create(self) -> None:
        if self.allowance is not None:
            if self.allowance <= 0:
                raise _No("Достигнут лимит создания объектов")
            self.allowance -= 1

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _refusal(self, key: object) -> web.Response | None:
        if key != KEY:
            return _told_no(901, _UNAUTHORISED)
        now = time.monotonic()
        self._export_requests.append(now)
        if self.limit is not None:
            most, seconds = self.limit
            if sum(at > now - seconds for at in self._export_requests) > most:
                return _told_no(903, "Слишком много запросов")
        return None

    async def _list_groups(self, request: web.Request) -> web.Response:
        rows = [{"id": number, "name": name, "last_added_at": None} for name, number in self.groups.items()]
        return self._refusal(request.query.get("key")) or _info(rows)

    async def _list_fields(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("action") != "get":
            return _told_no(0, "Пустой параметр action")
        rows = [{"id": nth, "title": name, "type": "text"} for nth, name in enumerate(self.fields, 1)]
        return self._refusal(form.get("key")) or _info(rows)

    async def _start_export(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request.query.get("key"))) is not None:
            return refusal
        if any(one["looks"] > 0 for one in self.exports.values()):
            return _told_no(905, "Уже запущен один экспорт, попробуйте позднее")
        filters = {name: value for name, value in request.query.items() if name != "key"}
        group = request.match_info.get("id")
        known = {"added_at[from]"} if group else {"status", "status_changed_at[from]"}
        if not known & set(filters):
            return _told_no(908, "Должен быть передан хотя бы один фильтр")
        number = self._number()
        self.exports[number] = {
            "looks": self.looks,
            "rows": self._members(group, filters) if group else self._found(filters),
        }
        return _info({"export_id": number})

    def _members(self, group: str, filters: Mapping[str, str]) -> list[list[str]]:
        names = {name for name, number in self.groups.items() if str(number) == group}
        return [
            [str(person["id"]), person["email"], person.get("first_name", ""), added]
            for person in self.people.values()
            for name, added in person["groups"].items()
            if name in names and added >= filters.get("added_at[from]", "")
        ]

    def _found(self, filters: Mapping[str, str]) -> list[list[str]]:
        return [
            [str(deal["id"]), number, deal["email"], deal["status"]]
            for number, deal in self.deals.items()
            if deal["status"] == filters.get("status", deal["status"])
            and deal["status_changed"] >= filters.get("status_changed_at[from]", "")
        ]

    async def _read_export(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request.query.get("key"))) is not None:
            return refusal
        export = self.exports.get(int(request.match_info["id"]))
        if export is None:
            return _told_no(910, "Объект не найден")
        if export["looks"] > 0:
            export["looks"] -= 1
            return _told_no(909, "Файл еще не создан")
        return _info({"status": "exported", "fields": ["id", "Номер", "Email", "Статус"], "items": export["rows"]})


def _problem(form: Mapping[str, Any]) -> str:
    if form.get("action") != "add":
        return "Действие запрещено" if form.get("action") else "Пустой параметр action"
    return "" if form.get("params") else "Не указаны параметры"  # noqa: RUF001 - as they write


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    if strange := sorted(set(given) - known):
        raise _No(f"unknown parameter {', '.join(strange)}")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _info(info: Any) -> web.Response:
    return web.json_response({"success": True, "info": info, "error": False, "error_message": ""})


def _told_no(code: int, text: str) -> web.Response:
    said = {"success": False, "info": [], "error": True, "error_message": text}
    return web.json_response(said | ({"error_code": code} if code else {}))


EMULATOR: type[Emulator] = Getcourse
