"""The program's own text: which sentences stand in it, found in its syntax trees. What varies shows as a word in capitals."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

_TREE = Path(__file__).resolve().parents[3]
"""Where the packages are; not where the docs are written, which a test may choose."""


@cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def files(*places: str) -> list[Path]:
    """Return the Python files under these folders, or these files themselves, in order."""
    found = [_TREE / place for place in places]
    return [path for place in found for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]


@cache
def calls(path: Path) -> Sequence[tuple[ast.Call, str, ast.AST]]:
    """Return every call of a file with the last part of what is called, and the function or module that it stands in."""
    return tuple(_calls(parsed(path), parsed(path)))


def _calls(node: ast.AST, scope: ast.AST) -> Iterator[tuple[ast.Call, str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scope
        if isinstance(child, ast.Call):
            yield child, _last(child.func), inner
        yield from _calls(child, inner)


def templates(node: ast.expr, scope: ast.AST, path: Path) -> list[str]:
    """Return what an expression of text may come out as; nothing where somebody else words it."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return ["".join(_part(part, scope, path) for part in parts)]
        case ast.BinOp(left=left, right=right):
            return [a + b for a in templates(left, scope, path) for b in templates(right, scope, path)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*templates(body, scope, path), *templates(orelse, scope, path)]
        case ast.Name(id=name):
            return [text for value in _assigned(name, scope, path) for text in templates(value, scope, path)]
    return []


def _part(part: ast.expr, scope: ast.AST, path: Path) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    constant = templates(value, scope, path) if isinstance(value, ast.Name) and value.id.isupper() else []
    return constant[0] if constant else _last(value).strip("_").upper() or "…"


def _assigned(name: str, scope: ast.AST, path: Path) -> Iterator[ast.expr]:
    """Yield what a name is set to, in the function or at the top of the file."""
    places: Iterable[ast.AST] = [*ast.walk(scope)] if scope is not parsed(path) else []
    for node in [*places, *parsed(path).body]:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                yield value


def _last(node: ast.AST) -> str:
    """Return the last name of an expression: of ``fault.strerror``, ``strerror``; of a call, what is called or given."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner]) | ast.Call(func=ast.Name(), args=[inner]):
            return _last(inner)
        case ast.Call(func=func):
            return _last(func)
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return _last(value)
        case ast.BoolOp(values=[first, *_]):
            return _last(first)
    return ""
