"""The reference leaves nothing out: what the program has is looked for in the pages, by another road than they are rendered."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from bridge.cli import app
from bridge.contract.settings import CourseTable
from bridge.edge.telemetry import Telemetry
from bridge.notices.mailer import Mailer
from bridge.registry import adapter_class, connector_class
from config.settings import Settings
from tests.architecture.source import ROOT, files, tree, types

REFERENCE = ROOT / "docs" / "reference"
SETTINGS, VERBS, METRICS, ERRORS = (
    (REFERENCE / f"{name}.md").read_text(encoding="utf-8") for name in ("settings", "verbs", "metrics", "errors")
)
_ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| (.*?) \| (.*) \|$", re.MULTILINE)
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")


def _section(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of any kind."""
    _, found, rest = page.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    return rest.split("\n#")[0]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _names(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[str, str]]:
    """Yield every key of a model and of all tables within, with the model that has it."""
    if model in seen or model is CourseTable:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield model.__name__, field.alias or name
        for inner in _models(field.annotation):
            yield from _names(inner, seen)


def _told(text: str) -> set[str]:
    return {key.rpartition(".")[2].removesuffix("[]") for key, *_ in _ROW.findall(text)}


def test_every_setting_of_every_bridge_is_in_the_reference() -> None:
    """Whatever table it stands in, also those that several settings take."""
    told = _told(SETTINGS.split("## Of each adapter")[0])
    written = {key for _, key in _names(Settings, set())} - {"console", "tables", *Settings.model_fields}
    assert {"port", "keep_events", "only_if", "password", "grace", "any"} <= written
    assert written - told == set()


@pytest.mark.parametrize("name", sorted(types("inbound")))
def test_every_setting_of_every_adapter_is_in_the_reference(name) -> None:
    """In the section of that adapter, or among what all share."""
    shared = _told(SETTINGS.split("## Of each adapter")[0])
    told = _told(_section(SETTINGS, f"### Source `{name}`"))
    assert {key for _, key in _names(adapter_class(name).Settings, set())} - told - shared == set()
    own = set(adapter_class(name).Settings.model_fields) - set(adapter_class("elevate").Settings.model_fields)
    assert own - told == set()


@pytest.mark.parametrize("name", sorted(types("outbound")))
def test_every_setting_of_every_connector_is_in_the_reference(name) -> None:
    """Those of the target, and those of a course's table."""
    kind = connector_class(name)
    shared = _told(SETTINGS.split("## Of each adapter")[0])
    told = _told(_section(SETTINGS, f"### Target `{name}`"))
    models = [kind.Settings, *([kind.Course] if kind.Course is not None else [])]
    assert {key for model in models for _, key in _names(model, set())} - told - shared == set()
    if kind.Course is not None:
        assert set(kind.Course.model_fields) - told == set()


def test_every_setting_says_what_it_takes_and_means() -> None:
    """A key with an empty cell beside it would be a riddle."""
    rows = _ROW.findall(SETTINGS)
    assert len(rows) > 400
    assert [
        key for key, kind, _, meaning in rows if not kind.strip() or len(meaning.strip(" .")) < len("its name")
    ] == []


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner or getattr(command, "invoke_without_command", False) or not words:
        yield " ".join(("bridge", *words)), command
    for name, found in inner.items():
        yield from _verbs(found, (*words, name))


@pytest.mark.parametrize(
    ("verb", "command"), list(_verbs(typer.main.get_command(app))), ids=lambda value: str(value)[:30]
)
def test_every_verb_is_in_the_reference_with_all_of_its_options(verb, command) -> None:
    """Each option has a row that says what it does, under the verb's own heading."""
    rows = {name: meaning for names, _, _, meaning in _options(_section(VERBS, f"### `{verb}`")) for name in names}
    for param in command.params:
        names = param.opts if param.param_type_name == "option" else [param.metavar or param.name.upper()]
        assert set(names) <= set(rows)
        assert all(rows[name].strip() for name in names)


