"""``[alerts]`` in the file: what is taken, and what is refused word by word."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from bridge.app.alerting import alert_policy, channels_of
from bridge.contract.alerts import AlertKind
from bridge.kit.clock import SystemClock
from bridge.kit.http import open_session
from tests.unit.config_types import loaded, refusal, warned

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
MAILER = '[mailer]\nurl = "smtp://u:${PASS}@mail.example.org"\nsender = "courses@example.org"\n'
FULL = f"""{MAILER}
[alerts]
mail = ["ops@example.org", "boss@example.org"]
slack = "${{SLACK}}"
webhook = {{ url = "${{HOOK}}", secret = "${{SECRET}}" }}
mute = ["early"]
remind = "6h"
quiet_after = "2h"
disk_free = "500MB"
digest = "07:30"
digest_zone = "Europe/Berlin"
"""
ENV = {
    "SLACK": "https://hooks.slack.example/services/T0/secret-path",
    "HOOK": "https://h.example/x",
    "SECRET": SECRET,
    "PASS": "mail-password",
}

FAULTS = [
    ('slack = "hooks"', '2: alerts.slack: expected an address such as "https://example.org"'),
    ('mail = "ops"\n' + MAILER, '2: alerts.mail: expected a mail address such as "ops@example.org"'),
    ('mail = "ops@example.org"', "2: alerts.mail: goes with [mailer], which says how mail is sent"),
    ('digest = "7.30"', '2: alerts.digest: expected a time of day such as "07:30"'),
    ('digest = "25:00"', '2: alerts.digest: expected a time of day such as "07:30"'),
    (
        'digest_zone = "Europe/Nowhere"',
        '2: alerts.digest_zone: expected the name of a time zone, such as "Europe/Berlin"',
    ),
    ('settled = "0s"', "2: alerts.settled: expected more than 0 seconds"),
    ('disk_free = "much"', '2: alerts.disk_free: expected a size such as "1MiB" or "500KB"'),
    (
        'webhook = { url = "https://h.example", secret = "${SHORT}" }',
        '2: alerts.webhook.secret: expected base64 of 24 to 64 bytes, as in "whsec_..."; make one with: openssl rand -base64 32',
    ),
    ('remnid = "1h"', "2: alerts.remnid: unknown key; did you mean 'remind'?"),
]


async def test_a_full_section_becomes_thresholds_and_channels(tmp_path) -> None:
    """Each channel that is named is there, and the job goes by what the operator wrote."""
    found = loaded(tmp_path, FULL, **ENV)
    policy = alert_policy(found.settings)
    assert policy.mute == {AlertKind.EARLY}
    assert (policy.remind, policy.quiet, policy.disk_free) == (timedelta(hours=6), timedelta(hours=2), 500_000_000)
    assert policy.digest == time(7, 30)
    assert str(policy.digest_zone) == "Europe/Berlin"
    async with open_session() as session:
        channels = channels_of(found.settings, session, SystemClock())
    assert [channel.name for channel in channels] == ["mail", "slack", "webhook"]


def test_no_secret_shows(tmp_path) -> None:
    """Neither the address of a Slack webhook nor the signing secret stands in what is printed of the settings."""
    shown = repr(loaded(tmp_path, FULL, **ENV).settings.alerts)
    assert "secret-path" not in shown
    assert SECRET not in shown
    assert "h.example" not in shown


def test_a_secret_in_clear_is_warned_of(tmp_path) -> None:
    """It belongs into the environment or a file of its own."""
    said = warned(tmp_path, '[alerts]\nslack = "https://hooks.example.org/T0/x"')
    assert any(one.startswith("2: alerts.slack: a secret in clear text") for one in said)


def test_a_section_without_a_channel_is_warned_of(tmp_path) -> None:
    """Nobody would be told."""
    said = warned(tmp_path, '[alerts]\nremind = "1h"')
    assert "1: alerts: names no channel: give it mail, slack or webhook, or nobody is told" in said


def test_an_address_in_clear_is_warned_of(tmp_path) -> None:
    """A webhook's address is a secret; on this machine nobody listens in."""
    said = warned(
        tmp_path,
        '[alerts]\nslack = "${A}"\nwebhook = { url = "${B}", secret = "${SECRET}" }',
        A="http://chat.example.org/x",
        B="http://127.0.0.1:9/x",
        SECRET=SECRET,
    )
    assert [one for one in said if "in clear" in one] == [
        "2: alerts.slack: goes over the network in clear; write https://"
    ]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_each_fault_is_said_with_its_line(tmp_path, text: str, fault: str) -> None:
    """The operator finds the place and reads what was expected."""
    found = refusal(tmp_path, f"[alerts]\n{text}", SHORT="whsec_c2hvcnQ=", PASS="x")
    assert f"bridge.toml:{fault}" in found, found
