"""What kind of credential a setting holds, and what of the settings is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.app.credentials import Credential, credentials_of, held
from bridge.ledger.credentials import fingerprint
from bridge.registry import Registry
from config.load import load
from config.settings import Settings

FILE = """
[sources.hmac]
adapter = "generic"
verify = { scheme = "hmac", header = "X-Sign", secret = ["new", "old"] }
fields = { action = "'enroll'", event_key = "id", learner = { email = "email" }, items = { remote_product_id = "sku" } }

[sources.pay]
adapter = "stripe"
signing_secrets = ["whsec_bmV3", "whsec_b2xk"]
api_key = "sk"

[sources.pal]
adapter = "paypal"
webhook_id = "wh"
client_id = "id"
client_secret = "cs"

[targets.crm]
connector = "salesforce"
base_url = "https://x.my.salesforce.com"
client_id = "id"
client_secret = "sf"

[targets.blog]
connector = "learndash"
base_url = "https://blog.example.org"
username = "u"
application_password = "ap"

[mailer]
url = "smtp://me:mail-pass-9@mail.example.org"
sender = "courses@example.org"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "bridge.toml"
    path.write_text(FILE)
    return load(path, Registry(), env={}).settings


def told(found: list[Credential]) -> list[tuple[str, str, int]]:
    return [(one.held.field, one.kind, one.place) for one in found]


@pytest.mark.parametrize(
    ("holder", "name", "expected"),
    [
        ("source", "hmac", [("verify.secret", "signing secret", 1), ("verify.secret", "signing secret", 2)]),
        (
            "source",
            "pay",
            [
                ("signing_secrets", "signing secret", 1),
                ("signing_secrets", "signing secret", 2),
                ("api_key", "API key", 0),
            ],
        ),
        ("target", "crm", [("client_secret", "OAuth client secret", 0)]),
        ("target", "blog", [("application_password", "application password", 0)]),
        ("target", "mailer", [("url", "password", 0)]),
        ("target", "nobody", []),
    ],
)
def test_kinds_are_in_words(settings: Settings, holder, name: str, expected: list) -> None:
    """By the setting's name, a signature's by its scheme; lists have places, and a password in an address is one."""
    assert told(credentials_of(settings, holder, name)) == expected


def test_all_of_them_are_told_and_no_value_is(settings: Settings) -> None:
    """Each source and target, by fingerprints."""
    found = list(held(settings))
    assert {(one.holder, one.name) for one in found} == {
        *(("source", name) for name in settings.sources),
        *(("target", name) for name in [*settings.targets, "mailer"]),
    }
    assert fingerprint("sf") in {one.fingerprint for one in found}
    for value in ("whsec_bmV3", "mail-pass-9", "'sk'", "'cs'"):
        assert value not in str(found)
