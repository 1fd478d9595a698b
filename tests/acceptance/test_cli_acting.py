"""``requeue``, ``release``, ``pause`` and ``resume`` on a ledger that nobody runs on: written directly."""

from __future__ import annotations

import getpass
import os
import sqlite3

import pytest

from tests.acceptance.cli_rig import Past, ask, look, past

MAPPED = '\n[[products]]\nsource = "ams"\nremote_product_id = "UNMAPPED-9"\ncourses = ["ethics"]\n'


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Past:
    return past(tmp_path_factory.mktemp("past"))


def dead(config) -> list[tuple]:
    return look(config.with_name("bridge.db"), "SELECT id FROM delivery WHERE state = 'dead'")


def actions(config) -> list[tuple]:
    return look(config.with_name("bridge.db"), "SELECT operator, action, subject FROM operator_action ORDER BY id")


def test_a_dead_letter_is_requeued_by_its_id(known, tmp_path) -> None:
    """A dry run changes nothing; the real one opens it, records who did it, and shows in the trace."""
    config = known.copy(tmp_path)
    ((letter,),) = dead(config)
    dry = ask("requeue", letter, "--dry-run", "--json", "--config", config)
    assert (dry.code, [row["delivery_id"] for row in dry.json]) == (0, [letter])
    assert dead(config) == [(letter,)]
    assert actions(config) == []
    done = ask("requeue", letter, "--config", config)
    assert done.code == 0
    assert "1 dead letter requeued" in done.out
    assert dead(config) == []
    assert actions(config) == [(getpass.getuser(), "requeue", str(letter))]
    traced = ask("trace", known.bob, "--by", "registration", "--json", "--config", config)
    assert traced.json["purchases"][0]["story"][-1]["action"] == "requeue"


def test_what_is_no_dead_letter_is_named(known, tmp_path) -> None:
    """Exit code 1 names the id that could not be requeued; the others are."""
    config = known.copy(tmp_path)
    ((letter,),) = dead(config)
    said = ask("requeue", letter, 1, "--json", "--config", config)
    assert said.code == 1
    assert [row["delivery_id"] for row in said.json] == [letter]
    assert "delivery 1 is not a dead letter" in said.err
    nothing = ask("requeue", "--all", "--config", config)
    assert (nothing.code, nothing.out.strip()) == (0, "nothing to requeue")


