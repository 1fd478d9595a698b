"""Logging in at Salesforce: by a client's credentials or a signed assertion, and each refusal in an operator's words."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from bridge.contract.outbound import NeedsOperator, Operation, Receipt, TryLater
from bridge.kit.clock import SetClock, SystemClock
from connectors.outbound.salesforce import CONNECTOR
from connectors.outbound.salesforce.errors import ERRORS
from connectors.sandbox.salesforce import EMULATOR
from tests.connectors.outbound.salesforce_rig import calls
from tests.suites.outbound import OutboundSuite, Rig

SIGNED: dict[str, Any] = EMULATOR.signed_credentials()
HOME = "https://example.my.salesforce.com"


def signs(rig: Rig, clock: Any = None, **changes: Any) -> None:
    """Let the rig's connector log in by a signed assertion."""
    given = {"connector": "salesforce", "base_url": rig.emulator.base_url, **SIGNED, **changes}
    rig.connector = CONNECTOR(CONNECTOR.Settings.model_validate(given), rig.connector._http, clock or SystemClock())


def pem(key: Any, secret: bytes | None = None) -> str:
    """Return a private key as an operator has it."""
    locked = BestAvailableEncryption(secret) if secret else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked).decode()


class TestSigned:
    """OAuth JWT bearer."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    async def test_the_assertion_is_the_documented_one(self, rig: Rig) -> None:
        """RS256; the consumer key for the user, to production, for three minutes; and no secret beside it."""
        at = datetime.now(UTC).replace(microsecond=0)
        signs(rig, SetClock(at))
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        form = parse_qs(rig.emulator.journal[0].body.decode())
        assert sorted(form) == ["assertion", "grant_type"]
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        header, claims = (
            json.loads(base64.urlsafe_b64decode(part + "==")) for part in form["assertion"][0].split(".")[:2]
        )
        assert header == {"alg": "RS256", "typ": "JWT"}
        assert claims == {
            "iss": "sandbox-consumer-key",
            "sub": "bridge@example.org.sandbox",
            "aud": "https://login.salesforce.com",
            "exp": int(at.timestamp()) + 180,
        }

    async def test_a_clock_that_is_wrong_is_made_good_by_theirs_once(self, rig: Rig) -> None:
        """Salesforce says that it is out of date; its answer tells what time it is there."""
        signs(rig, SetClock(datetime.now(UTC) - timedelta(hours=1)))
        assert isinstance(await rig.do(Operation.CONTACT), Receipt)
        assert [seen.path for seen in rig.emulator.journal[:2]] == ["/services/oauth2/token"] * 2

    async def test_out_of_date_by_their_own_clock_is_the_operators(self, rig: Rig) -> None:
        """A third signature would fare no better."""
        signs(rig)
        rig.emulator.login.refusal = ("invalid_grant", "expired authorization code")
        (outcome,) = await rig.deliver([rig.work(Operation.CONTACT)])
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, outcome.remedy) == ("lane", ERRORS["assertion-expired"].next_step)
        assert len(rig.emulator.journal) == 2

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"audience": "https://test.salesforce.com"}, "wrong-audience"),
            ({"private_key": pem(rsa.generate_private_key(65537, 2048))}, "assertion-refused"),
            ({"username": "somebody@example.org"}, "user-not-approved"),
            ({"client_id": "unknown"}, "wrong-client"),
        ],
    )
    async def test_what_does_not_fit_is_told_apart(self, rig: Rig, changes: dict[str, str], error: str) -> None:
        """Place, key, user and app are corrected in different settings."""
        signs(rig, **changes)
        (outcome,) = await rig.deliver([rig.work(Operation.CONTACT)])
        assert isinstance(outcome, NeedsOperator)
        assert (outcome.scope, outcome.remedy) == ("lane", ERRORS[error].next_step)
        assert outcome.why.startswith(ERRORS[error].sentence)

    async def test_neither_key_nor_assertion_reaches_the_record(self, rig: Rig) -> None:
        """Both would let anybody in."""
        signs(rig)
        _, story = await rig.told(Operation.CONTACT)
        form = parse_qs(rig.emulator.journal[0].body.decode())
        assert form["assertion"][0] not in str(story)
        assert form["assertion"][0].rpartition(".")[2] not in str(story)


class TestRefusals:
    """Every row of the token endpoint's table, as it is said."""

    rig = OutboundSuite.rig
    type, target, course = "salesforce", {}, None

    @pytest.mark.parametrize(
        ("said", "description", "error"),
        [
            ("invalid_grant", "audience is invalid", "wrong-audience"),
            ("invalid_grant", "invalid assertion", "assertion-refused"),
            ("invalid_grant", "expired authorization code", "assertion-expired"),
            ("invalid_grant", "user hasn't approved this consumer", "user-not-approved"),
            ("invalid_grant", "no client credentials user enabled", "no-run-as-user"),
            ("invalid_grant", "authentication failure - invalid client credentials", "wrong-secret"),
            ("invalid_grant", "user is locked", "user-locked"),
            ("invalid_grant", "expired access/refresh token", "access-expired"),
            ("invalid_grant", "something new", "login-refused"),
            ("invalid_client_id", "client identifier invalid", "wrong-client"),
            ("invalid_client", "", "wrong-secret"),
            ("inactive_user", "", "user-inactive"),
            ("inactive_org", "", "org-inactive"),
            ("unsupported_grant_type", "grant type not supported", "flow-not-enabled"),
            ("something_new", "", "login-refused"),
        ],
    )
    async def test_each_has_its_own_remedy(self, rig: Rig, said: str, description: str, error: str) -> None:
        """All of them are the lane's, and nothing was sent to the API."""
        rig.emulator.login.refusal = (said, description)
        for outcome in [*await rig.deliver([rig.work(Operation.CONTACT)]), await rig.connector.check()]:
            assert isinstance(outcome, NeedsOperator)
            assert outcome.scope == "lane"
            assert outcome.why.startswith(ERRORS[error].sentence)
            assert outcome.remedy == ERRORS[error].next_step
            assert outcome.why.endswith(description or said)
        assert calls(rig) == []

    async def test_an_app_without_a_user_to_run_as(self, rig: Rig) -> None:
        """The emulated org says it as the vendor does."""
        rig.emulator.login.run_as = False
        outcome = await rig.do(Operation.CONTACT)
        assert outcome.remedy == ERRORS["no-run-as-user"].next_step

    async def test_too_many_logins_slow_the_lane(self, rig: Rig) -> None:
        """It is a limit, though its status is 400."""
        rig.emulator.login.login_limit = 0
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert (outcome.scope, outcome.cause, outcome.after) == ("lane", "throttled", 300.0)

    async def test_a_session_that_ends_between_two_calls_and_no_new_one_keeps_what_is_done(self, rig: Rig) -> None:
        """The contact was looked for; its upsert had no session, and says so."""
        rig.emulator.now_fails("status", status=401, method="PATCH", body=[])
        rig.emulator.login.login_limit = 1
        outcome = await rig.do(Operation.CONTACT)
        assert isinstance(outcome, TryLater)
        assert outcome.cause == "throttled"


