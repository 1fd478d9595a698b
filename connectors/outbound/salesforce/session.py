"""The session: its one renewal, and how much of the org's day it may use."""

from __future__ import annotations

import re
from typing import Any

from bridge.contract.outbound import TryLater
from bridge.kit.clock import Clock
from bridge.kit.http import Answer, Http
from bridge.kit.tokens import TokenKeeper
from connectors.outbound.salesforce.login import SHORT_PAUSE, Login
from connectors.outbound.salesforce.settings import SalesforceSettings

_PARKED = 900.0  # seconds between two looks at a day that is nearly used up: it rolls, and frees requests all the time
_SPENT_PAUSE = 3_600.0  # the whole day is used up
_USAGE = re.compile(r"(?:^|[;\s])((?:per-app-)?api-usage)=(\d{1,15})/(\d{1,15})")


class Session:
    """Calls the REST API of one org."""

    def __init__(self, settings: SalesforceSettings, http: Http, clock: Clock) -> None:
        """Log in with the first call, not yet."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._login = Login(settings, http, clock)
        self._keeper = TokenKeeper(self._log_in)
        self._instance = ""
        self._root = f"/services/data/v{settings.api_version}"
        self._usage: tuple[int, int] | None = None
        self._parked_until = 0.0

    @property
    def parked(self) -> TryLater | None:
        """Say how long to leave the rest of the day to the org's other programs; None: go on.

        After each pause one delivery goes through and learns how things stand: the bridge slows down, and never stops.
        """
        left = self._parked_until - self._clock.monotonic()
        if left <= 0 or self._usage is None:
            return None
        used, most = self._usage
        why = f"{used} of {most} API requests of the day are used, and the bridge stops at {self._settings.stop_at} %"
        return TryLater(why, left, scope="lane", cause="throttled")

    @property
    def spent_pause(self) -> float:
        """Seconds to wait after a refusal for a limit: the day's takes hours to clear, that of concurrency minutes."""
        used, most = self._usage or (0, 1)
        return _SPENT_PAUSE if used >= most else SHORT_PAUSE

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

    def below(self, address: str) -> str:
        """Return a path of an answer (``/services/data/v60.0/query/01g...``) as :meth:`call` takes it."""
        return address.removeprefix(self._root)

    async def _send(self, method: str, path: str, body: Any, token: str) -> Answer:
        headers = {"Authorization": f"Bearer {token}"}
        if self._settings.duplicates == "allow":
            headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        answer = await self._http.send(method, f"{self._instance}{self._root}{path}", json=body, headers=headers)
        self._learn(answer.headers.get("Sforce-Limit-Info", ""))
        return answer

    def _learn(self, info: str) -> None:
        """Note the day's usage: the org's, or the app's own where that is nearer to its end.

        It is no :class:`Rate` of the lane: a window of a day would hold back requests that are under way already.
        """
        seen = [(int(used), int(most)) for _, used, most in _USAGE.findall(info) if int(most)]
        if not seen:
            return
        self._usage = used, most = max(seen, key=lambda one: one[0] / one[1])
        over = used * 100 >= most * self._settings.stop_at
        self._parked_until = self._clock.monotonic() + _PARKED if over else 0.0

    async def _log_in(self) -> str:
        granted = await self._login.granted()
        self._instance = granted.instance
        return granted.token
