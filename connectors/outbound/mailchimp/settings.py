"""What an operator says of a Mailchimp target: the account, the audience, the fields, tags and events."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from bridge.contract.settings import CourseTable, Duration, TargetSettings
from bridge.kit.actions import CheckedAction, template_faults

OCCURRENCE = "bridge_key"
"""Property of every event of ours, by which it is found again."""

_DATA_CENTRE = re.compile(r".*-([a-z]+[0-9]+)")
_VENDORS_HOST = re.compile(r"([a-z0-9]+)\.api\.mailchimp\.com")
_VERSION = "/3.0"

Template = Annotated[str, Field(min_length=1)]


class MemberAction(CheckedAction):
    """``object = "member"``: fields of the list member.

    Attributes:
        fields: merge tag = template, laid over ``merge_fields`` of the target in the order of time.
    """

    object: Literal["member"]
    fields: dict[str, str] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: dict[str, str]) -> dict[str, str]:
        _refuse(template_faults(fields))
        return fields


class TagsAction(CheckedAction):
    """``object = "tags"``: tags of the member, on the list of the enrollment's course.

    Attributes:
        add: tags that are set, as templates. A template that comes out empty is no tag.
        remove: tags that are taken away, as templates.
    """

    object: Literal["tags"]
    add: tuple[Template, ...] = ()
    remove: tuple[Template, ...] = ()

    @field_validator("add", "remove")
    @classmethod
    def _known_tags(cls, tags: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        _refuse(template_faults({f"{info.field_name}[{place}]": one for place, one in enumerate(tags)}))
        return tags

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("does nothing; expected add or remove with at least one tag")
        return self


class EventAction(CheckedAction):
    """``object = "event"``: an event of the member, told once for each time that it happens.

    Attributes:
        name: of the event, 2 to 30 characters; automations are triggered by it.
        properties: name = template. ``bridge_key`` is ours: what happened, so that it is not told twice.
        within: what happened longer ago is not told any more: an action added today is silent about the past.
    """

    object: Literal["event"]
    name: str = Field(min_length=2, max_length=30)
    properties: dict[str, str] = Field(default_factory=dict)
    within: Duration = timedelta(days=7)

    @field_validator("properties")
    @classmethod
    def _known_properties(cls, properties: dict[str, str]) -> dict[str, str]:
        if OCCURRENCE in properties:
            raise ValueError(f"properties: {OCCURRENCE} is the bridge's own; choose another name")
        _refuse(template_faults({f"properties.{name}": one for name, one in properties.items()}))
        return properties


Action = Annotated[MemberAction | TagsAction | EventAction, Field(discriminator="object")]


class MailchimpSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "mailchimp"``.

    Attributes:
        base_url: default: by the key's data centre. ``/3.0`` is appended where an address given here lacks it.
        concurrency: connections at a time; at most 10, the vendor's limit. Default 4, because other programs share it.
        api_key: with its data centre suffix, as in ``...-us19``; an OAuth token needs ``base_url``.
        list_id: the audience that every learner joins.
        status_if_new: what a new member becomes; ``subscribed`` needs consent, ``pending`` asks for it by mail.
        merge_fields: merge tag = template over learner, course, registration and order, of the enrollment that changed
            last. A template that comes out empty is not sent, so that what the list knows already stays.
        skip_merge_validation: take a member although a required merge field is missing.
        batch_from: so many people who wait at once go out as one batch operation, which Mailchimp works off within
            minutes; fewer go one by one, at once. 0: always one by one.
        actions: what is done to the member, its tags and its events at which milestones.
    """

    api_key: SecretStr
    list_id: str = Field(min_length=1)
    status_if_new: Literal["transactional", "subscribed", "pending", "unsubscribed"] = "transactional"
    merge_fields: dict[str, str] = Field(
        default={"FNAME": "{learner.first_name}", "LNAME": "{learner.last_name}"},
    )
    skip_merge_validation: bool = True
    batch_from: int = Field(default=20, ge=0)
    actions: tuple[Action, ...] = ()
    concurrency: int = Field(default=4, ge=1, le=10)

    @field_validator("merge_fields")
    @classmethod
    def _known_fields(cls, templates: dict[str, str]) -> dict[str, str]:
        _refuse(template_faults(templates))
        return templates

    @model_validator(mode="after")
    def _full_address(self) -> Self:
        found = _DATA_CENTRE.fullmatch(self.api_key.get_secret_value().strip())
        address = self.base_url.rstrip("/")
        if not address:
            if found is None:
                raise ValueError(
                    'api_key ends with no data centre such as "-us19"; give the whole key, or set base_url'
                )
            address = f"https://{found[1]}.api.mailchimp.com"
        named = _VENDORS_HOST.fullmatch(_host(address))
        if named is not None and found is not None and named[1] != found[1]:
            raise ValueError(
                f"base_url names data centre {named[1]} and api_key another one, {found[1]}; leave base_url out"
            )
        if not address.endswith(_VERSION):
            address += _VERSION
        object.__setattr__(self, "base_url", address)  # frozen for everybody else; the host reads it from here
        return self

    @property
    def lenient(self) -> dict[str, str] | None:
        """Parameters of a call that writes a member."""
        return {"skip_merge_validation": "true"} if self.skip_merge_validation else None

    @property
    def mapped(self) -> list[str]:
        """Every merge tag that is written, each once."""
        found = dict.fromkeys(self.merge_fields)
        for action in self.actions:
            if isinstance(action, MemberAction):
                found |= dict.fromkeys(action.fields)
        return list(found)


class MailchimpCourse(CourseTable):
    """``[courses.*.NAME]``.

    Attributes:
        tags: what a member is tagged with while in the course.
        list_id: an audience of the course's own, joined besides the target's; the tags then go there.
    """

    tags: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    list_id: str | None = Field(default=None, min_length=1)


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ValueError("; ".join(faults))


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
