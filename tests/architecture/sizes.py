"""Long files and functions, longest first: a look, not a limit. ``make check`` shows them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tests.architecture.source import PACKAGES, files, shown, tree

LONG_FILE, LONG_FUNCTION = 400, 50


def long_ones() -> Iterator[tuple[int, str]]:
    """Yield lines and place of every file and function that is longer than it should be; migrations are as long as they are."""
    for path in files(*PACKAGES):
        if "migrations" in path.parts:
            continue
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > LONG_FILE:
            yield lines, shown(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > LONG_FUNCTION:
                    yield length, f"{shown(path, node)} {node.name}"


if __name__ == "__main__":
    for size, what in sorted(long_ones(), reverse=True):
        sys.stdout.write(f"long: {size:4d} lines  {what}\n")