class TestSettings:
    """One way to log in, and a key that can be used."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"client_secret": "shh"}, "both client_secret and private_key"),
            ({"username": ""}, "needs username"),
            ({"private_key": "made-up"}, "PEM form"),
            ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "RS256"),
            ({"private_key": pem(rsa.generate_private_key(65537, 2048), b"phrase")}, "passphrase"),
            ({"audience": "login.salesforce.com"}, "audience"),
            ({"private_key": None, "client_secret": ""}, "client_secret is empty"),
            ({"private_key": None, "client_secret": "shh"}, "go with private_key"),
        ],
    )
    def test_a_fault_says_what_was_expected(self, changes: dict[str, Any], said: str) -> None:
        """And never what the key is."""
        given = {"connector": "salesforce", "base_url": HOME, **SIGNED, **changes}
        with pytest.raises(ValidationError, match=said) as fault:
            CONNECTOR.Settings.model_validate(given)
        assert "BEGIN" not in "".join(one["msg"] for one in fault.value.errors()).replace("its BEGIN", "")

    @pytest.mark.parametrize(
        ("base_url", "audience", "expected"),
        [
            (HOME, "", "https://login.salesforce.com"),
            ("https://login.salesforce.com", "", "https://login.salesforce.com"),
            ("https://test.salesforce.com", "", "https://test.salesforce.com"),
            ("https://example--dev.sandbox.my.salesforce.com", "", "https://test.salesforce.com"),
            (HOME, "https://test.salesforce.com", "https://test.salesforce.com"),
        ],
    )
    def test_for_whom_a_login_is_follows_from_the_address(self, base_url: str, audience: str, expected: str) -> None:
        """Unless the operator says it."""
        given = {"connector": "salesforce", "base_url": base_url, **SIGNED, "audience": audience}
        assert CONNECTOR.Settings.model_validate(given).login_for == expected

    def test_a_key_from_an_environment_variable_may_have_its_line_ends_written_out(self) -> None:
        r"""Many a panel takes one line only, with ``\n`` in it."""
        given = {"connector": "salesforce", "base_url": HOME, **SIGNED}
        CONNECTOR.Settings.model_validate(given | {"private_key": SIGNED["private_key"].replace("\n", "\\n")})
