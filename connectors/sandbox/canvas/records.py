"""What the emulated Canvas holds, and how it shows that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

_FIELDS = {
    "user": {"name", "short_name", "skip_registration", "email"},
    "pseudonym": {"unique_id", "sis_user_id", "send_confirmation", "authentication_provider_id"},
    "communication_channel": {"type", "address", "skip_confirmation"},
}
TYPES = ("StudentEnrollment", "TeacherEnrollment", "TaEnrollment", "ObserverEnrollment", "DesignerEnrollment")
_ENROLLMENT_FIELDS = {
    *("user_id", "type", "role_id", "enrollment_state", "course_section_id", "limit_privileges_to_course_section"),
    *("notify", "start_at", "end_at"),
}


@dataclass(slots=True)
class User:
    """A person. ``locale`` and ``suspended`` are the school's own business."""

    id: int
    name: str
    login: str
    email: str | None
    sis_user_id: str | None = None
    short_name: str = ""
    locale: str = "fr"
    suspended: bool = False
    deleted: bool = False
    mailed: bool = False


@dataclass(slots=True)
class Course:
    """A course; ``state`` is the vendor's ``workflow_state``."""

    id: int
    sis_course_id: str | None = None
    state: str = "available"
    term_ends: str | None = None


@dataclass(slots=True)
class Section:
    """Part of a course; ``default`` is the one that takes everybody for whom none is named."""

    id: int
    course: int
    sis_section_id: str | None = None
    default: bool = False


@dataclass(slots=True)
class Enrollment:
    """One person in one section, as one thing."""

    id: int
    user: int
    course: int
    section: int
    type: str = "StudentEnrollment"
    role: int = 3
    state: str = "active"
    start_at: str | None = None
    end_at: str | None = None
    limited: bool = False
    notified: bool = False

    @property
    def over(self) -> bool:
        """Whether its own dates are over; they count only when both are set."""
        return bool(self.start_at and self.end_at) and datetime.fromisoformat(str(self.end_at)) <= datetime.now(UTC)

    def shown(self, user: User) -> dict[str, Any]:
        """Return the enrollment as Canvas shows it."""
        return {
            "id": self.id,
            "course_id": self.course,
            "user_id": self.user,
            "type": self.type,
            "role": self.type,
            "role_id": self.role,
            "enrollment_state": self.state,
            "course_section_id": self.section,
            "limit_privileges_to_course_section": self.limited,
            "start_at": self.start_at,
            "end_at": self.end_at,
            "sis_user_id": user.sis_user_id,
        }


def shown(user: User) -> dict[str, Any]:
    """Return a user as Canvas shows it; ``sortable_name`` is left out, being the name in another order."""
    return {
        "id": user.id,
        "name": user.name,
        "short_name": user.short_name,
        "sis_user_id": user.sis_user_id,
        "integration_id": None,
        "login_id": user.login,
        "email": user.email,
        "locale": user.locale,
    }


def fault_of(asked: Mapping[str, Any], roles: Mapping[int, str]) -> str | None:
    """Return what Canvas has against an enrollment, or None."""
    if not asked:
        return "No parameters given"
    if set(asked) - _ENROLLMENT_FIELDS:
        return "unknown field"
    if not asked.get("user_id"):
        return "Can't create an enrollment without a user. Include enrollment[user_id] to create an enrollment"
    kind = asked.get("type", "StudentEnrollment")
    if kind not in TYPES:
        return "Invalid type"
    if "role_id" in asked and roles.get(asked["role_id"]) != kind:
        return "Invalid role"
    return None


def missing() -> web.Response:
    """Return the answer for what is not there."""
    return web.json_response({"errors": [{"message": "The specified resource does not exist."}]}, status=404)


def faults(by_object: Mapping[str, Any]) -> web.Response:
    """Return the answer for what a user lacks."""
    return web.json_response({"errors": by_object}, status=400)


def strange(body: Mapping[str, Any]) -> bool:
    """Say whether a user's body has a field that Canvas does not document, and would pass over without a word."""
    objects = {name: value for name, value in body.items() if name != "enable_sis_reactivation"}
    return any(name not in _FIELDS or set(value) - _FIELDS[name] for name, value in objects.items())