def _options(section: str) -> list[tuple[list[str], str, str, str]]:
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", row[0]), row[1], row[-2], row[-1]) for row in cells]


def test_every_metric_is_in_the_reference_with_type_and_labels() -> None:
    """As a scrape shows them."""
    rows = {line.split(" | ")[0].strip("| `"): line for line in METRICS.splitlines() if line.startswith("| `")}
    telemetry = Telemetry()
    telemetry.answered("ams", "accepted", 0.1)
    telemetry.attempted("lms", "grant", "receipt", 0.1)
    families = {family.name: family for family in telemetry.registry.collect()}
    assert {name.removesuffix("_total") for name in rows} == set(families)
    for name, row in rows.items():
        family = families[name.removesuffix("_total")]
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert f"| {family.type} |" in row
        assert all(f"`{label}`" in row for label in labels)
        assert family.documentation in row


@pytest.mark.parametrize("name", [*sorted(types("outbound")), "mailer"])
def test_every_error_of_every_target_is_in_the_reference(name) -> None:
    """Sentence and next step, as an operator reads them, in one row that names the target."""
    rows = _section(ERRORS, "## What targets refuse, and senders do not tell").splitlines()
    kind = Mailer if name == "mailer" else connector_class(name)
    for error in kind.errors.values():
        assert any(f"| {error.sentence} | {error.next_step} |" in row and f"`{name}`" in row for row in rows), error


def _logged() -> Iterator[str]:
    """Yield every text in the source that is shaped like the name of an event and is the first thing that a call is given."""
    for path in files("bridge"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ast.unparse(node.func)
                text = node.args[0].value
                if (
                    (called.startswith("log.") or called == "level")
                    and isinstance(text, str)
                    and _EVENT.fullmatch(text)
                ):
                    yield text


def test_every_event_of_the_log_is_in_the_reference() -> None:
    """Who searches the log for a name finds here who writes it."""
    told = set(re.findall(r"^\| `([a-z_.]+)` \|", _section(ERRORS, "## Events of the log"), re.MULTILINE))
    logged = set(_logged())
    assert {"intake.accepted", "dispatch.attempted", "edge.unauthorised"} <= logged
    assert logged - told == set()


def test_every_fault_of_the_configuration_is_in_the_reference() -> None:
    """Whatever stands in ``config`` as the text of a fault, up to its first varying word."""
    page = _section(ERRORS, "## Faults of the configuration").replace("\\", "").replace("&lt;", "<")
    beginnings = {
        text
        for path in files("config")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("fault", "ValueError") and node.args
        for text in _beginning(node.args[-1])
    }
    assert len(beginnings) > 25
    assert [text for text in beginnings if text not in page] == []


def _beginning(node: ast.expr) -> Iterator[str]:
    """Yield what a text begins with, up to its first varying word; nothing where another function words it."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) else node
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value.replace("`", "").strip()


@pytest.mark.parametrize("kind", ["LedgerError", "ActionRefused", "NothingFound", "CannotListen", "ReloadRefused"])
def test_every_refusal_is_in_the_reference(kind) -> None:
    """What a verb says that can't do what was asked."""
    page = _section(ERRORS, "## What can't be done")
    texts = [
        node.args[0].value
        for path in files("bridge")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == kind and node.args
        if isinstance(node.args[0], ast.Constant)
    ]
    assert [text for text in texts if text.replace("`", "") not in page] == []


def test_every_status_that_a_sender_may_get_is_in_the_reference() -> None:
    """What became of a call, by the names that the metric has."""
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \|$", _section(ERRORS, "## Answers to senders"), re.MULTILINE
    )
    told = {became: statuses for became, *statuses in rows}
    assert told["accepted"] == ["200"] * 3
    assert told["unauthorised"] == ["200", "401", "401"]
    assert told["unavailable"] == ["503"] * 3
