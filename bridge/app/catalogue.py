"""From the operator's settings to the mapping in the form that planning reads."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson

from bridge import registry
from bridge.contract.catalogue import Catalogue, CourseEntry, MailerEntry, ProductEntry, SourceEntry, TargetEntry
from bridge.contract.settings import CourseTable, MarksTestOrders, Milestone, SourceSettings, TargetSettings
from config.settings import Course, Settings


def catalogue_of(settings: Settings) -> Catalogue:
    """Return the operator's mapping in the form that planning reads; disabled sources and targets are left out."""
    scopes = {name: _scope(name, settings.sources) for name, given in settings.sources.items() if given.enabled}
    shared = Counter(scopes.values())
    sources = {
        name: _source(name, settings.sources[name], scope, joined=shared[scope] > 1) for name, scope in scopes.items()
    }
    targets = {
        name: _target(name, given, _tables_for(name, settings))
        for name, given in settings.targets.items()
        if given.enabled and not given.drop
    }
    courses = {
        key: CourseEntry(
            key=key,
            title=course.title,
            product_url=course.product_url,
            registration_url=course.registration_url,
            duration=course.access.duration,
            until=_end_of(course.access.until),
            grace=course.access.grace,
            full_access=course.access.full_access,
            tables=course.tables,
        )
        for key, course in settings.courses.items()
    }
    products = {
        (source, product.remote_product_id): ProductEntry(
            product.courses, product.product_url, product.ignore, product.seats
        )
        for product in settings.products
        for source in product.source
    }
    text = orjson.dumps(
        {
            "courses": {
                key: {**course.model_dump(mode="json", exclude_defaults=True), **_tables(course)}
                for key, course in settings.courses.items()
            },
            "products": [product.model_dump(mode="json", exclude_defaults=True) for product in settings.products],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    digest = hashlib.sha256(text).hexdigest()[:16]
    mailer, public_url = _mailer(settings, courses), settings.server.public_url
    return Catalogue(sources, targets, courses, products, digest, text.decode(), mailer, public_url)


def _mailer(settings: Settings, courses: Mapping[str, CourseEntry]) -> MailerEntry | None:
    if settings.mailer is None or settings.mailer.drop:
        return None
    return MailerEntry(settings.mailer.admin, {key: course.view for key, course in courses.items()})


def _end_of(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day + timedelta(days=1), time(), UTC)


def _tables(course: Course) -> dict[str, Any]:
    # Each is of its target's own model, of which a dump of the course would show the base only.
    return {
        "tables": {name: table.model_dump(mode="json", exclude_defaults=True) for name, table in course.tables.items()}
    }


def _scope(name: str, sources: Mapping[str, SourceSettings]) -> str:
    """Return the source that a source's orders are known under: the last of the chain of ``same_orders_as``."""
    passed: list[str] = []
    while name not in passed:
        passed.append(name)
        name = sources[name].same_orders_as or name
    return name if passed[-1] == name else min(passed)  # a ring: all of them are one


def _source(name: str, settings: SourceSettings, scope: str, *, joined: bool) -> SourceEntry:
    return SourceEntry(
        name=name,
        adapter=settings.adapter,
        namespace=settings.namespace or name,
        business_scope=scope,
        unmapped=settings.unmapped,
        joined=joined,
        test_mode=isinstance(settings, MarksTestOrders) and settings.test_mode,
        echo_of=settings.echo_of,
        accept_enrollments=settings.accept_enrollments,
    )


def _tables_for(name: str, settings: Settings) -> list[CourseTable]:
    return [course.tables[name] for course in settings.courses.values() if name in course.tables]


def _target(name: str, settings: TargetSettings, tables: Sequence[CourseTable]) -> TargetEntry:
    kind = registry.connector_class(settings.connector)
    return TargetEntry(
        name=name,
        connector=settings.connector,
        stage=kind.stage,
        known_by=kind.known_by,
        needs_table=kind.needs_table,
        course_for=kind.course_for,
        course_model=kind.Course,
        when=settings.when,
        only_if=settings.only_if,
        hears=_hears(settings, tables),
        mails=getattr(kind, "mails", frozenset()),
    )


_TOLD_BY_LMS = frozenset({Milestone.STARTED, Milestone.PROGRESS, Milestone.COMPLETED, Milestone.EXPIRED})
_PATHS_OF_PROGRESS = (
    "registration.percent",
    "registration.started_at",
    "registration.completed_at",
    "registration.milestones",
)


def _hears(settings: TargetSettings, tables: Sequence[CourseTable]) -> frozenset[Milestone]:
    """Return what an LMS tells that the target's actions wait for, or that a template or rule of its looks at."""
    awaited = {milestone for action in getattr(settings, "actions", ()) for milestone in action.on}
    # Secrets are masked in it. A course's table may have templates of its own.
    text = "".join(model.model_dump_json() for model in (settings, *tables))
    looks = any(path in text for path in _PATHS_OF_PROGRESS)
    return _TOLD_BY_LMS if looks else frozenset(awaited & _TOLD_BY_LMS)
