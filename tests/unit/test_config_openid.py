"""``[admin.openid]`` in the file: what is taken, and what is refused word by word."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bridge.app.mapping import report_of
from bridge.app.openid import redirect_uri, terms_of
from tests.unit.config_types import loaded, refusal, warned

SERVER = '[server]\npublic_url = "https://bridge.example.org/"\n'
GIVEN = {
    "issuer": '"https://login.example.org/realms/staff"',
    "client_id": '"bridge"',
    "client_secret": '"${SECRET}"',
    "role_claim": '"groups"',
    "operators": '["ops"]',
}
SECRET = "a-secret-of-the-client"


def _table(**changes: str | None) -> str:
    given = {**GIVEN, **changes}
    return "[admin.openid]\n" + "".join(f"{name} = {value}\n" for name, value in given.items() if value is not None)


def test_a_full_section_becomes_terms(tmp_path) -> None:
    """The address to come back to begins with the public one; nothing shows the secret."""
    settings = loaded(tmp_path, SERVER + _table(viewers='"staff"', session='"8h"'), SECRET=SECRET).settings
    given = settings.admin.openid
    assert (given.passwords, given.name_claim, given.session) == (True, "email", timedelta(hours=8))
    terms = terms_of(settings)
    assert terms.redirect_uri == "https://bridge.example.org/console/openid/callback"
    assert (terms.client_secret, terms.session) == (SECRET, 8 * 3_600_000)
    assert (terms.operators, terms.viewers) == ({"ops"}, {"staff"})
    assert SECRET not in repr(settings.admin)
    assert SECRET not in repr(terms)


@pytest.mark.parametrize(
    ("head", "changes", "url"),
    [
        (SERVER, {"console_url": '"https://ops.example.org"'}, "https://ops.example.org"),
        ("[admin]\nport = 9090\n", {"console_url": '"http://127.0.0.1:9090/"'}, "http://127.0.0.1:9090"),
        (
            "",
            {"console_url": '"http://localhost:8080"', "issuer": '"http://localhost:9/realms/a"'},
            "http://localhost:8080",
        ),
    ],
)
def test_where_the_console_is(tmp_path, head: str, changes: dict, url: str) -> None:
    """Its own address counts more than the server's, which says nothing of a listener of its own."""
    settings = loaded(tmp_path, head + _table(**changes), SECRET=SECRET).settings
    assert redirect_uri(settings) == f"{url}/console/openid/callback"
    assert report_of(settings, ())["openid"]["redirect_uri"] == redirect_uri(settings)


def test_warnings(tmp_path) -> None:
    """A secret in the file, and a console that is reached in clear."""
    changes = {"client_secret": '"in-the-file"', "console_url": '"http://bridge.example.org"'}
    said = [one for one in warned(tmp_path, _table(**changes)) if "admin" in one]
    assert [one.partition(": ")[2].partition(";")[0] for one in said] == [
        "admin.openid.client_secret: a secret in clear text",
        "admin.openid.console_url: the console is reached in clear",
    ]


FAULTS = [
    ("", {"issuer": None}, "admin.openid.issuer: missing; it is required"),
    ("", {"issuer": '"login"'}, 'admin.openid.issuer: expected an address such as "https://example.org"'),
    (
        "",
        {"issuer": '"http://login.example.org"'},
        "admin.openid.issuer: expected https://, or http:// on this machine",
    ),
    (
        "",
        {"issuer": '"https://login.example.org/?a=b"'},
        'admin.openid.issuer: expected an address such as "https://login',
    ),
    ("", {"client_id": '""'}, "admin.openid.client_id: expected text of at least 1 character"),
    ("", {"client_secret": '""'}, "admin.openid.client_secret: expected text of at least 1 character"),
    ("", {"client_secret": '"${GONE}"'}, "admin.openid.client_secret: the environment variable GONE is not set"),
    ("", {"role_claim": None}, "admin.openid.role_claim: missing; it is required"),
    ("", {"operators": None}, "admin.openid: expected operators, viewers or both: without them nobody gets in"),
    ("", {"operators": "[]"}, "admin.openid: expected operators, viewers or both: without them nobody gets in"),
    ("", {"operators": '[""]'}, "admin.openid.operators[0]: expected text of at least 1 character"),
    ("", {"scopes": '["email"]'}, 'admin.openid.scopes: expected "openid" among them'),
    ("", {"scopes": '["openid email"]'}, "admin.openid.scopes: expected each scope as a text of its own"),
    ("", {"session": '"13h"'}, 'admin.openid.session: expected a time from "1min" to "12h"'),
    ("", {"session": '"59s"'}, 'admin.openid.session: expected a time from "1min" to "12h"'),
    ("", {"label": '""'}, "admin.openid.label: expected text of at least 1 character"),
    ("", {"console_url": '"https://a.example/x"'}, "admin.openid.console_url: expected scheme, host and port only"),
    ("", {"isuer": '"x"'}, "admin.openid.isuer: unknown key; did you mean 'issuer'?"),
    ("", {"passwords": '"maybe"'}, "admin.openid.passwords: expected true or false, got text"),
    ("none", {}, "admin.openid.console_url: missing; so is [server] public_url, which would do"),
    (
        f"{SERVER}[admin]\nport = 9090\n",
        {},
        "admin.openid.console_url: missing; [admin] port moves the console away from [server] public_url",
    ),
]


@pytest.mark.parametrize(("head", "changes", "fault"), FAULTS)
def test_each_fault_is_said(tmp_path, head: str, changes: dict, fault: str) -> None:
    """The operator reads what was expected, and no secret."""
    lines = refusal(tmp_path, ("" if head == "none" else head or SERVER) + _table(**changes), SECRET=SECRET)
    found = "\n".join(lines)
    assert fault in found, found
    assert SECRET not in found
