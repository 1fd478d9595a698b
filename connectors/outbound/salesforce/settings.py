"""What the operator writes for a Salesforce target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from bridge.contract.settings import SettingsModel, TargetSettings
from bridge.kit.actions import CheckedAction, template_faults

_DEFAULTS = {"FirstName": "{learner.first_name}", "LastName": "{learner.last_name}", "Email": "{learner.email}"}
_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALLOW_SINCE = 52.0  # API version that brought the duplicate rule header
_LOGIN_HOSTS = ("login.salesforce.com", "test.salesforce.com")

ApiName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


def rsa_key(secret: SecretStr) -> RSAPrivateKey:
    """Return the RSA key of a PEM text; a line's end may be written out, as in environment variables.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    pem = secret.get_secret_value().replace("\\n", "\n")
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise ValueError("expected a private key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("expected an RSA private key in PEM form, with its BEGIN and END lines") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("expected an RSA key: Salesforce takes RS256 only")  # noqa: TRY004 - a fault of the file
    return key


def _usable(secret: SecretStr) -> SecretStr:
    rsa_key(secret)
    return secret


def _check(fields: Mapping[str, Any], taken: Iterable[str]) -> None:
    """Refuse field names that can't be, fields that we fill in ourselves, and templates with faults."""
    ours = {"id", "attributes", *(name.casefold() for name in taken)}
    for name in fields:
        if not _API_NAME.fullmatch(name) or name.casefold() in ours:
            raise ValueError(f"{name} can't be mapped; expected the API name of another field")
    if faults := template_faults(fields):
        raise ValueError("; ".join(faults))


class ContactMapping(SettingsModel):
    """``[targets.NAME.contact]``: Salesforce field = template; without any: first name, last name and e-mail.

    Templates may name ``learner``, ``course`` and ``registration`` (of the enrollment that changed last) and its
    ``order``. ``LastName`` is mapped even when the table leaves it out, because Salesforce requires it.

    Attributes:
        external_id: API name of the Contact field that holds the bridge's name of the person; the same one in all targets
            of an organisation, or each makes contacts of its own.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    external_id: ApiName = "Bridge_Id__c"

    @property
    def templates(self) -> Mapping[str, str]:
        """Templates by Salesforce field."""
        named = self.__pydantic_extra__
        return {"LastName": _DEFAULTS["LastName"], **named} if named else _DEFAULTS

    @model_validator(mode="after")
    def _readable(self) -> Self:
        _check(self.templates, [self.external_id])
        return self


class RegistrationMapping(SettingsModel):
    """``[targets.NAME.registration]``: Salesforce field = template, of one record for each registration.

    With templates, every registration that has ever been enrolled has a record. Without any, the actions alone make them.

    Attributes:
        object: API name of the object, such as ``Course_Registration__c``.
        external_id: API name of its field that holds the bridge's name of the registration.
        contact: API name of its lookup to Contact; the relationship's name (``Contact__r``) will do.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    object: ApiName
    external_id: ApiName = "Registration_Key__c"
    contact: ApiName = "Contact__c"

    @property
    def templates(self) -> Mapping[str, str]:
        """Templates by Salesforce field."""
        return self.__pydantic_extra__

    @property
    def relationship(self) -> str:
        """The name under which the lookup takes its parent by external id: ``Contact__r`` for ``Contact__c``."""
        if self.contact.endswith("__c"):
            return self.contact.removesuffix("__c") + "__r"
        return self.contact.removesuffix("Id") if self.contact != "Id" else self.contact

    @property
    def taken(self) -> tuple[str, ...]:
        """Fields that the bridge fills in by itself."""
        return (self.external_id, self.contact, self.relationship)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        _check(self.templates, self.taken)
        return self


class _FieldsAction(CheckedAction):
    fields: dict[str, str] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _readable(cls, fields: dict[str, str]) -> dict[str, str]:
        _check(fields, [])
        return fields


class ContactAction(_FieldsAction):
    """An action that writes fields of the Contact.

    Attributes:
        fields: Salesforce field = template, of the enrollment that reached the milestone.
    """

    object: Literal["contact"]


class RegistrationAction(_FieldsAction):
    """An action that writes fields of the registration's record.

    Attributes:
        fields: Salesforce field = template, of the enrollment that reached the milestone.
    """

    object: Literal["registration"]


Action = Annotated[ContactAction | RegistrationAction, Field(discriminator="object")]


class SalesforceSettings(TargetSettings):
    """``[targets.NAME]`` with ``connector = "salesforce"``.

    Attributes:
        base_url: the My Domain address, ``https://EXAMPLE.my.salesforce.com``.
        client_id: consumer key of the external client app.
        client_secret: its consumer secret; leave it out where ``private_key`` is given.
        username: with ``private_key``: the user as whom the bridge works.
        private_key: RSA key as PEM whose certificate the app has (OAuth JWT bearer), instead of ``client_secret``.
        audience: with ``private_key``: for whom the login is: ``https://login.salesforce.com``, of a sandbox
            ``https://test.salesforce.com``. Not set, it follows from ``base_url``.
        api_version: of the REST API.
        adopt: look for a contact by e-mail before one is made: a single one without ``external_id`` becomes the learner's.
        contact: which fields of a Contact are written.
        registration: the object with one record for each registration: ``object``, ``external_id``, ``contact`` (its
            lookup) and fields.
        actions: what else is written at which milestones: ``object = "contact"`` or ``"registration"`` with ``fields``.
        duplicates: what follows when a duplicate rule of the org stops a record: ``fail`` gives it to the operator,
            ``allow`` saves it all the same where the rule only alerts, ``link`` adopts the one contact that matches.
        stop_at: per cent of the org's daily API requests at which the bridge pauses, and leaves the rest to others.
    """

    base_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    username: str = ""
    private_key: Annotated[SecretStr, AfterValidator(_usable)] | None = None
    audience: str = Field(default="", pattern=r"^(https://[^\s/]+(/[^\s]*)?)?$")
    api_version: str = Field(default="60.0", pattern=r"^\d{2,3}\.0$")
    adopt: bool = True
    contact: ContactMapping = ContactMapping()
    registration: RegistrationMapping | None = None
    actions: tuple[Action, ...] = ()
    duplicates: Literal["fail", "allow", "link"] = "fail"
    stop_at: int = Field(default=90, ge=1, le=100)

    @property
    def login_for(self) -> str:
        """The audience of a signed login: as it was set, else production's or the sandboxes', by the address."""
        if self.audience:
            return self.audience
        host = urlsplit(self.base_url).hostname or ""
        sandbox = host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com")
        return f"https://{_LOGIN_HOSTS[sandbox]}"

    @model_validator(mode="before")
    @classmethod
    def _secret_or_key(cls, given: Any) -> Any:
        # Required, so that the example file shows it as the usual way; a signed login needs none.
        if isinstance(given, dict) and given.get("private_key") and "client_secret" not in given:
            return {**given, "client_secret": ""}
        return given

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError('expected the My Domain address, such as "https://example.my.salesforce.com"')
        return value

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        host = urlsplit(self.base_url).hostname
        if self.private_key is None:
            if not self.client_secret.get_secret_value():
                raise ValueError("client_secret is empty; expected it, or private_key with username")
            if host in _LOGIN_HOSTS:
                raise ValueError(f"base_url: {host} refuses client credentials; expected the org's My Domain address")
            if self.username or self.audience:
                raise ValueError("username and audience go with private_key; expected both, or neither")
        elif self.client_secret.get_secret_value():
            raise ValueError("both client_secret and private_key are given; expected one of them")
        elif not self.username:
            raise ValueError("private_key needs username; expected the user as whom the bridge works")
        return self

    @model_validator(mode="after")
    def _version_knows_the_header(self) -> Self:
        if self.duplicates == "allow" and float(self.api_version) < _ALLOW_SINCE:
            raise ValueError(f'duplicates = "allow" needs api_version {_ALLOW_SINCE} or later')
        return self

    @model_validator(mode="after")
    def _actions_have_their_object(self) -> Self:
        for action in self.actions:
            if isinstance(action, ContactAction):
                _check(action.fields, [self.contact.external_id])
            elif self.registration is None:
                raise ValueError('an action on "registration" needs the table registration = { object = "..." }')
            else:
                _check(action.fields, self.registration.taken)
        if self.registration and not self.registration.templates and not self._of_registrations:
            raise ValueError('registration has neither fields nor an action with object = "registration"')
        return self

    @property
    def _of_registrations(self) -> list[RegistrationAction]:
        return [action for action in self.actions if isinstance(action, RegistrationAction)]
