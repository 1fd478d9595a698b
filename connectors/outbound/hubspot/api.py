"""HubSpot's addresses, in v3 and in the date versions, and how one is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from bridge.contract.settings import Rate
from bridge.kit.http import Answer, Http
from connectors.outbound.hubspot.settings import HubspotSettings

Kind = Literal["contacts", "deals"]


class Api:
    """One HubSpot account as a target's settings name it."""

    def __init__(self, settings: HubspotSettings, http: Http) -> None:
        """Take the settings of one target, and the lane's way out."""
        self._settings = settings
        self._http = http
        version = settings.api_version
        self._dated = None if version == "v3" else version

    def objects(self, kind: Kind) -> str:
        """Return the address of all records of a kind."""
        return f"/crm/objects/{self._dated}/{kind}" if self._dated else f"/crm/v3/objects/{kind}"

    def object(self, kind: Kind, name: str) -> str:
        """Return the address of one record, by its id or by the value of a unique property."""
        return f"{self.objects(kind)}/{quote(name, safe='')}"

    def properties(self, kind: Kind) -> str:
        """Return the address of the definitions of properties."""
        return f"/crm/properties/{self._dated}/{kind}" if self._dated else f"/crm/v3/properties/{kind}"

    @property
    def pipelines(self) -> str:
        """The address of the pipelines of deals."""
        return f"/crm/pipelines/{self._dated}/deals" if self._dated else "/crm/v3/pipelines/deals"

    @property
    def associations(self) -> str:
        """The address that joins many deals and contacts by the association without a label."""
        associations = f"/crm/associations/{self._dated}" if self._dated else "/crm/v4/associations"
        return f"{associations}/deals/contacts/batch/associate/default"

    def association(self, deal: str, contact: str) -> str:
        """Return the address that joins one deal and one contact."""
        objects = f"/crm/objects/{self._dated}" if self._dated else "/crm/v4/objects"
        return f"{objects}/deals/{quote(deal, safe='')}/associations/default/contacts/{quote(contact, safe='')}"

    async def send(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request; the lane learns the limit that HubSpot names in its answer."""
        token = self._settings.token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._http.send(method, path, json=body, params=params, headers=headers)
        self._learn(answer)
        return answer

    def _learn(self, answer: Answer) -> None:
        """Tell the lane the limit of the rolling window, and what is left of it. A search's answer names none.

        The daily limit is not told: it is no rolling window, but starts anew at midnight. Its end shows as a 429.
        """
        most, span, left = (
            answer.count(f"X-HubSpot-RateLimit-{name}") for name in ("Max", "Interval-Milliseconds", "Remaining")
        )
        if most and span:
            self._http.learn(Rate(most, span / 1000), left)
