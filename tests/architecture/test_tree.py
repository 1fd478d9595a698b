"""The tree is what its map says, and every stage is one of the words of the work."""

from __future__ import annotations

import re

import bridge
from tests.architecture.source import ROOT

_LINE = re.compile(r"^    (\w+) {2,}\S", re.MULTILINE)


def test_the_map_in_the_package_docstring_is_the_tree() -> None:
    """A reader who opens the package sees every stage, and nothing that is not there."""
    told = set(_LINE.findall(bridge.__doc__ or ""))
    there = {path.parent.name for path in (ROOT / "bridge").glob("*/__init__.py")}
    there |= {path.stem for path in (ROOT / "bridge").glob("*.py") if not path.stem.startswith("__")}
    assert told == there


def test_every_folder_under_bridge_holds_code() -> None:
    """No empty package waits for a plan."""
    empty = [path.name for path in (ROOT / "bridge").iterdir() if path.is_dir() and not any(path.rglob("*.py"))]
    assert [name for name in empty if name != "__pycache__"] == []
