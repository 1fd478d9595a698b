"""GetCourse's import API: calls that say how a person, a person's groups or an order shall be."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from bridge.contract.command import Learner
from bridge.contract.outbound import TryLater
from bridge.kit.answers import Ended
from bridge.kit.http import Http, exchanges
from bridge.kit.masking import BLANK, mask
from connectors.outbound.getcourse.errors import envelope, failure

_USERS, _DEALS = "/pl/api/users", "/pl/api/deals"
_THERE_ALREADY = ("уже существует", "already exist")


class Api:
    """The calls that the connector uses. Each returns the ``result`` of a success, and raises :class:`Ended` otherwise."""

    def __init__(self, http: Http, key: str) -> None:
        """Speak to one account."""
        self._http = http
        self._key = key

    async def make_person(self, learner: Learner) -> Mapping[str, Any]:
        """Make an account, unless there is one: that one stays as it is."""
        try:
            return await self._users(_named(learner, learner.phone), refresh=False, what="make the person's account")
        except Ended as ended:
            words = getattr(ended.outcome, "why", "").lower()
            if any(word in words for word in _THERE_ALREADY):
                return {}
            raise

    async def change_person(self, learner: Learner) -> Mapping[str, Any]:
        """Write the person's name, and nothing else."""
        return await self._users(_named(learner), refresh=True, what="change the person's name")

    async def join(self, email: str, group: str) -> Mapping[str, Any]:
        """Add the person to a group; the groups that they are in stay."""
        user = {"email": email, "group_name": [group]}
        return _told(await self._users(user, refresh=True, what="add the person to the group"))

    async def order(
        self, email: str, group: str, deal: Mapping[str, Any], what: str, *, link: bool = False
    ) -> Mapping[str, Any]:
        """Make the order of this number, or change the one that is there; of its owner only the group is added to."""
        user = {"email": email} | ({"group_name": [group]} if group else {})
        # The page says both that an order is changed without this flag and that it needs it; a person's groups do.
        system = {"refresh_if_exists": 1, "return_deal_number": 1} | ({"return_payment_link": 1} if link else {})
        return _told(await self._call(_DEALS, {"user": user, "system": system, "deal": deal}, what))

    async def _users(self, user: Mapping[str, Any], *, refresh: bool, what: str) -> Mapping[str, Any]:
        return await self._call(_USERS, {"user": user, "system": {"refresh_if_exists": int(refresh)}}, what)

    async def _call(self, path: str, params: Mapping[str, Any], what: str) -> Mapping[str, Any]:
        packed = base64.b64encode(orjson.dumps(params)).decode()
        story = exchanges.get()
        before = len(story or ())
        try:
            answer = await self._http.send("POST", path, form={"action": "add", "key": self._key, "params": packed})
        finally:
            # Base64 hides nothing, and no rule for secrets reads it: the record gets what it holds, masked.
            for exchange in (story or [])[before:]:
                exchange.sent = {"action": "add", "key": BLANK, "params": mask(params)}
        said = envelope(answer, what)
        if (outcome := failure(said, what)) is not None:
            raise Ended(outcome)
        result = said.get("result")
        return result if isinstance(result, dict) else {}


def _named(learner: Learner, phone: str = "") -> dict[str, str]:
    fields = {"email": learner.email, "first_name": learner.first_name, "last_name": learner.last_name, "phone": phone}
    return {name: value for name, value in fields.items() if value}  # an empty one might erase what is there


def _told(result: Mapping[str, Any]) -> Mapping[str, Any]:
    if result.get("user_id") or result.get("deal_id"):
        return result
    raise Ended(TryLater("GetCourse says yes, but names neither person nor order", applied="unknown", cause="outage"))
