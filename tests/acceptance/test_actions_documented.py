"""The actions that docs/actions.md shows can be copied, and a fault in one is told where it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.contract.errors import ConfigError
from bridge.registry import Registry
from config.load import load

ROOT = Path(__file__).parents[2]
FILE = """
[ledger]
url = "sqlite:///bridge.db"

[sources.ams]
adapter = "elevate"
api_key = "key-for-tests"

[courses.intro-ce]
title = "Introduction"

[[products]]
source = "ams"
remote_product_id = "1"
courses = ["intro-ce"]

"""
TARGETS = {
    "hubspot": '[targets.crm]\nconnector = "hubspot"\ntoken = "pat-for-tests"\n',
    "salesforce": '[targets.crm]\nconnector = "salesforce"\nbase_url = "https://x.my.salesforce.com"\n'
    'client_id = "id-for-tests"\nclient_secret = "secret-for-tests"\n',
    "mailchimp": '[targets.news]\nconnector = "mailchimp"\napi_key = "key-for-tests-us19"\nlist_id = "a1"\n',
}
SHOWN = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "actions.md").read_text(encoding="utf-8"), re.DOTALL)
OBJECT = {"hubspot": "contact", "salesforce": "contact", "mailchimp": "member"}


def fault(folder: Path, text: str) -> tuple[str, str]:
    """Return where the one fault of a file is, and what stands in the line that it names."""
    path = folder / "bridge.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path, Registry(), env={})
    [found] = refused.value.faults
    assert found.line is not None
    return found.where, text.splitlines()[found.line - 1]


@pytest.mark.parametrize("connector", TARGETS)
def test_the_actions_of_the_docs_load_as_they_stand(tmp_path: Path, connector: str) -> None:
    """Whoever pastes them under their target has a file that works."""
    name = "news" if connector == "mailchimp" else "crm"
    shown = [block for block in SHOWN if f"[[targets.{name}.actions]]" in block]
    assert shown
    path = tmp_path / "bridge.toml"
    path.write_text(FILE + TARGETS[connector] + "\n".join(shown))
    assert load(path, Registry(), env={}).settings.targets[name].actions


@pytest.mark.parametrize("connector", TARGETS)
@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("on", 'on = "enroled"'),
        ("object", 'object = "person"'),
        ("fields", 'fields = { A = "{course.titel}" }'),
        ("only_if", 'only_if = [{ any = [{ field = "course.ky", operator = "equal_to", value = "x" }] }]'),
        ("only_if", 'only_if = [{ field = "order.total", operator = "greater_than", value = "much" }]'),
    ],
)
def test_a_fault_in_an_action_is_told_with_its_key_and_line(
    tmp_path: Path, connector: str, key: str, line: str
) -> None:
    """The second action of two, and in it the line to be mended."""
    name = "news" if connector == "mailchimp" else "crm"
    good = {"on": 'on = "enrolled"', "object": f'object = "{OBJECT[connector]}"', "fields": 'fields = { A = "b" }'}
    actions = [f"[[targets.{name}.actions]]\n" + "\n".join(one.values()) for one in (good, {**good, key: line})]
    where, told = fault(tmp_path, FILE + TARGETS[connector] + "\n".join(actions))
    assert (where.split("[1].")[1].partition("[")[0], told) == (key, line)


@pytest.mark.parametrize(
    ("key", "line", "rest"),
    [
        ("add", 'add = ["{course.titel}"]', 'object = "tags"'),
        ("remove", 'remove = ["{lerner.email}"]', 'object = "tags"'),
        ("properties", 'properties = { a = "{order.x}" }', 'object = "event"\nname = "left"'),
    ],
)
def test_a_fault_in_a_tag_or_an_event_is_told_with_its_key_and_line(
    tmp_path: Path, key: str, line: str, rest: str
) -> None:
    """As of fields."""
    action = f'[[targets.news.actions]]\non = "enrolled"\n{line}\n{rest}\n'
    where, told = fault(tmp_path, FILE + TARGETS["mailchimp"] + action)
    assert (where, told) == (f"targets.news.actions[0].{key}", line)
