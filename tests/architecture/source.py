"""The project's own source as these tests see it: files, syntax trees, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "connectors", "config")


def files(*folders: str) -> list[Path]:
    """Return every Python file under these folders, in order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path, node: ast.AST | None = None) -> str:
    """Return a place the way editors jump to it."""
    line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
    return f"{path.relative_to(ROOT)}{line}"


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call with its name, dotted as far as it is written: ``time.sleep``, ``print``, ``().begin``."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def dotted(node: ast.expr) -> str:
    """Return a name as written; a part that is no name becomes ``()``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "()"


def imported(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Yield every module that a file imports, absolute."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node, node.module


def types(direction: str) -> dict[str, Path]:
    """Return the types of a direction with their file; a package stands for its ``__init__.py``."""
    found = {}
    for path in sorted((ROOT / "connectors" / direction).iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            found[path.stem] = path
        elif (path / "__init__.py").is_file():
            found[path.name] = path / "__init__.py"
    return found
