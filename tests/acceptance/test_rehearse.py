"""``bridge rehearse``: what a recorded call would lead to, without anything leaving the machine."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from tests.acceptance.cli_rig import ask

CONFIG = """
[ledger]
url = "sqlite:///{folder}/real.db"
[sources.ams]
adapter = "elevate"
api_key = "ams-key"
[sources.checkout]
adapter = "tenxpro"
secret = "checkout-secret"
[targets.lms]
connector = "academy_of_mine"
base_url = "https://school.example.org"
api_key = "real-lms-key"
[targets.crm]
connector = "hubspot"
token = "real-crm-token"
[targets.crm.contact]
firstname = "{{learner.first_name}}"
[courses.intro]
lms = {{ course_id = 42 }}
access = {{ duration = "30d" }}
[[products]]
source = ["ams", "checkout"]
remote_product_id = "3"
courses = ["intro"]
"""
CALL = {
    "api_key": "ams-key",
    "remote_user_id": 7,
    "email": "ada@example.org",
    "firstname": "Ada",
    "lastname": "Lovelace",
    "remote_product_id": 3,
}


@pytest.fixture
def rehearse(tmp_path):
    config = tmp_path / "bridge.toml"
    config.write_text(CONFIG.format(folder=tmp_path))

    def run(body: object, *words: object, source: str = "ams"):
        recorded = tmp_path / "recorded"
        recorded.write_text(body if isinstance(body, str) else json.dumps(body))
        return ask("rehearse", recorded, "--source", source, "--config", config, *words)

    return run


def test_a_recorded_call_is_played_to_the_end(rehearse, tmp_path) -> None:
    """Command, plan, and what every target would be told; the real ledger is not even made."""
    found = rehearse(CALL, "--json", "--reveal").json
    assert found["proven"] == "yes"
    assert [command["learner"]["email"] for command in found["commands"]] == ["ada@example.org"]
    assert found["plan"][0]["lines"][0]["grants"][0]["rights"] == ['lms {"course_id":"42"}']
    told = {delivery["target"]: delivery for delivery in found["deliveries"]}
    assert {name: delivery["state"] for name, delivery in told.items()} == {"lms": "done", "crm": "done"}
    urls = [
        one["url"] for delivery in told.values() for attempt in delivery["attempts"] for one in attempt["exchanges"]
    ]
    assert urls
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    assert not (tmp_path / "real.db").exists()


def test_it_can_be_read_from_standard_input(rehearse, tmp_path) -> None:
    """As from a file; and a secret of the configuration is not shown, wherever in the call it stands."""
    rehearse("")
    words = ["rehearse", "-", "--source", "ams", "--json", "--reveal", "--config", str(tmp_path / "bridge.toml")]
    said = CliRunner().invoke(app, words, input=json.dumps({**CALL, "firstname": "ams-key"}))
    assert json.loads(said.stdout)["commands"][0]["learner"]["last_name"] == "Lovelace"
    assert "ams-key" not in said.stdout


def test_it_is_shown_to_people_without_the_learner(rehearse) -> None:
    """Masked, as everywhere."""
    said = rehearse(CALL)
    assert said.code == 0
    for text in (
        "is it proven whose call it is? yes",
        "command: enroll",
        "course intro until",
        "lms right: done",
        "POST",
    ):
        assert text in said.out
    assert "ada@example.org" not in said.out
    assert "real-lms-key" not in said.out


def test_a_call_without_its_credential_is_rehearsed_all_the_same(rehearse) -> None:
    """What was recorded from the ledger or a log has lost it."""
    found = rehearse({**CALL, "api_key": ""}, "--json").json
    assert found["proven"] == "no: the api_key is not this source's"
    assert len(found["commands"]) == 1


def test_an_unmapped_product_would_wait(rehearse) -> None:
    """And nobody would be told."""
    said = rehearse({**CALL, "remote_product_id": "NEW"})
    assert said.code == 0
    assert "product NEW is not mapped" in said.out


def test_a_body_nobody_understands_is_told_and_the_exit_code_says_so(rehearse) -> None:
    """With the field that is wrong."""
    said = rehearse({**CALL, "email": "nobody"})
    assert said.code == 1
    assert "email" in said.out


def test_a_query_and_headers_can_be_given_or_recorded(rehearse) -> None:
    """The call of a payment system has everything in its address."""
    asked = "secret=checkout-secret&type=purchase&course_id=3&email=bob@example.org"
    said = rehearse("", "--method", "GET", "--query", asked, "--header", "X-Kind: paid", "--json", source="checkout")
    assert said.json["commands"][0]["items"] == [{"remote_product_id": "3"}]
    query = dict(pair.split("=") for pair in asked.split("&"))
    recorded = {"method": "GET", "query": query, "headers": {"X-Kind": "paid"}, "body": ""}
    assert rehearse(recorded, "--json", source="checkout").json["proven"] == "yes"


@pytest.mark.parametrize("words", [["--header", "no colon"], ["--config", "absent.toml"]])
def test_wrong_usage_is_said(rehearse, words) -> None:
    """With exit code 2."""
    assert rehearse(CALL, *words).code == 2


def test_a_source_that_is_not_there_is_named(rehearse) -> None:
    """With those that are."""
    said = rehearse(CALL, source="shop")
    assert said.code == 2
    assert "there is no source 'shop'" in said.err
