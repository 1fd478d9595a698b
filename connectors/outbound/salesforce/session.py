"""The session: where it comes from, where it may be sent, and its one renewal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bridge.contract.outbound import NeedsOperator, Outcome, TryLater
from bridge.kit.http import Answer, Http
from bridge.kit.masking import mask_text
from bridge.kit.tokens import TokenKeeper
from connectors.outbound.salesforce.settings import SalesforceSettings

LIMIT_PAUSE = 300.0
"""Seconds to wait at a limit: the vendor names none; one of concurrency clears within minutes."""


class NoSession(Exception):
    """There is no session to be had; ``outcome`` says what follows for everything that needed it."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep the outcome."""
        super().__init__()
        self.outcome = outcome


class Session:
    """Calls the REST API of one org."""

    def __init__(self, settings: SalesforceSettings, http: Http) -> None:
        """Log in with the first call, not yet."""
        self._settings = settings
        self._http = http
        self._keeper = TokenKeeper(self._log_in)
        self._instance = ""

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Call ``path`` below ``/services/data/vXX``; a refused session is renewed and the call repeated, once.

        Raises:
            NoSession: the token endpoint gave none; the call had no effect.
            TransportFault: no answer came back.
        """
        token = await self._keeper.token()
        answer = await self._send(method, path, body, token)
        if answer.status == 401:
            answer = await self._send(method, path, body, await self._keeper.renewed(token))
        return answer

    async def _send(self, method: str, path: str, body: Any, token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        if self._settings.duplicates == "allow":
            headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        address = f"{self._instance}/services/data/v{self._settings.api_version}{path}"
        return await self._http.send(method, address, json=body, headers=headers)

    async def _log_in(self) -> str:
        secret = self._settings.client_secret.get_secret_value()
        form = {"grant_type": "client_credentials", "client_id": self._settings.client_id, "client_secret": secret}
        answer = await self._http.send("POST", "/services/oauth2/token", form=form)
        said = answer.json if isinstance(answer.json, dict) else {}
        token = said.get("access_token")
        if not answer.ok or not isinstance(token, str) or not token:
            raise NoSession(_no_token(answer, said))
        instance = _origin(str(said.get("instance_url") or ""), self._http.base_url)
        if instance is None:
            raise NoSession(
                NeedsOperator(
                    "log in: the token answer names an instance_url that is not safe to send the session to",
                    "Set base_url to the org's My Domain address, then resume the lane.",
                    "lane",
                )
            )
        self._instance = instance
        return token


def _origin(instance_url: str, base_url: str) -> str | None:
    """Return where the API is: https anywhere, or plain http where the operator's own address is that very one."""
    try:
        there, ours = urlsplit(instance_url), urlsplit(base_url)
        _ = there.port  # reading it is what checks it
    except ValueError:
        return None
    ours_too = (there.scheme, there.netloc.casefold()) == ("http", ours.netloc.casefold()) and ours.scheme == "http"
    if not there.hostname or "@" in there.netloc or not (there.scheme == "https" or ours_too):
        return None
    return f"{there.scheme}://{there.netloc}"


def _no_token(answer: Answer, said: Mapping[str, Any]) -> Outcome:
    error = str(said.get("error") or "")
    parts = [f"HTTP {answer.status}", error, str(said.get("error_description") or "")]
    why = "log in: " + ", ".join(mask_text(part)[:200] for part in parts if part)
    if error == "rate_limit_exceeded" or answer.status == 429:
        return TryLater(why, answer.retry_after or LIMIT_PAUSE, scope="lane", cause="throttled")
    if answer.ok or answer.status in (408, 420, 425) or answer.status >= 500:
        return TryLater(why, answer.retry_after, cause="outage")
    return NeedsOperator(why, "Correct client_id, client_secret, base_url or the app's run-as user.", "lane")
