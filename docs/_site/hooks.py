"""Hooks of the docs site: the nav by what is there, files outside ``docs/`` that pages link to, diagrams without scripts."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_ROOT = Path(__file__).resolve().parents[2]
_OUTSIDE = re.compile(r"\]\(((?:\.\./)+[^)#\s]*)((?:#[^)\s]*)?)\)")
_MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_ARROW = re.compile(r"^\s*(\[\*\]|\w+) --> (\w+)(?: : (.*))?$", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Leave out of the nav what is not there, and put every decision in place of its folder."""
    config["nav"] = _present(config["nav"], Path(config["docs_dir"]))
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Bring along what pages link to outside ``docs/``: a file as it is, a folder as a list of its files."""
    for page in list(files.documentation_pages()):
        for link, _ in _OUTSIDE.findall(page.content_string):
            if (found := _outside(page.src_uri, link)) is not None:
                _bring(files, config, found)
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Let links that leave ``docs/`` lead to what was brought along, and show diagrams as tables."""
    del config, files

    def led(match: re.Match[str]) -> str:
        found = _outside(page.file.src_uri, match[1])
        if found is None:
            return match[0]
        return f"]({posixpath.relpath(_place(found), posixpath.dirname(page.file.src_uri) or '.')}{match[2]})"

    return _MERMAID.sub(_roads, _OUTSIDE.sub(led, markdown))


def _present(entries: list[Any], docs: Path) -> list[Any]:
    kept: list[Any] = []
    for entry in entries:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, list):
            kept.append({title: _present(value, docs)})
        elif value.endswith("/"):
            records = sorted((docs / value).glob("[0-9]*.md"))
            kept.append({title: [f"{value}README.md", *(f"{value}{record.name}" for record in records)]})
        elif (docs / value).exists():
            kept.append(entry)
    return kept


def _outside(page: str, link: str) -> Path | None:
    """Return what a link of a page leads to, where that is outside ``docs/`` and there."""
    path = (_ROOT / "docs" / posixpath.dirname(page) / link).resolve()
    return None if path.is_relative_to(_ROOT / "docs") or not path.exists() else path


def _place(found: Path) -> str:
    """Return where a file outside ``docs/`` is in the site."""
    name = found.relative_to(_ROOT).as_posix()
    return f"tree/{name}/index.md" if found.is_dir() else f"tree/{name}.txt"


def _bring(files: Any, config: Any, found: Path) -> None:
    place = _place(found)
    if files.get_file_from_path(place) is not None:
        return
    if not found.is_dir():
        files.append(File.generated(config, place, content=found.read_text(encoding="utf-8")))
        return
    inside = [path for path in sorted(found.iterdir()) if not path.name.startswith((".", "__"))]
    lines = [f"- [{path.name}]({posixpath.relpath(_place(path), posixpath.dirname(place))})" for path in inside]
    text = "\n".join([f"# {found.relative_to(_ROOT).as_posix()}", "", *lines, ""])
    generated = File.generated(config, place, content=text)
    generated.inclusion = generated.inclusion.NOT_IN_NAV
    files.append(generated)
    for path in inside:
        _bring(files, config, path)


def _roads(match: re.Match[str]) -> str:
    rows = [
        f"| {'(new)' if begin == '[*]' else f'`{begin}`'} | `{end}` | {when} |"
        for begin, end, when in _ARROW.findall(match[1])
    ]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows, ""])
