"""Where a target shows what its ids name: addresses that an operator can open."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.app.console import page_of
from bridge.contract.outbound import HasPages
from bridge.registry import connector_class

SITE = "https://school.example.org/sub/"


@pytest.mark.parametrize(
    ("connector", "kind", "remote_id", "page"),
    [
        ("moodle", "user", "81", "user/profile.php?id=81"),
        ("moodle", "enrollment", "81:7", "course/view.php?id=7"),
        ("canvas", "user", "81", "users/81"),
        ("learndash", "user", "81", "wp-admin/user-edit.php?user_id=81"),
        ("learndash", "course", "7", "wp-admin/post.php?post=7&action=edit"),
        ("salesforce", "contact", "003Qy00000AbCdEIAV", "003Qy00000AbCdEIAV"),
        ("moodle", "until", "81", None),
        ("canvas", "enrollment", "81", None),
        ("learndash", "former", "81", None),
        ("salesforce", "deal:7", "a very long one!!", None),
    ],
)
def test_known_pages(connector: str, kind: str, remote_id: str, page: str | None) -> None:
    """Below the site's own address; None of what has no page."""
    found = connector_class(connector).page_of(SimpleNamespace(base_url=SITE), kind, remote_id)
    assert found == (None if page is None else SITE + page)


@pytest.mark.parametrize("connector", ["moodle", "canvas", "learndash", "salesforce"])
@pytest.mark.parametrize("kind", ["user", "enrollment", "course", "contact"])
@pytest.mark.parametrize(
    "remote_id", ["", "../admin", "1?x=1", "1#x", "٣", "1:٣", "javascript:1", 'x" onclick=', "a" * 17]
)
def test_no_other_id_gets_into_an_address(connector: str, kind: str, remote_id: str) -> None:
    """What a target gave that is not in its usual form leads nowhere."""
    kind_of = connector_class(connector)
    assert issubclass(kind_of, HasPages)
    assert kind_of.page_of(SimpleNamespace(base_url=SITE), kind, remote_id) is None


def test_the_password_of_a_site_stays_out_of_the_links_to_it() -> None:
    """A site behind HTTP authentication may have it in its address; viewers are shown where the site is, and no more."""
    school = SimpleNamespace(connector="canvas", base_url="https://bridge:s3cret@school.example.org/lms")
    bridge = SimpleNamespace(settings=SimpleNamespace(targets={"school": school}))
    assert page_of(bridge, "school", "user", "81") == "https://school.example.org/lms/users/81"
    assert page_of(bridge, "school", "course", "81") is None
    assert page_of(bridge, "gone", "user", "81") is None


def test_others_have_none() -> None:
    """A connector need not know any."""
    assert not issubclass(connector_class("elevate"), HasPages)
