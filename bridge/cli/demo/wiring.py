"""The configuration of the demo: what an operator would write, with emulators for targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bridge.edge.console.passwords import hashed
from bridge.kit.sandbox import Emulator

AMS_KEY = "demo-ams-key"
CHECKOUT_SECRET = "67e2c0"  # noqa: S105 - the one of the vendor's example address; it opens nothing but the demo

CONSOLE_USER, CONSOLE_PASSWORD = "demo", "demo-of-the-console"

TARGETS: Mapping[str, str] = {
    "academy": "academy_of_mine",
    "elevate": "elevate",
    "hubspot": "hubspot",
    "salesforce": "salesforce",
    "mailchimp": "mailchimp",
}
"""Target's name -> its connector, which is its emulator's type too."""

_HEAD = """\
# Written by `bridge demo`; gone when the demo ends.
[server]
port = {port}

[ledger]
url = {ledger}

[dispatch]                        # short pauses, so that an outage fits into a demo
retry = ["500ms", "1s"]
jitter = 0
breaker_failures = 3
breaker_probe = "1s"
breaker_probe_max = "1s"

[console.users.{user}]              # who may log in at /console/
password = {password}
role = "operator"

[sources.ams]                     # an association's AMS, by the Elevate Registration API
adapter = "elevate"
api_key = "{ams_key}"
namespace = "members"

[sources.checkout]                # a payment system, by the 10XPRO custom API
adapter = "tenxpro"
secret = "{checkout_secret}"
"""

_MAPPING = """
[targets.hubspot.contact]
firstname = "{learner.first_name}"
lastname = "{learner.last_name}"
last_course = "{course.title}"
last_course_state = "{registration.state}"

[courses.intro-ce]
title = "Introduction to Continuing Education"
product_url = "https://school.example.org/courses/intro-ce?force_login=1"
registration_url = "https://ams.example.org/cart/add?product=ABCD1234"
academy = { course_id = 42 }
mailchimp = { tags = ["ce"] }

[courses.ethics]
title = "Professional Ethics"
product_url = "https://campus.example.org/products/ethics?force_login=1"
elevate = { remote_product_id = "ETHICS-1" }
mailchimp = { tags = ["ethics"] }

[courses.forum]
title = "Members' Forum"
product_url = "https://campus.example.org/products/forum?force_login=1"
elevate = { remote_product_id = "FORUM-5" }
mailchimp = { tags = ["forum"] }

[[products]]
source = "ams"
remote_product_id = "ABCD1234"
courses = ["intro-ce"]

[[products]]
source = "ams"
remote_product_id = "ETHICS"
courses = ["ethics"]

[[products]]
source = "checkout"
remote_product_id = "3"
courses = ["intro-ce"]

[[products]]
source = "checkout"
remote_product_id = "4"
courses = ["ethics"]

[[products]]
source = "checkout"
remote_product_id = "bundle:9"
courses = ["intro-ce", "ethics"]

[[products]]
source = "checkout"
remote_product_id = "forum:5"
courses = ["forum"]
"""


def configuration(port: int, ledger: Path, emulators: Mapping[str, Emulator]) -> str:
    """Return the file's text. ``emulators`` run already, by the target's name; ``port`` 0 takes a free one."""
    head = _HEAD.format(
        port=port,
        ledger=json.dumps(f"sqlite:///{ledger}"),
        ams_key=AMS_KEY,
        checkout_secret=CHECKOUT_SECRET,
        user=CONSOLE_USER,
        password=json.dumps(hashed(CONSOLE_PASSWORD)),
    )
    return head + "".join(_target(name, emulator) for name, emulator in emulators.items()) + _MAPPING


def _target(name: str, emulator: Emulator) -> str:
    settings = {"connector": TARGETS[name], "base_url": emulator.base_url, **emulator.credentials}
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    return f"\n[targets.{name}]\n{lines}"
