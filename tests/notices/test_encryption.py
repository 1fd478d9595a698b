"""Encrypted mail: whose certificate is trusted, and that a password is never said in clear to a stranger."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.contract.outbound import NeedsOperator, Receipt
from tests.notices.server import mail_server
from tests.notices.test_mailer import mailer, sent, work


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody vouches for, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "mail.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(certificate)
    return found


@pytest.mark.parametrize("how", ["tls", "starttls"])
async def test_a_certificate_that_is_trusted_carries_the_mail(
    certificate: Path, context: ssl.SSLContext, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first byte or by STARTTLS, login and mail go over the encrypted connection."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with mail_server(login=("bridge", "hunter22"), **{how: context}) as server:
        connector = mailer(server, user="bridge", password="hunter22")
        assert isinstance(await sent(connector, work()), Receipt)
        assert await connector.check() == Receipt(note="logged in, encrypted")
        assert len(server.taken) == 1


@pytest.mark.parametrize("how", ["tls", "starttls"])
async def test_a_certificate_that_is_not_trusted_stops_the_lane(context: ssl.SSLContext, how: str) -> None:
    """Nothing is sent to whoever can't show who they are, and the operator is told why."""
    async with mail_server(**{how: context}) as server:
        outcome = await sent(mailer(server), work())
        assert isinstance(outcome, NeedsOperator), outcome
        assert outcome.scope == "lane"
        assert "can't be encrypted" in outcome.why
        assert "certificate" in outcome.why
        assert server.taken == []


async def test_a_password_is_not_said_in_clear_to_another_machine() -> None:
    """Whoever takes STARTTLS out of the answer gets no password, unless the operator has said never."""
    async with mail_server(login=("bridge", "hunter22"), host="127.0.0.2") as server:
        outcome = await sent(mailer(server, user="bridge", password="hunter22"), work())
        assert isinstance(outcome, NeedsOperator)
        assert outcome.scope == "lane"
        outcome = await sent(mailer(server, user="bridge", password="hunter22", starttls="never"), work())
        assert isinstance(outcome, Receipt)
