"""An OpenID provider on loopback that signs for real, is strict where the standards are, and fails when told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from bridge.edge.openid.terms import Terms
from tests.acceptance.console_rig import USERS, Browser, Page, console
from tests.acceptance.rig import emulators, free_port

CLIENT, SECRET = "registration-bridge", "client secret/for+tests"
ADA = {"sub": "u-1", "email": "ada@example.org", "email_verified": True, "groups": ["staff", "bridge-operators"]}
VIC = {"sub": "u-2", "email": "vic@example.org", "email_verified": True, "groups": ["bridge-viewers"]}
EVE = {"sub": "u-3", "email": "eve@example.org", "email_verified": True, "groups": ["staff"]}


@cache
def private_key(kind: str, name: str) -> Any:
    """Make a key of a kind once a process; another name is another key."""
    if kind == "EC":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "OKP":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65_537, key_size=1_024 if name == "short" else 2_048)


KINDS = {"RS256": "RSA", "PS256": "RSA", "RS384": "RSA", "ES256": "EC", "EdDSA": "OKP"}


def published(alg: str, name: str = "one", /, **more: str) -> dict[str, Any]:
    """Return a public key as providers publish it."""
    shown = get_default_algorithms()[alg].to_jwk(private_key(KINDS[alg], name).public_key(), as_dict=True)
    shown.pop("key_ops", None)
    return {**shown, "kid": name, "use": "sig", **more}


def signed(claims: dict[str, Any], alg: str = "ES256", name: str = "one", **header: Any) -> str:
    """Return an ID token."""
    return jwt.encode(claims, private_key(KINDS[alg], name), alg, headers={"kid": name, **header})


def said_of(issuer: str, nonce: str, /, **changes: Any) -> dict[str, Any]:
    """Return the claims of a token that is as it has to be; None takes one away."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": nonce, **ADA, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def terms(issuer: str, **changes: Any) -> Terms:
    """Return what was agreed on with a provider."""
    agreed = {
        "issuer": issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uri": "https://bridge.example.org/console/openid/callback",
        "scopes": ("openid", "email"),
        "name_claim": "email",
        "role_claim": "groups",
        "operators": frozenset({"bridge-operators"}),
        "viewers": frozenset({"bridge-viewers"}),
        "label": "Log in",
        "session": 3_600_000,
    }
    return Terms(**{**agreed, **changes})


