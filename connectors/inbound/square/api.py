"""Square's API, as far as events leave out what was bought and by whom: payments, orders, customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.payload import Payload


class NotTold(Exception):
    """Square did not answer the question; carries what follows from it."""

    def __init__(self, outcome: TryLater | NeedsOperator | Refused) -> None:
        """Keep the outcome."""
        super().__init__(outcome.why)
        self.outcome = outcome


class Api:
    """What is asked for one event."""

    def __init__(self, key: str, http: Http) -> None:
        """Ask with an access token. The version of the API is the one that the token's application is set to."""
        self._http = http
        self._headers = {"Authorization": f"Bearer {key}"}

    async def get(self, kind: str, object_id: str) -> Payload:
        """Return a payment, an order or a customer.

        Raises:
            NotTold: it was not to be had.
        """
        found = await self.find(kind, object_id)
        if found is None:
            remedy = "See that api_key is of the seller and the environment of the webhook, then requeue the lookup."
            raise NotTold(Refused(f"the {kind}: not there for this api_key", remedy))
        return found

    async def find(self, kind: str, object_id: str) -> Payload | None:
        """Return it, or None where there is none.

        Raises:
            NotTold: nobody can say.
        """
        what = f"the {kind}"
        answer = await self._http.send("GET", f"/v2/{kind}s/{quote(object_id, safe='')}", headers=self._headers)
        if answer.status == 404:
            return None
        if not answer.ok:
            outcome = judge(answer, what)
            if isinstance(outcome, TryLater | NeedsOperator | Refused):
                raise NotTold(outcome)
        said: Any = answer.json
        found = said.get(kind) if isinstance(said, Mapping) else None
        if not isinstance(found, Mapping) or Payload(found).text("id") != object_id:
            # The purchase is real, so the question stays: a proxy's page is over some day.
            raise NotTold(TryLater(f"{what}: the answer can't be understood", cause="outage"))
        return Payload(found, kind)
