"""What planning reads of the operator's mapping."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.app.catalogue import catalogue_of
from bridge.contract.settings import Milestone
from bridge.registry import Registry
from config.load import load

FILE = """
[ledger]
url = "sqlite:///{folder}/bridge.db"

[sources.shop]
adapter = "elevate"
api_key = "key-for-tests"

[targets.crm]
connector = "hubspot"
token = "pat-for-tests"
{target}

[courses.intro]
title = "Introduction"
{course}

[[products]]
source = "shop"
remote_product_id = "1"
courses = ["intro"]
"""
ALL = {Milestone.STARTED, Milestone.PROGRESS, Milestone.COMPLETED, Milestone.EXPIRED}


@pytest.mark.parametrize(
    ("target", "course", "hears"),
    [
        ("", "", set()),
        ('deal = {{ dealname = "{{course.title}}" }}', 'crm = {{ deal = {{ amount = "1" }} }}', set()),
        ('contact = {{ percent = "{{registration.percent}}" }}', "", ALL),
        ('contact = {{ done = "{{registration.milestones.completed}}" }}', "", ALL),
        ("", 'crm = {{ deal = {{ percent = "{{registration.percent}}" }} }}', ALL),
        ('actions = [{{ on = "started", object = "contact", fields = {{ s = "1" }} }}]', "", {Milestone.STARTED}),
    ],
)
def test_a_target_hears_what_its_templates_and_actions_ask_for(
    tmp_path: Path, target: str, course: str, hears: set[Milestone]
) -> None:
    """Those of its courses' tables too; and a target that asks for nothing is left alone."""
    path = tmp_path / "bridge.toml"
    path.write_text(FILE.format(folder=tmp_path, target=target.format(), course=course.format()))
    settings = load(path, Registry(), env={}).settings
    assert catalogue_of(settings).targets["crm"].hears == hears
