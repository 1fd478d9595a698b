"""Rules that no linter knows, each tied to a decision record."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import PACKAGES, ROOT, calls, files, imported, shown, tree


def test_one_place_commits() -> None:
    """ADR 0005, 0025: transactions begin and end in the writer, in the upgrade of the schema, and in the copy of a ledger."""
    allowed = {ROOT / "bridge" / "ledger" / f"{name}.py" for name in ("writer", "transactions", "migrate", "copies")}
    strays = [
        shown(path, node)
        for path in files(*PACKAGES)
        if path not in allowed
        for node, name in calls(path)
        if name.endswith((".commit", ".begin"))
    ]
    assert not strays


def test_connectors_never_sleep() -> None:
    """ADR 0004: when to try again is decided by dispatch alone. An emulator may be slow on purpose."""
    strays = [
        shown(path, node)
        for path in files("connectors/inbound", "connectors/outbound")
        for node, name in calls(path)
        if name.split(".")[-1] == "sleep"
    ]
    assert not strays


def test_connectors_catch_only_what_they_know() -> None:
    """ADR 0004: a defect must reach dispatch, where it becomes a dead letter with its name."""
    strays = [
        shown(path, node)
        for path in files("connectors")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and _is_broad(node)
    ]
    assert not strays


def _is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in caught)


def test_only_the_command_line_prints() -> None:
    """Everything else speaks through the log, where secrets are masked."""
    strays = [
        shown(path, node)
        for path in files(*PACKAGES)
        if "cli" not in path.relative_to(ROOT).parts
        for node, name in calls(path)
        if name == "print"
    ]
    assert not strays


def test_only_the_clock_knows_the_time() -> None:
    """Time is passed in, so that tests can set it. An emulator plays another system, with a clock of its own."""
    clock = ROOT / "bridge" / "kit" / "clock.py"
    banned = ("datetime.now", "datetime.today", "datetime.utcnow", "date.today")
    strays = [
        shown(path, node)
        for path in files(*PACKAGES)
        if path != clock and "sandbox" not in path.parts
        for node, name in calls(path)
        if name.endswith(banned)
    ]
    assert not strays


def test_no_mock_stands_in_for_a_part_of_ours() -> None:
    """ADR 0010: fakes stand outside the process boundary."""
    strays = [
        shown(path, node)
        for path in files("tests")
        for node, module in imported(path)
        if module.startswith(("unittest.mock", "mock", "pytest_mock"))
    ]
    assert not strays


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_file_says_what_it_is(folder: str) -> None:
    """A file without a sentence has no place."""
    assert [shown(path) for path in files(folder) if ast.get_docstring(tree(path)) is None and path.stem != "env"] == []
