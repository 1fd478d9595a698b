"""The mapping that is measured: one source, one product, an LMS and a CRM that follow it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from bridge.contract.catalogue import Catalogue, CourseEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.registry import adapter_class, connector_class

_CONFIG = """
[server]
port = {port}
[ledger]
url = "{url}"
[log]
level = "error"
[sources.ams]
adapter = "elevate"
api_key = "bench-key"
namespace = "members"
[targets.lms]
connector = "elevate"
base_url = "http://127.0.0.1:{target}"
api_key = "{key}"
{more}
[courses.intro-ce]
lms = {{}}
[[products]]
source = "ams"
remote_product_id = "ABCD1234"
courses = ["intro-ce"]
"""


def configuration(folder: str, port: int, target: int, key: str, url: str = "", more: str = "") -> Path:
    """Write what a daemon is run with: one source, and one target on a port of this machine; return the file.

    The ledger is SQLite in ``folder`` where no ``url`` is given; ``more`` are further settings of the target.
    """
    config = Path(folder, f"bridge-{port}.toml")
    url = url or f"sqlite:///{folder}/bench.db"
    config.write_text(_CONFIG.format(url=url, port=port, target=target, key=key, more=more))
    return config


def target(name: str, connector: str) -> TargetEntry:
    """Return a target as planning sees it."""
    kind = connector_class(connector)
    return TargetEntry(name, connector, kind.stage, kind.known_by, kind.needs_table, kind.course_for, kind.Course)


def source() -> SourceEntry:
    """Return the AMS."""
    return SourceEntry("ams", "elevate", "members", "ams")


def adapter() -> Any:
    """Return the AMS's adapter."""
    kind = adapter_class("elevate")
    return kind(kind.Settings.model_validate({"adapter": "elevate", "api_key": "bench-key"}))


def shop() -> SourceEntry:
    """Return the shop, which signs what it sends."""
    return SourceEntry("shop", "stripe", "shop", "shop")


def shop_adapter() -> Any:
    """Return the shop's adapter."""
    kind = adapter_class("stripe")
    given = {"adapter": "stripe", "signing_secrets": ["whsec_bench"], "api_key": "bench-key"}
    return kind(kind.Settings.model_validate(given))


@cache
def catalogue() -> Catalogue:
    """Return the mapping."""
    model = connector_class("elevate").Course
    assert model is not None
    course = CourseEntry(
        "intro-ce", "Introduction", "https://school.example.org/courses/intro-ce", tables={"lms": model()}
    )
    return Catalogue(
        sources={"ams": source(), "shop": shop()},
        targets={"lms": target("lms", "elevate"), "crm": target("crm", "hubspot")},
        courses={"intro-ce": course},
        products={(name, "ABCD1234"): ProductEntry(("intro-ce",)) for name in ("ams", "shop")},
        digest="bench",
    )