class Provider:
    """The provider.

    Attributes:
        person: who sits at the browser: what the provider says of them.
        key: algorithm and name of the key that it signs with; ``keys``: those that it publishes.
        changes: what is different in the discovery document; None takes something away.
        faults: path -> (status, body), or seconds to wait.
        spoil: changes the claims of a token before it is signed.
        asked: path of every request.
        ended: what browsers said that ended their session there.
    """

    def __init__(self) -> None:
        self.person = ADA
        self.key = ("ES256", "one")
        self.keys = [published("ES256")]
        self.changes: dict[str, Any] = {}
        self.faults: dict[str, tuple[int, bytes] | float] = {}
        self.spoil: Callable[[dict[str, Any]], dict[str, Any]] = dict
        self.asked: list[str] = []
        self.ended: list[dict[str, str]] = []
        self.redirect_uri = "https://bridge.example.org/console/openid/callback"
        self.codes: dict[str, dict[str, str]] = {}
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def issuer(self) -> str:
        """Another host than the bridge's for a browser, so that its cookies meet another site."""
        return f"http://localhost:{self.port}/realms/staff"

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._faulty])
        base = "/realms/staff"
        app.router.add_get(f"{base}/.well-known/openid-configuration", self._discovery)
        app.router.add_get(f"{base}/keys", self._keys)
        app.router.add_get(f"{base}/authorize", self._authorize)
        app.router.add_post(f"{base}/decide", self._decide)
        app.router.add_post(f"{base}/token", self._token)
        app.router.add_get(f"{base}/logout", self._log_out)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def count(self, path: str) -> int:
        return sum(one.endswith(path) for one in self.asked)

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        match self.faults.get(request.path.rpartition("/")[2]):
            case (status, body):
                headers = {"Location": self.issuer} if 300 <= status < 400 else None
                return web.Response(status=status, body=body, content_type="application/json", headers=headers)
            case float(seconds):
                await asyncio.sleep(seconds)
        return await handler(request)

    async def _discovery(self, _: web.Request) -> web.Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["plain", "S256"],
            **self.changes,
        }
        return web.json_response({name: value for name, value in said.items() if value is not None})

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        fits = (
            asked["response_type"] == "code"
            and asked["client_id"] == CLIENT
            and asked["redirect_uri"] == self.redirect_uri
            and "openid" in asked["scope"].split()
            and asked["code_challenge_method"] == "S256"
        )
        if not fits:
            return web.Response(status=400, text="this client is not known")
        hidden = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in asked.items())
        form = f'<form method="post" action="decide">{hidden}<button name="is" value="yes">Continue</button>'
        text = f'<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Provider</title><main>{form}</form></main></html>'
        return web.Response(text=text, content_type="text/html")

    async def _decide(self, request: web.Request) -> web.Response:
        asked = dict(await request.post())
        back = {"state": asked["state"]}
        if asked["is"] == "yes":
            code = secrets.token_urlsafe(16)
            self.codes[code] = {**asked, "person": json.dumps(self.person)}
            back["code"] = code
        else:
            back["error"] = asked["is"]
        if self.changes.get("authorization_response_iss_parameter_supported"):
            back["iss"] = self.issuer
        return web.Response(status=302, headers={"Location": f"{self.redirect_uri}?{urlencode(back)}"})

    async def _log_out(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        there = self.redirect_uri.replace("/openid/callback", "/login")
        if asked["client_id"] != CLIENT or asked["post_logout_redirect_uri"] != there:
            return web.Response(status=400, text="this client is not known")
        if hint := asked.pop("id_token_hint", ""):
            alg, name = self.key
            key = private_key(KINDS[alg], name).public_key()
            asked["sub"] = jwt.decode(hint, key, [alg], audience=CLIENT, issuer=self.issuer)["sub"]
        self.ended.append(asked)
        return web.Response(status=302, headers={"Location": there})

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        given = form.get("client_secret"), form.get("client_id")
        if self.changes.get("token_endpoint_auth_methods_supported") != ["client_secret_post"]:
            scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
            name, _, word = base64.b64decode(pair).decode().partition(":")
            given = (unquote_plus(word), unquote_plus(name)) if scheme == "Basic" else (None, None)
        if given != (SECRET, CLIENT):
            return web.json_response({"error": "invalid_client"}, status=401)
        kept = self.codes.pop(form["code"], None)  # a code counts once
        verifier = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        if kept is None or kept["code_challenge"] != verifier or kept["redirect_uri"] != form["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = self.spoil(said_of(self.issuer, kept["nonce"], **json.loads(kept["person"])))
        alg, name = self.key
        token = signed(claims, alg, name)
        return web.json_response({"access_token": "at", "token_type": "Bearer", "id_token": token})


@asynccontextmanager
async def provider():
    """Start a provider."""
    found = Provider()
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


def section(found: Provider, **more: str) -> str:
    """Return the table of the configuration that names a provider; values are TOML."""
    given = {
        "issuer": f'"{found.issuer}"',
        "client_id": f'"{CLIENT}"',
        "client_secret": f'"{SECRET}"',
        "role_claim": '"groups"',
        "operators": '"bridge-operators"',
        "viewers": '["bridge-viewers"]',
        "label": '"Log in with Example"',
        **more,
    }
    return "\n[admin.openid]\n" + "".join(f"{name} = {value}\n" for name, value in given.items())


@asynccontextmanager
async def with_provider(folder, users: str = USERS, server: str = "", **more: str):
    """Run a bridge whose console knows a provider; yields (provider, bridge, browser)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with emulators("elevate") as targets, provider() as found:
        found.redirect_uri = f"{url}/console/openid/callback"
        extra = section(found, console_url=f'"{url}"', **more)
        async with console(folder, targets, extra, users, server, port) as (bridge, _, browser):
            yield found, bridge, browser


async def sent_back(browser: Browser, start: str = "/console/openid", *, decision: str = "yes") -> str:
    """Go to the provider and decide there; return path and query of the address that it sends the browser back to."""
    return await decided(browser, (await browser.opens(start, follow=False)).headers["Location"], decision)


async def decided(browser: Browser, there: str, decision: str = "yes") -> str:
    """Decide at the provider, at an address that it is to be asked at; return path and query to come back by."""
    async with browser.session.get(there) as answer:
        assert answer.status == 200, await answer.text()
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', await answer.text()))
    decide = urlsplit(there)._replace(path="/realms/staff/decide", query="").geturl()
    async with browser.session.post(decide, data={**fields, "is": decision}, allow_redirects=False) as answer:
        back = urlsplit(answer.headers["Location"])
    return f"{back.path}?{back.query}"


async def signs_in(browser: Browser, start: str = "/console/openid", *, decision: str = "yes") -> Page:
    """Log in at the provider; return the page that follows."""
    return await browser.opens(await sent_back(browser, start, decision=decision))


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
