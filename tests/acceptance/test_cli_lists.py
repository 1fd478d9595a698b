"""Lists, details and the trace: what the command line tells of a ledger in which things have happened."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.acceptance.cli_rig import ADA, EVE, Past, ask, past
from tests.acceptance.rig import configuration

PERSONAL = ("Ada", "Lovelace", "ada.lovelace", "bob@", "Babbage", "eve@", "Ning")


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Past:
    return past(tmp_path_factory.mktemp("past"))


def listed(known: Past, *words: object) -> list[dict]:
    said = ask(*words, "--config", known.config, "--json")
    assert said.code == 0, said.err
    return said.json


def test_every_list_gives_json_with_stable_keys_newest_first(known) -> None:
    """A script can rely on the keys, the order and the form of times."""
    keys = {
        "events": {"event_id", "source", "adapter", "event_key", "received_at", "method", "path", "state", "note"},
        "registrations": {
            *("registration_id", "source", "remote_product_id", "line", "intent", "state", "quantity", "amount_paid"),
            *("currency", "order_number", "transaction_id", "subscription_id", "occurred_at", "created_at"),
            *("updated_at", "learner_id", "remote_user_id", "email", "never_mapped"),
        },
        "deliveries": {
            *("delivery_id", "target", "kind", "state", "person", "registration_id", "right_id", "event_id", "tried"),
            *("notice", "recipient", "unknown", "due_at", "outcome", "why", "remedy", "created_at", "updated_at"),
        },
        "quarantine": {
            *("quarantine_id", "source", "kind", "remote_product_id", "person", "state", "seen", "note", "event_id"),
            *("registration_id", "occurred_at", "created_at", "updated_at"),
        },
    }
    for verb, expected in keys.items():
        rows = listed(known, verb)
        assert rows, verb
        assert all(set(row) == expected for row in rows), verb
        ids = [row[next(iter(row))] for row in rows]
        assert ids == sorted(ids, reverse=True), verb
    at = datetime.fromisoformat(listed(known, "events")[0]["received_at"])
    assert at.utcoffset() is not None


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["events", "--state", "refused"], 1),
        (["events", "--source", "checkout"], 0),
        (["events", "--since", "1h"], 4),
        (["events", "--since", "2999-01-01"], 0),
        (["events", "--limit", "2"], 2),
        (["registrations", "--state", "failed"], 1),
        (["registrations", "--learner", "ADA.Lovelace@Example.org"], 1),
        (["registrations", "--learner", "4712"], 1),
        (["registrations", "--product", "NONE"], 0),
        (["deliveries", "--target", "elevate"], 2),
        (["deliveries", "--target", "elevate", "--state", "dead"], 1),
        (["quarantine", "--product", "UNMAPPED-9"], 1),
        (["quarantine", "--state", "released"], 0),
        (["quarantine", "--state", "all"], 1),
    ],
)
def test_a_list_can_be_narrowed(known, words, count) -> None:
    """Each filter leaves what it says."""
    assert len(listed(known, *words)) == count


@pytest.mark.parametrize("verb", ["events", "registrations", "deliveries", "quarantine"])
def test_a_list_fits_80_columns_without_colours_or_people(known, verb) -> None:
    """Piped into a file or a ticket, a list stays legible and names nobody."""
    said = ask(verb, "--config", known.config)
    assert said.code == 0
    assert max(len(line) for line in said.out.splitlines()) <= 80
    assert "\x1b" not in said.out
    assert not [name for name in PERSONAL if name in said.out]


def test_ids_stay_in_one_piece(known) -> None:
    """An id can be copied from the table."""
    assert "id:members:4713" in ask("quarantine", "--config", known.config).out
    assert "UNMAPPED-9" in ask("quarantine", "--config", known.config).out


def test_addresses_are_shown_only_when_asked_for(known) -> None:
    """Masked addresses can be told apart; --reveal shows them."""
    assert {row["email"] for row in listed(known, "registrations")} == {"a•••@•••.org", "b•••@•••.org"}
    revealed = {row["email"] for row in listed(known, "registrations", "--reveal")}
    assert revealed == {"ada.lovelace@example.org", "bob@example.org"}


def test_an_event_is_shown_with_its_body_and_without_credentials(known) -> None:
    """What was sent can be read; the key never, the person only when asked for."""
    found = listed(known, "events", "show", 1)
    assert found["body"]["remote_product_id"] == "ABCD1234"
    assert found["effects"] == [{"registration_id": known.ada, "effect": "created"}]
    assert not [name for name in PERSONAL if name in str(found)]
    revealed = listed(known, "events", "show", 1, "--reveal")
    assert revealed["body"]["email"] == ADA["email"]
    for words in (["--json"], ["--json", "--reveal"], ["--reveal"]):
        assert "ams-key-for-tests" not in ask("events", "--config", known.config, "show", 1, *words).out


def test_a_delivery_is_shown_with_masked_exchanges(known) -> None:
    """What went over the wire is there, without anybody's data."""
    dead = listed(known, "deliveries", "--state", "dead")[0]["delivery_id"]
    found = listed(known, "deliveries", "show", dead)
    (attempt,) = found["attempts"]
    (exchange,) = attempt["exchanges"]
    assert (attempt["operation"], attempt["outcome"], exchange["method"]) == ("grant", "refused", "POST")
    text = ask("deliveries", "show", dead, "--config", known.config).out
    assert "POST http://127.0.0.1:" in text
    assert "/api/registrations: HTTP 4" in text
    assert not [name for name in PERSONAL if name in str(found) + text]


