"""A rehearsal of an operator's own file: courses, properties and fields that no emulator has heard of."""

from __future__ import annotations

import orjson

from bridge.registry import Registry
from tests.acceptance.cli_rig import asked

FILE = """
[ledger]
url = "sqlite:///{folder}/bridge.db"

[sources.ams]
adapter = "elevate"
api_key = "ams-key-for-tests"

{targets}

[courses.intro]
title = "Introduction"
{tables}

[[products]]
source = "ams"
remote_product_id = "A"
courses = ["intro"]
"""
SALESFORCE = """
base_url = "https://s.example.org"
client_id = "c"
client_secret = "s"
contact = { external_id = "Ours__c", Nick__c = "{learner.first_name}" }
registration = { object = "Ours__c", external_id = "Key__c", contact = "Person__c", Title__c = "{course.title}" }
"""
TARGETS = {
    "academy_of_mine": ('base_url = "https://a.example.org"\napi_key = "k"', "{ course_id = 7001 }"),
    "canvas": (
        'base_url = "https://c.example.org"\ntoken = "t"',
        '{ course_id = 7002, section_id = "sis_section_id:S-9", role_id = 77 }',
    ),
    "hubspot": (
        'token = "t"\ncontact = { our_own = "{learner.first_name}" }\ndeal = { dealname = "{course.title}", our_deal = "x" }',
        "",
    ),
    "learndash": (
        'base_url = "https://l.example.org"\nusername = "u"\napplication_password = "p"',
        "{ course_id = 7003 }",
    ),
    "mailchimp": ('api_key = "k-us19"\nlist_id = "ours"\nmerge_fields = { OURS = "{course.title}" }', ""),
    "moodle": ('base_url = "https://m.example.org"\ntoken = "t"', "{ course_id = 7004 }"),
    "openedx": (
        'base_url = "https://o.example.org"\nclient_id = "c"\nclient_secret = "s"',
        '{ course_id = "course-v1:Ours+X+1" }',
    ),
    "salesforce": (SALESFORCE, ""),
    "teachable": ('api_key = "k"', "{ course_id = 7005 }"),
    "thinkific": ('api_key = "k"\nsubdomain = "ours"', "{ course_id = 7006 }"),
}


async def test_every_target_of_an_operators_file_is_rehearsed_to_the_end(tmp_path) -> None:
    """Nothing is refused because an emulator does not know what only the real target can know."""
    sections = "\n".join(f'[targets.{name}]\nconnector = "{name}"\n{given}\n' for name, (given, _) in TARGETS.items())
    tables = "\n".join(f"{name} = {table}" for name, (_, table) in TARGETS.items() if table)
    path = tmp_path / "bridge.toml"
    text = FILE.replace("{folder}", str(tmp_path)).replace("{targets}", sections).replace("{tables}", tables)
    path.write_text(text)
    body = tmp_path / "body.json"
    body.write_bytes(
        orjson.dumps(
            {
                "api_key": "ams-key-for-tests",
                "remote_user_id": "1",
                "firstname": "Ada",
                "lastname": "Lovelace",
                "email": "ada@example.org",
                "remote_product_id": "A",
                "amount_paid": "10.00",
            }
        )
    )
    assert set(TARGETS) <= set(Registry().connectors())
    said = await asked("rehearse", body, "--source", "ams", "--path", "/api/registrations", "--config", path, "--json")
    assert said.code == 0, said.err
    found = {delivery["target"]: (delivery["state"], delivery["why"]) for delivery in said.json["deliveries"]}
    assert found.keys() == TARGETS.keys()
    assert {state for state, _ in found.values()} == {"done"}, found
