"""Whether PayPal sent a webhook: the signature over transmission, webhook and body, and the certificate behind it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from bridge.contract.errors import SignatureInvalid, TransportFault
from bridge.contract.inbound import InboundEvent
from bridge.kit.http import Http

CERT_URL = "paypal-cert-url"

_SIGNATURE, _ALGORITHM = "paypal-transmission-sig", "paypal-auth-algo"
_HEADERS = ("paypal-transmission-id", "paypal-transmission-time", _SIGNATURE, _ALGORITHM, CERT_URL)
_ALGORITHMS: dict[str, hashes.HashAlgorithm] = {"SHA256withRSA": hashes.SHA256(), "SHA1withRSA": hashes.SHA1()}  # noqa: S303 - the vendor's own list
_ADDRESS = re.compile(r"https://([a-z0-9.:-]+)/v1/notifications/certs/[A-Za-z0-9_-]{1,200}")
_NAME = ".paypal.com"  # what the certificate's name ends with
_GONE = frozenset({400, 404, 410})
_KEPT, _LIFE = 16, timedelta(hours=12)
_LONGEST = 65_536  # bytes of certificates; a chain is a few thousand


@dataclass(frozen=True, slots=True)
class Transmission:
    """What the headers of a webhook say, as they came."""

    id: str
    time: str
    signature: str
    algorithm: str
    cert_url: str

    @classmethod
    def of(cls, event: InboundEvent, cert_hosts: Collection[str]) -> Transmission:
        """Read them.

        Raises:
            SignatureInvalid: one is missing or unusable, or the certificate is to come from somebody else.
        """
        texts = [event.headers.get(name, "") for name in _HEADERS]
        missing = [name for name, text in zip(_HEADERS, texts, strict=True) if not text]
        if missing:
            raise SignatureInvalid(f"{missing[0]} is missing")
        found = cls(*texts)
        address = _ADDRESS.fullmatch(found.cert_url)
        if address is None or address[1] not in cert_hosts:
            raise SignatureInvalid("the certificate's address is not PayPal's")
        if found.algorithm not in _ALGORITHMS:
            raise SignatureInvalid("the signature's algorithm is not known")
        if _decoded(found.signature) is None:
            raise SignatureInvalid("the signature is not base64")
        return found

    def signed_by(self, key: RSAPublicKey, webhook_ids: Sequence[str], body: bytes) -> bool:
        """Say whether the key signed this body for one of our webhooks."""
        signature = _decoded(self.signature)
        if signature is None:
            return False
        for webhook_id in webhook_ids:
            message = f"{self.id}|{self.time}|{webhook_id}|{zlib.crc32(body)}".encode("utf-8", "surrogatepass")
            try:
                key.verify(signature, message, PKCS1v15(), _ALGORITHMS[self.algorithm])
            except InvalidSignature:
                continue
            return True
        return False


class Certificates:
    """Keys of PayPal's certificates, by address; only those of certificates that stood every check are kept."""

    def __init__(self, trust_root: str) -> None:
        """Trust these roots (PEM), or the system's where it is empty."""
        self._trust_root = trust_root
        self._kept: OrderedDict[str, tuple[datetime, RSAPublicKey]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def key(self, address: str, at: datetime, http: Http) -> RSAPublicKey:
        """Return the key of the certificate at an address that :meth:`Transmission.of` allowed.

        Raises:
            SignatureInvalid: there is no certificate, or it is not one of PayPal's that is good at this time.
            TransportFault: nobody answered, or in a way that says nothing about the certificate.
        """
        if (key := self._known(address, at)) is not None:
            return key
        async with self._turn:  # a burst of events asks once
            if (key := self._known(address, at)) is not None:
                return key
            answer = await http.send("GET", address)
            if answer.status in _GONE:
                raise SignatureInvalid("there is no such certificate")
            if answer.status != 200 or len(answer.body) > _LONGEST:
                raise TransportFault(f"fetch the certificate: HTTP {answer.status}, {len(answer.body)} bytes")
            key, until = _checked(answer.body, at, _store(self._trust_root))
            self._kept[address] = (min(until, at + _LIFE), key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return key

    def _known(self, address: str, at: datetime) -> RSAPublicKey | None:
        until, key = self._kept.get(address, (at, None))
        return key if at < until else None


def _checked(pem: bytes, at: datetime, roots: Store) -> tuple[RSAPublicKey, datetime]:
    """Return the key of PayPal's certificate among these, and when the certificate ends; the others are its issuers."""
    try:
        given = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise SignatureInvalid("the certificate can't be read") from None
    for place, certificate in enumerate(given):
        if (name := _name_of(certificate)) is None:
            continue
        verifier = PolicyBuilder().store(roots).time(at).build_server_verifier(x509.DNSName(name))
        try:
            verifier.verify(certificate, given[:place] + given[place + 1 :])
        except VerificationError:
            raise SignatureInvalid("the certificate leads to no root that is trusted, or is out of date") from None
        key = certificate.public_key()
        if isinstance(key, RSAPublicKey):
            return key, certificate.not_valid_after_utc
    raise SignatureInvalid("the certificate is not in PayPal's name")


def _name_of(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    hosts = names.get_values_for_type(x509.DNSName)
    return next((host for host in hosts if host.endswith(_NAME) and "*" not in host), None)


@cache
def _store(trust_root: str) -> Store:
    return Store(x509.load_pem_x509_certificates(trust_root.encode()) if trust_root else _system_roots())


def _system_roots() -> list[x509.Certificate]:
    found: list[bytes] = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found:  # a system with a folder of roots instead of a file
        folder = Path(ssl.get_default_verify_paths().openssl_capath)
        found = [ssl.PEM_cert_to_DER_cert(path.read_text("latin-1")) for path in sorted(folder.glob("*.0"))]
    roots = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a root that only just passes today is left out, and not a reason to fail
        for der in found:
            try:
                roots.append(x509.load_der_x509_certificate(der))
            except (ValueError, Warning):
                continue
    if not roots:
        raise TransportFault("this system has no root certificates: install them, or set trust_root")
    return roots


def _decoded(text: str) -> bytes | None:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    # One signature has one spelling: the spare bits of the last character would allow others.
    return found if found and base64.b64encode(found).decode() == text else None
