"""What an operator writes for HubSpot: the target, its mappings and actions, and a course's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from bridge.contract.settings import CourseTable, TargetSettings
from bridge.kit.actions import CheckedAction, template_faults

_ALWAYS_SENT = "is always sent; take it out of the table"


def _checked(templates: Mapping[str, str], taken: str = "") -> None:
    faults = [f"{taken}: {_ALWAYS_SENT}"] if taken in templates else []
    faults += template_faults(templates)
    if faults:
        raise ValueError("; ".join(faults))


class HubspotAction(CheckedAction):
    """What every action has: at these milestones, under these rules, set these properties.

    Attributes:
        fields: HubSpot property = template of its value.
    """

    fields: dict[str, str] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _name_what_there_is(cls, fields: dict[str, str]) -> dict[str, str]:
        _checked(fields)
        return fields


class ContactAction(HubspotAction):
    """``object = "contact"``: properties of the person's contact."""

    object: Literal["contact"]

    @field_validator("fields")
    @classmethod
    def _leaves_the_address_alone(cls, fields: dict[str, str]) -> dict[str, str]:
        _checked(fields, "email")
        return fields


class DealAction(HubspotAction):
    """``object = "deal"``: properties of the deal of the registration."""

    object: Literal["deal"]


Action = Annotated[ContactAction | DealAction, Field(discriminator="object")]


class HubspotSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "hubspot"``.

    Attributes:
        token: service key or private-app token with the scopes crm.objects.contacts.read and .write, for deals also
            crm.objects.deals.read and .write; `bridge doctor` reads with crm.schemas.contacts.read and .deals.read.
        api_version: ``v3``, or a date version such as ``2026-03``.
        contact: HubSpot property = template of its value. Templates see ``learner``, ``order``, and of the enrollment
            that changed last ``course`` and ``registration``. The e-mail is always sent.
        deal: property = template, of one deal for every registration that was ever enrolled; a course's table adds to
            it. Empty: no deals but those of actions.
        deal_key: name of the deal property that tells our deals apart. It has to hold unique values; `bridge doctor
            --fix` makes it. Two bridges at one HubSpot account need two names; another name makes new deals.
        actions: at these milestones of an enrollment, under these rules, set properties of a ``contact`` or a ``deal``.
    """

    base_url: str = "https://api.hubapi.com"
    token: SecretStr
    api_version: str = Field(default="v3", pattern=r"^(v3|\d{4}-\d{2})$")
    contact: dict[str, str] = Field(default={"firstname": "{learner.first_name}", "lastname": "{learner.last_name}"})
    deal: dict[str, str] = Field(
        default={},
        examples=[{"dealname": "{course.title} - {learner.last_name}", "amount": "{registration.amount_paid}"}],
    )
    deal_key: str = Field(default="bridge_registration_key", pattern=r"^[a-z][a-z0-9_]*$")
    actions: tuple[Action, ...] = ()

    @field_validator("contact", "deal")
    @classmethod
    def _names_what_there_is(cls, templates: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        _checked(templates, "email" if info.field_name == "contact" else "")
        return templates

    @model_validator(mode="after")
    def _leaves_the_key_alone(self) -> Self:
        for where, templates in (("deal", self.deal), *((f"actions.{n}", one.fields) for n, one in self.deal_actions)):
            if self.deal_key in templates:
                msg = f"{where}: {self.deal_key}: {_ALWAYS_SENT}"
                raise ValueError(msg)
        return self

    @property
    def deal_actions(self) -> list[tuple[int, DealAction]]:
        """The actions on deals, with their place among all actions."""
        return [(n, one) for n, one in enumerate(self.actions) if isinstance(one, DealAction)]

    @property
    def contact_actions(self) -> list[tuple[int, ContactAction]]:
        """The actions on contacts, with their place among all actions."""
        return [(n, one) for n, one in enumerate(self.actions) if isinstance(one, ContactAction)]


class HubspotCourse(CourseTable):
    """``[courses.*.NAME]``; a course may go without.

    Attributes:
        deal: property = template: added to the target's ``deal``, or in place of its lines, for deals of this course.
    """

    deal: dict[str, str] = Field(default={}, examples=[{"pipeline": "default", "dealstage": "closedwon"}])

    @field_validator("deal")
    @classmethod
    def _names_what_there_is(cls, templates: dict[str, str]) -> dict[str, str]:
        _checked(templates)
        return templates
