"""PayPal's REST API: the login, and one call with it."""

from __future__ import annotations

import base64
from typing import Any

from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.kit.answers import judge
from bridge.kit.http import Answer, Http
from bridge.kit.tokens import TokenKeeper
from connectors.inbound.paypal.settings import PaypalSettings

Bad = TryLater | NeedsOperator | Refused
_CREDENTIALS = "Correct client_id and client_secret; they belong to the live API or to the sandbox, as base_url does."


class NoToken(Exception):
    """There is no token to be had; ``outcome`` says what follows."""

    def __init__(self, outcome: Bad) -> None:
        """Keep the outcome."""
        super().__init__(outcome.why)
        self.outcome = outcome


class Api:
    """Calls the API of one REST app."""

    def __init__(self, settings: PaypalSettings, http: Http) -> None:
        """Log in with the first call, not yet."""
        secret = settings.client_secret.get_secret_value()
        self._basic = base64.b64encode(f"{settings.client_id}:{secret}".encode()).decode()
        self._http = http
        self._keeper = TokenKeeper(self._log_in)

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Call ``path``; a token that is refused is renewed and the call repeated, once.

        Raises:
            NoToken: the login gave none.
            TransportFault: no answer came back.
        """
        token = await self._keeper.token()
        answer = await self._send(method, path, body, token)
        if answer.status == 401:
            answer = await self._send(method, path, body, await self._keeper.renewed(token))
        return answer

    async def _send(self, method: str, path: str, body: Any, token: str) -> Answer:
        return await self._http.send(method, path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def _log_in(self) -> str:
        headers = {"Authorization": f"Basic {self._basic}"}
        form = {"grant_type": "client_credentials"}
        answer = await self._http.send("POST", "/v1/oauth2/token", form=form, headers=headers)
        token = answer.json.get("access_token") if isinstance(answer.json, dict) else None
        if answer.ok and isinstance(token, str) and token:
            return token
        if answer.ok or answer.status in (400, 401, 403):
            raise NoToken(NeedsOperator(f"log in: HTTP {answer.status}", _CREDENTIALS, "lane"))
        raise NoToken(bad(answer, "log in"))


def bad(answer: Answer, what: str) -> Bad:
    """Return what follows from an answer that is not a success."""
    found = judge(answer, what)
    return found if isinstance(found, Bad) else Refused(what, "Requeue the lookup.")
