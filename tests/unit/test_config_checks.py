"""What is accepted and still worth a word: things that lead nowhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from bridge.contract.errors import ConfigError
from bridge.registry import Registry
from config.load import Loaded, load
from tests.unit.config_types import loaded, warned

NO_SOURCE = "None: sources: no source is configured: nothing can come in"
NO_TARGET = "None: targets: no target is in use: purchases are kept and nobody is told"
LMS = '[targets.lms]\nconnector = "elevate"\nbase_url = "https://lms.example.org"\napi_key = "${KEY}"\n'
PLAIN = '[targets.plain]\nconnector = "plain"\n'
SOURCE = '[sources.ams]\nadapter = "silent"\n'


def test_nothing_in_and_nothing_out(tmp_path: Path) -> None:
    """An empty file is valid and of little use."""
    assert warned(tmp_path, "") == [NO_SOURCE, NO_TARGET]


def test_a_source_without_products(tmp_path: Path) -> None:
    """Its orders wait, or are ignored where it says so."""
    assert warned(tmp_path, SOURCE + PLAIN) == [
        "1: sources.ams: no product names this source: whatever it sells waits in quarantine"
    ]
    assert warned(tmp_path, SOURCE + 'unmapped = "ignore"\n' + PLAIN) == [
        "1: sources.ams: no product names this source: whatever it sells is ignored"
    ]


def test_a_disabled_source_needs_no_products(tmp_path: Path) -> None:
    """Nothing comes from it."""
    assert warned(tmp_path, SOURCE + "enabled = false\n" + PLAIN) == []


def test_disabled_sources_may_share_a_key(tmp_path: Path) -> None:
    """A disabled one answers as if it did not exist."""
    shop = '[sources.{}]\nadapter = "shop"\napi_key = "${{KEY}}"\nenabled = {}\n'
    text = shop.format("a", "true") + shop.format("b", "false")
    assert set(loaded(tmp_path, text, KEY="shop-key").settings.sources) == {"a", "b"}


def test_a_key_may_stand_twice_within_its_source(tmp_path: Path) -> None:
    """It is still the same source that is found."""
    text = '[sources.a]\nadapter = "shop"\napi_key = ["${KEY}", "${KEY}"]'
    assert list(loaded(tmp_path, text, KEY="shop-key").settings.sources) == ["a"]


def test_a_target_that_needs_tables_and_finds_none(tmp_path: Path) -> None:
    """An LMS without courses enrolls nobody."""
    text = LMS + SOURCE + "enabled = false\n"
    assert warned(tmp_path, text, KEY="lms-key") == [
        "1: targets.lms: no course has a table 'lms': nobody gets in there"
    ]


def test_a_target_that_may_have_tables_needs_none(tmp_path: Path) -> None:
    """A CRM takes every course."""
    text = SOURCE + 'enabled = false\n[targets.crm]\nconnector = "directory"\ntoken = "${KEY}"'
    assert warned(tmp_path, text, KEY="crm-token") == []


def test_a_disabled_target_is_not_asked_for_tables(tmp_path: Path) -> None:
    """And does not count as a target in use."""
    text = SOURCE + "enabled = false\n" + LMS + "enabled = false"
    assert warned(tmp_path, text, KEY="lms-key") == [NO_TARGET.replace("None", "4")]


def test_a_course_that_no_product_opens(tmp_path: Path) -> None:
    """Nobody can buy it."""
    text = SOURCE + PLAIN + "[courses.a]\n[courses.b]\n[[products]]\nsource='ams'\nremote_product_id=1\ncourses=['a']"
    assert warned(tmp_path, text) == ["6: courses.b: no product leads to this course"]


def test_an_ignored_product_counts_as_one_of_its_source(tmp_path: Path) -> None:
    """The operator has thought of it."""
    text = SOURCE + PLAIN + "[[products]]\nsource = 'ams'\nremote_product_id = 1\nignore = true"
    assert warned(tmp_path, text) == []


def test_one_product_of_two_sources_is_not_mapped_twice(tmp_path: Path) -> None:
    """Each source has ids of its own; a source named twice is still one."""
    text = (
        SOURCE + '[sources.shop]\nadapter = "silent"\n' + PLAIN + "[[products]]\nsource = ['ams', 'ams']\n"
        "remote_product_id = 1\nignore = true\n[[products]]\nsource = 'shop'\nremote_product_id = 1\nignore = true"
    )
    assert warned(tmp_path, text) == []


def test_loopback_and_http_targets_are_allowed(tmp_path: Path) -> None:
    """Inside one's own network that is how it is done."""
    text = PLAIN + 'base_url = "http://127.0.0.1:9000"\n'
    assert loaded(tmp_path, text).settings.targets["plain"].base_url == "http://127.0.0.1:9000"


def test_two_namespaces_at_one_target_are_a_fault() -> None:
    """Two AMSs may each have a user 7; an LMS that is told of both would take them for one person."""
    text = """
[sources.one]
adapter = "elevate"
api_key = "${ONE}"
[sources.two]
adapter = "elevate"
api_key = "${TWO}"
[targets.lms]
connector = "elevate"
base_url = "https://lms.example.org"
api_key = "${LMS}"
[courses.intro]
lms = {}
[[products]]
source = ["one", "two"]
remote_product_id = "P"
courses = ["intro"]
"""
    env = {"ONE": "1", "TWO": "2", "LMS": "3"}
    with pytest.raises(ConfigError, match="namespaces") as caught:
        load_text(text, env)
    assert [fault.where for fault in caught.value.faults] == ["targets.lms"]
    shared = text.replace('"${ONE}"', '"${ONE}"\nnamespace = "m"').replace('"${TWO}"', '"${TWO}"\nnamespace = "m"')
    assert load_text(shared, env).settings.targets


def load_text(text: str, env: dict[str, str]) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bridge.toml"
        path.write_text(text)
        return load(path, Registry(), env=env)


def test_a_course_that_opens_nothing_at_any_lms(tmp_path: Path) -> None:
    """It can be bought, and nobody gets in: that is said before the first one pays."""
    text = LMS + SOURCE + "[courses.a]\nlms = {}\n[courses.b]\n"
    text += '[[products]]\nsource = "ams"\nremote_product_id = "1"\ncourses = ["a", "b"]\n'
    assert warned(tmp_path, text, KEY="lms-key") == [
        "9: courses.b: has a table for none of 'lms': whoever buys it gets in nowhere"
    ]
