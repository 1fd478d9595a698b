"""What the bridge says when something is wrong, and what it logs: every sentence that stands in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from bridge.cli.describe import first_sentence
from bridge.cli.reference.source import calls, files, parsed, templates
from bridge.cli.reference.tables import named, table

_LEVELS = {name: name for name in ("debug", "info", "warning", "error", "critical")} | {
    "exception": "error",
    "level": "info, or warning where it did not succeed",  # chosen by the outcome, in one place
}
_SETTINGS = (
    "config",
    "bridge/contract/settings.py",
    "bridge/contract/mail.py",
    "bridge/kit/mapping.py",
    "bridge/notices",
)
"""Where a setting's fault is worded, besides the connectors' own models."""

_SENTENCE = re.compile(r"(expected |missing|unknown key|there is no |did you mean )")

Found = Callable[[Path, ast.Call, str, ast.AST], Iterator[str]]


def faults() -> Iterator[str]:
    """Yield every fault of ``bridge.toml`` that the bridge words itself."""
    rows = [
        *_rows([*files(*_SETTINGS), *files("bridge/kit/expressions.py")], _of_a_fault),
        *_rows(files("connectors/inbound", "connectors/outbound"), _of_a_field),
        *((text, "any") for text in _of_a_type()),
    ]
    yield from table(("what is said", "of"), _once(rows))


def warnings() -> Iterator[str]:
    """Yield what ``bridge check`` warns of."""
    yield from _list(_rows(files("config"), _arguments("warn", 1)))


def usage() -> Iterator[str]:
    """Yield what a verb says that was asked in a way it can't be."""
    yield from _list(_rows(files("bridge/cli"), _arguments("BadParameter", 0)))


def refusals() -> Iterator[str]:
    """Yield what a verb or the daemon says that can't do what was asked."""
    yield from table(("what is said", "what is wrong"), _refusals())


def log_events() -> Iterator[str]:
    """Yield the name, level and fields of every event of the log, and who writes it."""
    rows: dict[tuple[str, str], tuple[set[str], str]] = {}
    for path in files("bridge"):
        for call, name, scope in calls(path):
            if name in _LEVELS and call.args and _is_log(call.func):
                for event in templates(call.args[0], scope, path):
                    fields, _ = rows.setdefault((event, _LEVELS[name]), (set(), _who(path)))
                    fields |= {word.arg for word in call.keywords if word.arg and word.arg != "exc_info"}
    told = ((f"`{event}`", level, named(sorted(fields)), who) for (event, level), (fields, who) in sorted(rows.items()))
    yield from table(("event", "level", "fields", "written by"), told)


def _refusals() -> Iterator[tuple[str, str]]:
    kinds = _kinds()
    found: dict[tuple[str, str], None] = {}
    for path in files("bridge", "config"):
        for call, name, scope in calls(path):
            if name in kinds and call.args:
                for text in templates(call.args[0], scope, path):
                    found[cell(text), kinds[name]] = None
    yield from sorted(found)


_MEANT = {
    "BridgeError": "what was asked",
    "LedgerError": "the ledger",
    "TransportFault": "no answer from outside",
    "OpenIDFault": "a login at an OpenID provider",
}
_NOT_FOR_PEOPLE = ("ConfigError", "InboundError")
"""The one is told fault by fault, the other to the sender."""


def _kinds() -> dict[str, str]:
    """Return every error of ours whose text is for people at the command line, and what it says is wrong."""
    trees = [parsed(path) for path in files("bridge", "config")]
    parents = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for node in (node for tree in trees for node in ast.walk(tree))
        if isinstance(node, ast.ClassDef)
    }

    def meaning(name: str) -> str | None:
        if name in _NOT_FOR_PEOPLE:
            return None
        return _MEANT.get(name) or next(filter(None, map(meaning, parents.get(name, []))), None)

    return {name: said for name in parents if (said := meaning(name)) is not None}


def _of_a_fault(path: Path, call: ast.Call, name: str, scope: ast.AST) -> Iterator[str]:
    place = {"fault": 1, "Fault": 1, "ValueError": 0, "_fault": 1, "TemplateFault": 0}.get(name)
    if place is not None and len(call.args) > place:
        yield from templates(call.args[place], scope, path)


def _of_a_field(path: Path, call: ast.Call, name: str, scope: ast.AST) -> Iterator[str]:
    """Yield what a connector's settings refuse; the same error deeper inside it is no affair of the file."""
    if name == "ValueError" and call.args:
        yield from (text for text in templates(call.args[0], scope, path) if "expected" in text or ";" in text)


def _of_a_type() -> Iterator[str]:
    """Yield what is said of a value of the wrong type, and of a key that is not known."""
    (path,) = files("config/words.py")
    within = {id(part) for node in ast.walk(parsed(path)) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in within:
            yield from (text for text in templates(node, parsed(path), path) if _SENTENCE.match(text))


def _arguments(wanted: str, place: int) -> Found:
    def found(path: Path, call: ast.Call, name: str, scope: ast.AST) -> Iterator[str]:
        if name == wanted and len(call.args) > place:
            yield from templates(call.args[place], scope, path)

    return found


def _list(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield from (f"- {text}" for text, _ in _once(rows))


def _rows(paths: Collection[Path], found: Found) -> Iterator[tuple[str, str]]:
    for path in paths:
        for call, name, scope in calls(path):
            yield from ((text, _of(path)) for text in found(path, call, name, scope))


def _once(rows: Collection[tuple[str, str]] | Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    by_text: dict[str, dict[str, None]] = {}
    for text, who in rows:
        by_text.setdefault(cell(text), {})[who] = None
    return [(text, ", ".join(who)) for text, who in sorted(by_text.items())]


def cell(text: str) -> str:
    """Return a sentence as it can stand in a table, without mark-up of its own."""
    return " ".join(text.split()).replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[").replace("`", "")


def _of(path: Path) -> str:
    """Return whose setting a file judges: an adapter's, a connector's, or any."""
    return (
        f"`{path.parts[path.parts.index('connectors') + 2].removesuffix('.py')}`"
        if "connectors" in path.parts
        else "any"
    )


def _who(path: Path) -> str:
    return first_sentence(ast.get_docstring(parsed(path))).removesuffix(".")


def _is_log(node: ast.expr) -> bool:
    """Say whether ``log.info`` and the like is called, or a ``level`` that is one of them."""
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "log"
    )
