"""The law of names (ADR 0003): file stem = type = last line = test = emulator = docs row = example section."""

from __future__ import annotations

import ast
import re

import pytest

from bridge import registry
from tests.architecture.source import ROOT, tree, types

LAST_LINE = {
    "inbound": ("ADAPTER", "InboundAdapter"),
    "outbound": ("CONNECTOR", "OutboundConnector"),
    "sandbox": ("EMULATOR", "Emulator"),
}
EVERY = [(direction, name) for direction in LAST_LINE for name in types(direction)]
OUTBOUND = list(types("outbound"))
INBOUND = list(types("inbound"))


@pytest.mark.parametrize(("direction", "name"), EVERY)
def test_the_last_line_names_the_class(direction: str, name: str) -> None:
    """``CONNECTOR: type[OutboundConnector] = Elevate``: the type checker compares the class with the protocol there."""
    constant, protocol = LAST_LINE[direction]
    last = tree(types(direction)[name]).body[-1]
    assert isinstance(last, ast.AnnAssign), f"the last line of {name} is not an annotated assignment"
    assert ast.unparse(last).startswith(f"{constant}: type[{protocol}] = ")


@pytest.mark.parametrize(("direction", "name"), EVERY)
def test_the_registry_finds_it_by_its_file_name(direction: str, name: str) -> None:
    """Nobody registers anything."""
    load = {"inbound": registry.adapter_class, "outbound": registry.connector_class, "sandbox": registry.emulator_class}
    assert load[direction](name).__module__.startswith(f"connectors.{direction}.{name}")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_every_type_has_its_test(direction: str) -> None:
    """A connector without a test is not one."""
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "connectors" / direction).glob("test_*.py")}
    assert set(types(direction)) <= tested


@pytest.mark.parametrize(
    ("direction", "name"), [*(("inbound", name) for name in INBOUND), *(("outbound", name) for name in OUTBOUND)]
)
def test_every_connectors_test_binds_the_suite(direction: str, name: str) -> None:
    """What every connector promises is proved for this one too, under its own name."""
    text = (ROOT / "tests" / "connectors" / direction / f"test_{name}.py").read_text(encoding="utf-8")
    assert re.search(r"^class \w+\(\w*Suite\):", text, re.MULTILINE)
    assert re.search(r"^class Test\w+\(", text, re.MULTILINE)
    assert re.search(rf'^    type(: \w+(\[\w+\])?)? = "{name}"$', text, re.MULTILINE)


def test_every_target_has_an_emulator_and_every_emulator_a_target() -> None:
    """ADR 0010: what can't be emulated can't be rehearsed."""
    assert set(types("sandbox")) == set(OUTBOUND)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_every_type_has_its_row_and_its_section(direction: str) -> None:
    """The docs are rendered from the class; none is left out."""
    docs = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
    example = (ROOT / "bridge.toml.example").read_text(encoding="utf-8")
    table, key = {"inbound": ("sources", "adapter"), "outbound": ("targets", "connector")}[direction]
    for name in types(direction):
        assert f"\n| `{name}` |" in docs
        assert f'\n#[{table}.{name}]\n#{key} = "{name}"\n' in example


@pytest.mark.parametrize("name", OUTBOUND)
def test_every_operation_says_why_it_may_be_repeated(name: str) -> None:
    """Promise 5: what may be done twice is decided by declaration, not by hope."""
    kind = registry.connector_class(name)
    assert kind.operations
    assert kind.batch_size >= 1
    assert kind.needs_table is (kind.stage == "lms")