def test_a_quarantined_line_is_shown_with_its_command(known) -> None:
    """The operator sees what waits."""
    found = listed(known, "quarantine", "show", 1)
    assert found["command"]["items"][0]["remote_product_id"] == "UNMAPPED-9"
    assert '"UNMAPPED-9"' in ask("quarantine", "show", 1, "--config", known.config).out


@pytest.mark.parametrize("verb", ["events", "registrations", "deliveries", "quarantine"])
@pytest.mark.parametrize("number", [999, 10**30])
def test_what_is_not_there_is_said_to_be_so(known, verb, number) -> None:
    """A wrong id is an answer and exit code 1, whatever its size."""
    said = ask(verb, "show", number, "--config", known.config)
    assert (said.code, said.out) == (1, "")
    assert str(number) in said.err


@pytest.mark.parametrize("words", [["--state", "foo"], ["--since", "yesterday"], ["--limit", "0"], ["--nonsense"]])
def test_bad_usage_is_exit_code_2(known, words) -> None:
    """A typing error is told apart from a fault."""
    said = ask("deliveries", *words, "--config", known.config)
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize("words", [("events", "--source", "asm"), ("deliveries", "--target", "elevat")])
def test_a_misspelt_name_is_no_empty_list(known, words) -> None:
    """At night, "none" must not mean "you mistyped it"."""
    said = ask(*words, "--config", known.config)
    assert (said.code, said.out) == (2, "")
    assert f"there is no {words[1].removeprefix('--')} '{words[2]}'" in said.err


def test_the_trace_tells_a_purchase_from_event_to_receipts(known) -> None:
    """Event, right, deliveries and remote ids, in time order, and nothing left to do."""
    (purchase,) = listed(known, "trace", known.ada, "--by", "registration")["purchases"]
    assert purchase["state"] == "active"
    story = [(entry["what"], entry.get("target")) for entry in purchase["story"]]
    assert story == [("event", None), ("attempt", "elevate"), ("attempt", "hubspot")]
    times = [entry["at"] for entry in purchase["story"]]
    assert times == sorted(times)
    (grant,) = purchase["grants"]
    assert (grant["course"], grant["right"]["wanted"], grant["right"]["held"]) == ("intro-ce", True, "yes")
    assert grant["right"]["remote_ids"]["registration"].isdigit()
    assert purchase["next"] == []
    text = ask("trace", known.ada, "--by", "registration", "--config", known.config).out
    assert "nothing: every target holds what is wanted" in text


