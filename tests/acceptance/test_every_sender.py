"""Every adapter at the real edge at once: whatever is posted to whichever address, nothing is a 500 and nobody is shut out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.app import Bridge
from bridge.cli import example
from bridge.contract.settings import CallsOut
from bridge.registry import Registry, adapter_class
from config.load import load
from tests.suites.inbound import ANY_JSON, ANY_TEXT, HOSTILE_JSON

ALLOWED = {200, 400, 401, 404, 405, 413, 422, 503}
SECRET = "whsec_bWFkZS11cC1zZWNyZXQtb2YtMjQtYnl0"
NOWHERE = "http://127.0.0.1:9"


def _configured(tmp_path) -> Any:
    """Settings with a source of every kind, all with one secret, none of which can call anybody but this machine."""
    text = re.sub(r"^#(?=\S)", "", "\n".join(example.sources()), flags=re.MULTILINE)
    path = tmp_path / "bridge.toml"
    path.write_text(f'[server]\nport = 0\nmax_body = "64KiB"\n[ledger]\nurl = "sqlite:///{tmp_path}/bridge.db"\n{text}')
    names = re.findall(r"\$\{([A-Z][A-Z0-9_]*)\}", text)
    # Of the adapters with fixed addresses each needs a key of its own; any text of the right form does.
    given_to = {name: SECRET if name.endswith("SIGNING_SECRETS") else f"{SECRET}{n}" for n, name in enumerate(names)}
    found = load(path, Registry(), given_to).settings
    sources = {}
    for name, source in found.sources.items():
        update = {"base_url": NOWHERE} if isinstance(source, CallsOut) else {}
        update |= {field: NOWHERE for field in ("token_url", "ipn_url") if hasattr(source, field)}
        sources[name] = source.model_copy(update=update)
    return found.model_copy(update={"sources": sources})


@dataclass
class Everybody:
    """A bridge that takes calls of every sender."""

    bridge: Bridge
    session: aiohttp.ClientSession

    async def send(self, method: str, path: str, **what: Any) -> int:
        url = f"http://127.0.0.1:{self.bridge.port}{path}"
        async with self.session.request(method, url, allow_redirects=False, **what) as answer:
            await answer.read()
            return answer.status


@pytest.fixture
async def everybody(tmp_path):
    async with aiohttp.ClientSession() as session:
        bridge = Bridge(_configured(tmp_path))
        await bridge.start()
        yield Everybody(bridge, session)
        await bridge.stop()


def _bodies() -> st.SearchStrategy[bytes]:
    forms = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=6).map(
        lambda form: repr(form).encode("utf-8", "surrogatepass")
    )
    return (
        st.binary(max_size=300)
        | st.sampled_from(HOSTILE_JSON)
        | forms
        | ANY_JSON.map(lambda value: repr(value).encode("utf-8", "surrogatepass"))
    )


def _drawn() -> list[bytes]:
    bodies: list[bytes] = []

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(body=_bodies())
    def draw(body: bytes) -> None:
        bodies.append(body)

    draw()
    return bodies


async def test_whatever_is_posted_is_answered_in_the_senders_terms(everybody: Everybody) -> None:
    """With and without the secret in the address; and then the probe still says that the bridge is well."""
    bodies = _drawn()
    for name in Registry().adapters():
        secret = _secrets(everybody.bridge.settings.sources[name])[0].get_secret_value()
        paths = [f"/in/{name}", *(route.path for route in adapter_class(name).routes)]
        for turn, body in enumerate(bodies):
            query = {} if turn % 2 else {"secret": secret, "token": secret, "event": "new_order"}
            content = ("application/json", "application/x-www-form-urlencoded", "text/xml")[turn % 3]
            for path in paths:
                status = await everybody.send("POST", path, data=body, params=query, headers={"Content-Type": content})
                assert status in ALLOWED, (name, status, body)
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            assert await everybody.send(method, paths[0]) in ALLOWED, (name, method)
    assert await everybody.send("GET", "/readyz") == 200


def _secrets(source: Any) -> list[Any]:
    found = [value for field in dict(source).values() for value in (field if isinstance(field, tuple) else [field])]
    return [value for value in found if hasattr(value, "get_secret_value")] or [_Plain()]


class _Plain:
    """Stands in where the secrets are in a table of their own."""

    @staticmethod
    def get_secret_value() -> str:
        return SECRET
