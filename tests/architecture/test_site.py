"""The docs site leaves no page out and loads nothing from elsewhere; that its links hold, `mkdocs build --strict` proves."""

from __future__ import annotations

import re

from tests.architecture.source import ROOT

DOCS = ROOT / "docs"
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
_NAMED = re.compile(r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", re.MULTILINE)


def test_every_page_is_in_the_nav() -> None:
    """Whoever adds a page says where it stands; decisions come by their folder."""
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page.parent.name != "adr"}
    assert pages - set(_NAMED.findall(SITE)) == set()
    assert "adr/" in SITE


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No font, script or style of somebody else's host: operators read it where there is no such road."""
    assert re.search(r"^  font: false\b", SITE, re.MULTILINE)
    assert "http://" not in SITE
    assert "https://" not in SITE


def test_pictures_are_of_this_tree() -> None:
    """A page shows no picture from another host."""
    pictures = [
        link for page in DOCS.rglob("*.md") for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text("utf-8"))
    ]
    assert pictures
    assert [link for link in pictures if "://" in link] == []


def test_the_lock_of_the_site_agrees_with_the_lock_of_the_tests() -> None:
    """Both are installed into one environment: a package that stands in both has one version."""
    pins = [
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.lock", "requirements-docs.lock")
    ]
    assert "mkdocs-material" in pins[1]
    assert {name for name in pins[0].keys() & pins[1].keys() if pins[0][name] != pins[1][name]} == set()