def test_the_trace_says_why_somebody_is_not_in_and_what_to_do(known) -> None:
    """A dead letter and the work that waits behind it are the trace's last words."""
    (purchase,) = listed(known, "trace", "bob@example.org")["purchases"]
    assert purchase["registration_id"] == known.bob
    assert [(step["target"], step["state"]) for step in purchase["next"]] == [
        ("elevate", "dead"),
        ("hubspot", "waiting"),
    ]
    text = " ".join(ask("trace", "bob@example.org", "--config", known.config).out.split())
    assert f"bridge requeue {purchase['next'][0]['delivery_id']}" in text


def test_the_trace_finds_a_person_by_user_id_and_by_address(known) -> None:
    """Support has an address or a number, whichever the caller gave."""
    by_user = listed(known, "trace", "4711")["purchases"]
    by_email = listed(known, "trace", "Ada.Lovelace@EXAMPLE.org")["purchases"]
    assert [row["registration_id"] for row in by_user] == [row["registration_id"] for row in by_email] == [known.ada]
    assert (by_user[0]["found_by"], by_email[0]["found_by"]) == (["user"], ["email"])


def test_the_trace_finds_who_paid_and_never_became_a_registration(known) -> None:
    """A quarantined line and a refused order are found by the learner's address: nobody should pay and not get in."""
    found = listed(known, "trace", EVE["email"])
    assert found["purchases"] == []
    assert [line["remote_product_id"] for line in found["waiting"]] == ["UNMAPPED-9"]
    assert [event["state"] for event in found["events"]] == ["refused"]
    text = ask("trace", EVE["email"], "--config", known.config).out
    assert "bridge release 1" in " ".join(text.split())


def test_the_trace_names_nobody_unless_asked_to(known) -> None:
    """Its text and its JSON can be pasted into a ticket."""
    for words in ([], ["--json"]):
        said = ask("trace", "4711", "--config", known.config, *words)
        assert said.code == 0
        assert not [name for name in PERSONAL if name in said.out]
        assert "a•••@•••.org" in said.out
        assert max(len(line) for line in said.out.splitlines()) <= 80 or words
        revealed = ask("trace", "4711", "--config", known.config, "--reveal", *words)
        assert "ada.lovelace@example.org" in revealed.out
        assert "Lovelace" in revealed.out


def test_a_trace_of_nothing_is_exit_code_1(known) -> None:
    """Nothing found is said, and is no empty success."""
    said = ask("trace", "nobody@example.org", "--config", known.config, "--json")
    assert (said.code, said.out) == (1, "")
    assert "nothing is known" in said.err


def test_asking_makes_no_ledger(tmp_path) -> None:
    """A reading verb leaves no file behind and says who makes the ledger."""
    config = configuration(tmp_path, {}, ledger=False)
    for words in (["events"], ["trace", "1"], ["db", "check"], ["requeue", "--all"]):
        said = ask(*words, "--config", config)
        assert (said.code, said.out) == (1, "")
        assert "bridge db upgrade" in said.err
    assert [file.name for file in tmp_path.iterdir()] == ["bridge.toml"]


def test_a_ledger_that_is_none_is_said_to_be_so(tmp_path) -> None:
    """What the database says stands in the message, not only the kind of its fault."""
    config = configuration(tmp_path, {})
    (tmp_path / "bridge.db").write_text("no ledger, but a text that somebody put in its place" * 99)
    said = ask("events", "--config", config)
    assert said.code == 1
    assert "the ledger can't be read: DatabaseError: file is not a database" in said.err


def test_the_configuration_may_come_from_the_environment(known, monkeypatch) -> None:
    """$BRIDGE_CONFIG is looked at, and --config wins over it, before `show` as well as after it."""
    monkeypatch.setenv("BRIDGE_CONFIG", str(known.config))
    assert ask("events", "show", 1, "--json").json["event_id"] == 1
    assert ask("events", "--config", "absent.toml", "show", 1).code == 2
    assert ask("events", "show", 1, "--config", "absent.toml").code == 2
