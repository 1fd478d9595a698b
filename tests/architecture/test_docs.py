"""The docs say what the code does: generated passages are fresh, and nothing that exists is left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from bridge.cli import app, reference
from bridge.cli.reference import settings
from bridge.contract.errors import BridgeError
from bridge.edge.telemetry import Telemetry
from bridge.ledger.states import TRANSITIONS, State
from config.settings import Settings
from tests.architecture.source import ROOT, files, tree

DOCS = ROOT / "docs"
RECORDS = sorted((DOCS / "adr").glob("[0-9]*.md"))
OPERATIONS = (DOCS / "operations.md").read_text(encoding="utf-8")
REFERENCE = sorted((DOCS / "reference").glob("*.md"))
FLOW = (DOCS / "flow.md").read_text(encoding="utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted(DOCS.rglob("*.md")),
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def test_generated_passages_are_fresh() -> None:
    """When this fails, run ``make docs``."""
    assert reference.check_docs() == []


def test_a_stale_passage_is_noticed(tmp_path, monkeypatch) -> None:
    """The check itself can fail, and writing mends it."""
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    pages = ("connectors", "flow", "senders", "targets", *(f"reference/{page.stem}" for page in REFERENCE))
    for name in ("bridge.toml.example", *(f"docs/{page}.md" for page in pages)):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    page = tmp_path / "docs" / "connectors.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| `elevate` |", "| `elevated` |"), encoding="utf-8")
    assert reference.check_docs() == ["docs/connectors.md"]
    assert reference.write_docs() == ["docs/connectors.md"]
    assert reference.check_docs() == []


def test_a_lost_marker_is_said(tmp_path, monkeypatch) -> None:
    """A passage that has no place any more is a fault, not a passage less."""
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    (tmp_path / "bridge.toml.example").write_text("[server]\n", encoding="utf-8")
    with pytest.raises(BridgeError, match="expected the markers of the passage 'sources' once, found them 0 times"):
        reference.check_docs()


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    if words and (not inner or getattr(command, "invoke_without_command", False)):
        yield " ".join(words)
    for name, found in inner.items():
        yield from _verbs(found, (*words, name))


def test_every_verb_is_documented() -> None:
    """An operator finds each verb, and each verb's verbs, in docs/operations.md."""
    verbs = set(_verbs(typer.main.get_command(app)))
    assert {"run", "trace", "db upgrade", "deliveries show"} <= verbs
    missing = [
        verb for verb in sorted(verbs) if f"bridge {verb}" not in OPERATIONS and f"`{verb} ID`" not in OPERATIONS
    ]
    assert not missing


def test_no_verb_is_documented_that_does_not_exist() -> None:
    """Docs do not promise."""
    known = {verb.split()[0] for verb in _verbs(typer.main.get_command(app))}
    told = {
        word
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for line in page.read_text(encoding="utf-8").splitlines()
        if "Without effect yet" not in line
        for word in re.findall(r"(?:`|^|&& )bridge ([a-z]+)", line)
    }
    assert told <= known


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = next(
            (
                kind
                for kind in _models(field.annotation)
                if kind.__module__ in ("config.settings", "config.alerts", "config.openid")
            ),
            None,
        )
        if inner is None:
            yield prefix + name
        else:
            yield from _settings(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def test_a_setting_that_nothing_reads_is_said_to_be_without_effect() -> None:
    """An operator must not trust a key that does nothing; and what is read is not called useless."""
    read = {
        node.attr
        for path in files("bridge")
        if path.stem not in ("describe", "example") and path.parent.name != "reference"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
    }
    unread = {key for key in _settings(Settings) if not set(key.split(".")) <= read}
    admitted = {key.replace(".NAME", "") for key in settings.WITHOUT_EFFECT}
    assert unread == admitted


def test_every_metric_is_documented() -> None:
    """Nobody has to guess what a number means."""
    names = {family.name for family in Telemetry().registry.collect()}
    told = set(re.findall(r"^\| `(bridge_\w+)` \|", OPERATIONS, re.MULTILINE))
    assert {name.removesuffix("_total") for name in told} == names


def test_the_drawn_roads_are_roads() -> None:
    """Every arrow of the diagram is a transition that the state table allows, and every state is drawn."""
    drawn = re.findall(r"^    (\w+) --> (\w+)", FLOW, re.MULTILINE)
    assert drawn
    assert all(State(after) in TRANSITIONS[State(before)] for before, after in drawn)
    assert {name for arrow in drawn for name in arrow} == {state.value for state in State}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page) -> None:
    """Links within the tree point at files that are there."""
    links = [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    """Numbers are never reused, and the index has every one."""
    numbers = [int(path.name[:4]) for path in RECORDS]
    assert numbers == list(range(1, len(numbers) + 1))
    index = (DOCS / "adr" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in RECORDS if f"({path.name})" not in index] == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_every_decision_has_its_parts(record) -> None:
    """Context, decision, consequences, alternatives, and the check that keeps it."""
    text = record.read_text(encoding="utf-8")
    assert text.startswith(f"# {record.name[:4]} ")
    parts = ["## Context", "## Decision", "## Consequences", "## Alternatives", "## Kept by"]
    assert re.findall(r"^## .*$", text, re.MULTILINE) == parts
    for named in re.findall(r"`(tests/[\w/]+(?:\.py)?)`", text):
        assert (ROOT / named).exists(), f"{record.name} names {named}, which is not there"