@pytest.mark.parametrize("words", [("requeue", "--target", "elevat"), ("release", "--source", "asm")])
def test_a_misspelt_name_is_not_an_empty_success(known, tmp_path, words) -> None:
    """Nothing to do, because there is no such target or source, is bad usage."""
    said = ask(*words, "--config", known.copy(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert f"'{words[-1]}'" in said.err


def test_a_target_is_requeued_as_a_whole(known, tmp_path) -> None:
    """Only that target's dead letters open again."""
    config = known.copy(tmp_path)
    assert (ask("requeue", "--target", "hubspot", "--json", "--config", config)).json == []
    assert len((ask("requeue", "--target", "elevate", "--json", "--config", config)).json) == 1


def test_a_line_is_released_once_its_product_is_mapped(known, tmp_path) -> None:
    """While it is unmapped the line stays; afterwards it becomes a registration."""
    config = known.copy(tmp_path)
    early = ask("release", 1, "--json", "--config", config)
    assert early.code == 1
    assert early.json[0]["became"] == "waiting"
    assert "line 1 still waits" in early.err
    config.write_text(config.read_text() + MAPPED)
    dry = ask("release", "--product", "UNMAPPED-9", "--dry-run", "--config", config)
    assert "nothing was changed" in dry.out
    done = ask("release", "--all", "--json", "--config", config)
    assert (done.code, done.json[0]["became"]) == (0, "released")
    traced = ask("trace", done.json[0]["registration_id"], "--by", "registration", "--json", "--config", config)
    assert "quarantine" in [entry["what"] for entry in traced.json["purchases"][0]["story"]]
    again = ask("release", 1, "--config", config)
    assert again.code == 1
    assert "line 1" in again.err


def test_a_pause_by_the_services_user_is_a_persons(known, tmp_path, monkeypatch) -> None:
    """The verbs run as the user of the unit, which may be called like the bridge: its own pauses end by themselves."""
    monkeypatch.setenv("LOGNAME", "bridge")
    config = known.copy(tmp_path)
    assert ask("pause", "hubspot", "--config", config).code == 0
    assert actions(config) == [("user bridge", "pause", "hubspot")]
    (purchase,) = ask("trace", known.bob, "--by", "registration", "--json", "--config", config).json["purchases"]
    assert [step["paused_by"] for step in purchase["next"]] == [None, "user bridge"]


def test_a_pause_outlives_the_command(known, tmp_path) -> None:
    """A lane paused while nothing runs is paused in the ledger, and the trace says so; resuming it twice does no harm."""
    config = known.copy(tmp_path)
    paused = ask("pause", "hubspot", "--why", "moving house", "--config", config)
    assert paused.code == 0
    (purchase,) = (ask("trace", "bob@example.org", "--json", "--config", config)).json["purchases"]
    assert [step["paused_why"] for step in purchase["next"]] == [None, "moving house"]
    for was_paused in (True, False):
        resumed = ask("resume", "hubspot", "--json", "--config", config)
        assert (resumed.code, resumed.json["was_paused"]) == (0, was_paused)


def test_an_action_without_a_choice_is_bad_usage(known) -> None:
    """Nothing is requeued or released by accident."""
    for words in (["requeue"], ["release"], ["requeue", "1", "--all"], ["pause", "nobody"], ["requeue", "x"]):
        said = ask(*words, "--config", known.config)
        assert (said.code, said.out) == (2, ""), words


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", ["bridge.db.lock", "."])
def test_another_user_is_told_so(known, tmp_path, closed: str) -> None:
    """The lock and perhaps the folder are the bridge's own: a sentence, not a stack trace."""
    config = known.copy(tmp_path)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    (tmp_path / "bridge.db.lock").touch(0o600)
    outside = tmp_path / "bridge.toml"
    if closed == ".":
        outside = tmp_path.parent / "outside.toml"
        config.rename(outside)
        tmp_path.chmod(0o700)
    os.seteuid(65534)
    try:
        refused = ask("pause", "hubspot", "--config", outside)
    finally:
        os.seteuid(0)
    assert refused.code == 1
    assert "is another user's; run the verb as the user the bridge runs as" in " ".join(refused.err.split())


def test_a_registration_is_cancelled_by_its_id(known, tmp_path) -> None:
    """A dry run says what would go, masked; the real one records who did it, and an id that is not there is named."""
    config = known.copy(tmp_path)
    dry = ask("cancel", known.ada, "--dry-run", "--config", config)
    assert (dry.code, actions(config)) == (0, [])
    assert "would be cancelled; nothing was changed" in dry.out
    done = ask("cancel", known.ada, 999, "--why", "paid twice", "--json", "--config", config)
    assert (done.code, [row["became"] for row in done.json]) == (1, ["cancelled"])
    assert "there is no registration 999" in done.err
    assert actions(config) == [(getpass.getuser(), "cancel", str(known.ada))]
    traced = ask("trace", known.ada, "--by", "registration", "--config", config)
    assert f"an operator cancelled registration {known.ada}" in traced.out
    assert ask("cancel", known.ada, "--config", config).out.count("nothing was changed") == 1


def test_a_registration_is_moved_to_another_course(known, tmp_path) -> None:
    """A dry run says what would change hands, the real one how to take it back; a course that is none is named."""
    config = known.copy(tmp_path)
    dry = ask("move", known.ada, "--to", "ethics", "--dry-run", "--config", config)
    assert (dry.code, actions(config)) == (0, [])
    assert "is given first" in dry.out
    assert "ada.lovelace" not in dry.out
    done = ask("move", known.ada, "--to", "ethics", "--config", config)
    assert f"bridge move {known.ada} --to intro-ce" in done.out
    assert actions(config) == [(getpass.getuser(), "move", str(known.ada))]
    wrong = ask("move", known.ada, "--to", "ethic", "--config", config)
    assert (wrong.code, wrong.err.strip()) == (1, "bridge: there is no course 'ethic'; there are ethics, intro-ce")


def test_a_waiting_delivery_is_tried_at_once(known, tmp_path) -> None:
    """Only one that waits for its next try; any other is named."""
    config = known.copy(tmp_path)
    ask("move", known.ada, "--to", "ethics", "--config", config)
    ((delivery,),) = look(config.with_name("bridge.db"), "SELECT max(id) FROM delivery WHERE state = 'open'")
    said = ask("retry", delivery, "--config", config)
    assert (said.code, said.out.strip()) == (1, "nothing to retry")
    connection = sqlite3.connect(config.with_name("bridge.db"))
    connection.execute("UPDATE delivery SET due_at = due_at + 86400000 WHERE id = ?", (delivery,))
    connection.commit()
    connection.close()
    assert "1 delivery would be tried at once" in ask("retry", delivery, "--dry-run", "--config", config).out
    done = ask("retry", delivery, "--json", "--config", config)
    assert (done.code, [row["delivery_id"] for row in done.json]) == (0, [delivery])
    assert actions(config)[-1] == (getpass.getuser(), "retry", str(delivery))
