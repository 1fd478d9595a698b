"""Verbs that change very many things at once: counted by cause, with the first lines, and every line where it is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.cli_rig import Past, ask, look, past

MAPPED = '\n[[products]]\nsource = "ams"\nremote_product_id = "UNMAPPED-9"\ncourses = ["ethics"]\n'
MANY = 120


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Past:
    return past(tmp_path_factory.mktemp("past"))


def _multiply(ledger: Path, table: str, row: str, changes: dict[str, str], times: int) -> None:
    """Copy one row of a table ``times`` times; ``changes`` are SQL by column, in which ``n`` is the copy's number."""
    connection = sqlite3.connect(ledger)
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "id"]
    chosen = ", ".join(changes.get(name, f"t.{name}") for name in columns)
    connection.execute(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM c, {table} t WHERE {row}",
        (times,),
    )
    connection.commit()
    connection.close()


def _quarantined(known: Past, folder: Path) -> Path:
    config = known.copy(folder)
    of_another = {"learner_key": "t.learner_key || n", "remote_product_id": "'OTHER-' || (n % 2)"}
    of_another["command"] = "replace(t.command, 'UNMAPPED-9', 'OTHER-' || (n % 2))"
    row = "t.remote_product_id = 'UNMAPPED-9'"
    _multiply(folder / "bridge.db", "quarantine", row, of_another, MANY)
    _multiply(folder / "bridge.db", "quarantine", row, {"learner_key": "t.learner_key || '+' || n"}, MANY - 1)
    config.write_text(config.read_text() + MAPPED)
    return config


def test_a_release_of_very_many_is_counted(known, tmp_path) -> None:
    """By source, product and what becomes of them, with how many; only the first lines stand below, and it says how to see the others."""
    config = _quarantined(known, tmp_path)
    said = ask("release", "--all", "--dry-run", "--config", config)
    summary, _, first = said.out.partition("the first 5:")
    rows = [line.split() for line in summary.splitlines()]
    counted = {(row[1], row[2], row[3]): int(row[0]) for row in rows if len(row) > 3 and row[1] == "ams"}
    assert counted == {
        ("ams", "UNMAPPED-9", "released"): MANY,
        ("ams", "OTHER-0", "waiting"): MANY // 2,
        ("ams", "OTHER-1", "waiting"): MANY // 2,
    }
    assert first.count(" ams ") == 5
    assert f"and {2 * MANY - 5} more: --all-lines" in first
    assert f"{MANY} lines would be released; nothing was changed" in first
    assert f"{MANY} go on waiting" in first


def test_every_line_is_there_for_who_asks(known, tmp_path) -> None:
    """``--all-lines`` has each, and no counts; so has ``--json``, as a list that is as it was."""
    config = _quarantined(known, tmp_path)
    whole = ask("release", "--all", "--dry-run", "--all-lines", "--config", config)
    assert whole.out.count("UNMAPPED-9") == MANY
    assert "how many" not in whole.out
    told = ask("release", "--all", "--dry-run", "--json", "--config", config).json
    assert len({row["quarantine_id"] for row in told}) == len(told) == 2 * MANY


def test_what_was_released_is_counted_as_well(known, tmp_path) -> None:
    """The real thing is as short as its dry run, though each line has a registration of its own by now."""
    config = _quarantined(known, tmp_path)
    done = ask("release", "--product", "UNMAPPED-9", "--config", config)
    assert f"{MANY} lines released" in done.out
    assert len(done.out.splitlines()) < 30
    assert look(tmp_path / "bridge.db", "SELECT count(*) FROM quarantine WHERE state = 'released'") == [(MANY,)]


def test_dead_letters_of_one_remedy_are_one_cause(known, tmp_path) -> None:
    """Although what the target said names each learner. A dry run of requeue and of dismiss is as short."""
    config = known.copy(tmp_path)
    unlike = {
        "right_id": "NULL",
        "key": "t.key || n",
        "person": "t.person || n",
        "why": "t.why || ' (user ' || n || ')'",
    }
    _multiply(tmp_path / "bridge.db", "delivery", "t.state = 'dead'", unlike, MANY - 1)
    letters = [row[0] for row in look(tmp_path / "bridge.db", "SELECT id FROM delivery WHERE state = 'dead'")]
    for words in (("requeue", "--all"), ("dismiss", *letters, "--why", "by hand")):
        said = ask(*words, "--dry-run", "--config", config)
        assert said.code == 0
        counted = [line for line in said.out.splitlines() if line.startswith(f"{MANY} ") and "elevate" in line]
        assert len(counted) == 1, said.out
        assert len(said.out.splitlines()) < 60
        assert f"{MANY} dead letters would be" in said.out


def test_a_replay_of_very_many_is_counted(known, tmp_path) -> None:
    """By what would come of them, whichever registrations they are; those that can't be replayed are not complained of one by one."""
    config = known.copy(tmp_path)
    event = "t.id = (SELECT min(id) FROM event WHERE state = 'accepted')"
    fresh = {"event_key": "'k' || n", "body": "replace(CAST(t.body AS text), '4711', '9' || n)", "encoding": "'utf-8'"}
    _multiply(tmp_path / "bridge.db", "event", event, fresh, MANY)
    words = ("replay", "--source", "ams", "--state", "accepted", "--dry-run", "--config", config)
    said = ask(*words)
    assert "would be replayed; nothing was changed" in said.out
    assert [line.split()[:3] for line in said.out.splitlines() if line.startswith(f"{MANY} ")] == [
        [str(MANY), "ams", "replayed"]
    ]
    assert said.out.count("created") < 15
    emptied = sqlite3.connect(tmp_path / "bridge.db")
    emptied.execute("UPDATE event SET encoding = 'emptied'")
    emptied.commit()
    emptied.close()
    impossible = ask(*words)
    assert impossible.code == 1
    assert len(impossible.err.splitlines()) < 30
    assert "more" in impossible.err.splitlines()[-1]
