"""A widely used client of Salesforce's against our emulator, and its requests beside ours."""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from requests.adapters import HTTPAdapter

from bridge.contract.outbound import Operation, Receipt
from connectors.outbound.salesforce import CONNECTOR
from connectors.sandbox.salesforce import EMULATOR
from tests.connectors.outbound.salesforce_rig import ADAS, REGISTRATION, configured, enrolled
from tests.suites.outbound import ADA, OutboundSuite, Rig

HOME = "https://example.my.salesforce.com"
SIGNED: dict[str, Any] = EMULATOR.signed_credentials()


class _Loopback(HTTPAdapter):
    """Takes the client's https calls, whatever their host, to the emulator."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = self._base_url + "/" + request.url.split("/", 3)[3]
        return super().send(request, *args, **kwargs)


def _client(session: requests.Session, base_url: str, **login: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from simple_salesforce import Salesforce  # noqa: PLC0415 - it warns while imported

        session.mount("https://", _Loopback(base_url))
        return Salesforce(session=session, version="60.0", **login)


def _with_secret(session: requests.Session, base_url: str) -> Any:
    named = {"consumer_key": "sandbox-consumer-key", "consumer_secret": "sandbox-consumer-secret"}
    return _client(session, base_url, domain="example.my", **named)


def _exercised(base_url: str) -> dict[str, Any]:
    from simple_salesforce import SalesforceMalformedRequest  # noqa: PLC0415 - it warns while imported

    with requests.Session() as session:
        client = _with_secret(session, base_url)
        direct = _client(session, base_url, instance_url=HOME, session_id=client.session_id)
        seen = {
            "created": direct.Contact.upsert("Bridge_Id__c/p-8841", {"LastName": "Hopper", "Email": "g@example.org"}),
            "updated": direct.Contact.upsert("Bridge_Id__c/p-8841", {"FirstName": "Grace"}),
            "read": direct.Contact.get_by_custom_id("Bridge_Id__c", "p-8841"),
            "ours": client.Contact.get_by_custom_id("Bridge_Id__c", ADAS),
            "found": client.query("SELECT Id, LastName FROM Contact WHERE Email = 'g@example.org'"),
            "all": [row["LastName"] for row in client.query_all_iter("SELECT LastName FROM Contact")],
            "fields": [field["name"] for field in client.Contact.describe()["fields"]],
            "limits": client.limits()["DailyApiRequests"],
            "usage": client.api_usage["api-usage"],
        }
        with pytest.raises(SalesforceMalformedRequest) as refused:
            client.Contact.upsert("Bridge_Id__c/p-1", {"FirstName": "NoLast"})
        return seen | {"refused": refused.value.content}


def _signed_in(base_url: str) -> str:
    with requests.Session() as session:
        named = {"username": SIGNED["username"], "consumer_key": SIGNED["client_id"]}
        client = _client(session, base_url, privatekey=SIGNED["private_key"], domain="login", **named)
        return str(client.session_id)


def _same_work(base_url: str, ours: list[Any]) -> None:
    """Do by their client what our connector did by the calls in ``ours``."""
    from simple_salesforce.format import format_soql  # noqa: PLC0415 - it warns while imported

    look, contact, registration = ours
    with requests.Session() as session:
        client = _with_secret(session, base_url)
        select = "SELECT Id, Email, Bridge_Id__c FROM Contact WHERE Email IN {}"
        client.query(format_soql(select, [look.query["q"].split("'")[1]]))
        client.Contact.upsert(f"Bridge_Id__c/{ADAS}", contact.json)
        client.Course_Registration__c.upsert("Registration_Key__c/bridge-registration-7", registration.json)


def _claims(body: bytes) -> dict[str, Any]:
    part = parse_qs(body.decode())["assertion"][0].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "==")))


class TestOracle:
    """It takes the emulator for Salesforce, so what we prove against it means something."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_their_client_logs_in_writes_and_reads(self, rig: Rig) -> None:
        """By the same calls, with the statuses and bodies that it expects; and it finds what our connector wrote."""
        rig.emulator.page_size = 1
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        seen = await asyncio.to_thread(_exercised, rig.emulator.base_url)
        assert (seen["created"], seen["updated"]) == (201, 200)
        assert seen["read"]["attributes"]["type"] == "Contact"
        assert {**seen["read"]}.items() >= {"FirstName": "Grace", "LastName": "Hopper"}.items()
        assert seen["ours"]["Email"] == ADA.email
        assert (seen["found"]["totalSize"], seen["found"]["records"][0]["Id"]) == (1, seen["read"]["Id"])
        assert seen["all"] == ["Lovelace", "Hopper"]
        assert "Bridge_Id__c" in seen["fields"]
        assert seen["limits"]["Max"] == 100_000
        assert seen["usage"].total == 100_000
        assert seen["refused"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"

    async def test_their_requests_for_the_same_work_are_ours(self, rig: Rig) -> None:
        """Method, address, query and body; they end the address of a query with a slash."""
        configured(rig, registration=REGISTRATION)
        odd = ADA.model_copy(update={"email": "o\\hara@example.org"})
        assert isinstance(await rig.do(Operation.CONTACT, odd, enrollments=(enrolled(rig),)), Receipt)
        ours = [one for one in rig.emulator.journal if "oauth2" not in one.path]
        rig.emulator.journal.clear()
        odd_look = ours[0]
        await asyncio.to_thread(_same_work, rig.emulator.base_url, [_plain(odd_look), *ours[1:]])
        theirs = [one for one in rig.emulator.journal if "oauth2" not in one.path]
        assert [(one.method, one.path.rstrip("/"), one.query) for one in theirs] == [
            (one.method, one.path, one.query) for one in ours
        ]
        assert [one.json for one in theirs[1:]] == [one.json for one in ours[1:]]
        assert [one.headers["Content-Type"] for one in theirs[1:]] == [one.headers["Content-Type"] for one in ours[1:]]

    async def test_their_signed_login_is_taken_and_claims_what_ours_claims(self, rig: Rig) -> None:
        """But for the moment at which it ends, which they write as text."""
        assert (await asyncio.to_thread(_signed_in, rig.emulator.base_url)) in rig.emulator.login.sessions
        given = {"connector": "salesforce", "base_url": rig.emulator.base_url, **SIGNED}
        rig.connector = CONNECTOR(CONNECTOR.Settings.model_validate(given), rig.connector._http, rig.connector._clock)
        assert isinstance(await rig.connector.check(), Receipt)
        theirs, ours = (_claims(one.body) for one in rig.emulator.journal if "oauth2" in one.path)
        assert abs(int(theirs.pop("exp")) - ours.pop("exp")) <= 5
        assert theirs == ours
        forms = [parse_qs(one.body.decode()) for one in rig.emulator.journal if "oauth2" in one.path]
        assert [form["grant_type"] for form in forms] == [["urn:ietf:params:oauth:grant-type:jwt-bearer"]] * 2


def _plain(look: Any) -> Any:
    """Return our query with its one address as it was before it was escaped."""
    return type(look)(look.method, look.path, {"q": look.query["q"].replace("\\\\", "\\")}, look.headers, look.body)
