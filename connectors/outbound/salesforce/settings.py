"""What the operator writes for a Salesforce target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from bridge.contract.settings import SettingsModel, TargetSettings
from bridge.kit.fields import placeholders, stray_brace

_ROOTS = ("learner", "course", "registration", "order")
_DEFAULTS = {"FirstName": "{learner.first_name}", "LastName": "{learner.last_name}", "Email": "{learner.email}"}
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALLOW_SINCE = 52.0  # API version that brought the duplicate rule header


class ContactMapping(SettingsModel):
    """``[targets.NAME.contact]``: Salesforce field = template; without any: first name, last name and e-mail.

    Templates may name ``learner``, ``course`` and ``registration`` (of the enrollment that changed last) and its
    ``order``. ``LastName`` is mapped even when the table leaves it out, because Salesforce requires it.

    Attributes:
        external_id: API name of the Contact field that holds the bridge's name of the person.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    external_id: str = Field(default="Bridge_Id__c", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")

    @property
    def templates(self) -> Mapping[str, str]:
        """Templates by Salesforce field."""
        named = self.__pydantic_extra__
        return {"LastName": _DEFAULTS["LastName"], **named} if named else _DEFAULTS

    @model_validator(mode="after")
    def _usable(self) -> Self:
        ours = {"id", "attributes", self.external_id.casefold()}
        for name, template in self.templates.items():
            if not _API_NAME.fullmatch(name) or name.casefold() in ours:
                raise ValueError(f"{name} can't be mapped; expected the API name of another Contact field")
            if stray_brace(template):
                raise ValueError(f"{name} has a brace too many or too few; expected text with {{path}} in it")
            for path in placeholders(template):
                if path.split(".")[0] not in _ROOTS:
                    raise ValueError(f"{name} names {{{path}}}; expected one of {', '.join(_ROOTS)} before the dot")
        return self


class SalesforceSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "salesforce"``.

    Attributes:
        base_url: the My Domain address, ``https://EXAMPLE.my.salesforce.com``.
        client_id: consumer key of the external client app.
        client_secret: its consumer secret.
        api_version: of the REST API.
        contact: which fields of a Contact are written.
        duplicates: what follows when a duplicate rule of the org stops a contact: ``fail`` gives it to the operator,
            ``allow`` saves it all the same where the rule only alerts, ``link`` adopts the one record that matches.
    """

    base_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    api_version: str = Field(default="60.0", pattern=r"^\d{2,3}\.0$")
    contact: ContactMapping = ContactMapping()
    duplicates: Literal["fail", "allow", "link"] = "fail"

    @field_validator("base_url")
    @classmethod
    def _my_domain(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError('expected the My Domain address, such as "https://example.my.salesforce.com"')
        if parts.hostname in ("login.salesforce.com", "test.salesforce.com"):
            raise ValueError(f"{parts.hostname} refuses client credentials; expected the org's My Domain address")
        return value

    @model_validator(mode="after")
    def _version_knows_the_header(self) -> Self:
        if self.duplicates == "allow" and float(self.api_version) < _ALLOW_SINCE:
            raise ValueError(f'duplicates = "allow" needs api_version {_ALLOW_SINCE} or later')
        return self
