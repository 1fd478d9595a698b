"""A ledger behind TLS: the address says, in libpq's words, how much of the database's certificate is believed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import make_url

from bridge.contract.errors import LedgerError
from bridge.ledger.store import Ledger
from tests.connectors.inbound.paypal_rig import LOCAL, certificate, key_of, pem, root
from tests.ledger.rig import World, buy

_ASKS_FOR_TLS = bytes.fromhex("00000008 04d2162f")


@dataclass
class Front:
    """Ends TLS in front of a PostgreSQL, as the server itself does where it is built with it. The wheel's is not."""

    socket: Path
    certificate: ssl.SSLContext
    secured: int = 0
    plain: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection on to the server's socket."""
        first = await reader.readexactly(8)
        behind, ahead = await asyncio.open_unix_connection(self.socket)
        if first == _ASKS_FOR_TLS:
            writer.write(b"S")
            with suppress(ssl.SSLError, ConnectionError):  # who does not believe the certificate goes away
                await writer.start_tls(self.certificate)
                self.secured += 1
        else:
            self.plain += 1
            ahead.write(first)
        for one, other in ((reader, ahead), (behind, writer)):
            task = asyncio.create_task(_carry(one, other))
            self._open.add(task)
            task.add_done_callback(self._open.discard)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """The file of the authority that signed the database's certificate."""
    path = tmp_path / "authority.pem"
    path.write_bytes(pem(root()))
    return path


@pytest.fixture
async def behind_tls(shared_url: str, tmp_path: Path) -> AsyncIterator[tuple[Front, str]]:
    """A ledger that is reached over TLS, and its address without a word about it."""
    chain = tmp_path / "server.pem"
    key = key_of(LOCAL).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(key + pem(certificate(LOCAL, "Root of the tests")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    url = make_url(shared_url)
    front = Front(Path(str(url.query["host"])) / ".s.PGSQL.5432", context)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = url.set(host=LOCAL, port=port, query={}).render_as_string(hide_password=False)
    yield front, address
    server.close()


async def test_everything_that_a_bridge_opens_is_secured(behind_tls: tuple[Front, str], trusted: Path):
    """The writer, the reader and the listener believe the certificate, and take nothing in plain words."""
    front, address = behind_tls
    ledger = Ledger(f"{address}?sslmode=verify-full&sslrootcert={trusted}")
    await ledger.open()
    world = World(ledger)
    await world.accept(buy("INTRO"))
    assert await world.outbox("lms") == [("id:shop:ada", "open")]
    assert front.secured >= 3
    assert front.plain == 0
    await ledger.close()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("sslmode=verify-full&sslrootcert={folder}/none.pem", "does not exist"),
        ("sslmode=verify-full&sslrootcert={folder}/server.pem", "certificate verify failed"),
    ],
)
async def test_a_certificate_that_is_not_believed_is_named(
    behind_tls: tuple[Front, str], tmp_path: Path, asked: str, why: str
):
    """Nothing is written to whoever stands in the database's place, and the message says what is wrong."""
    front, address = behind_tls
    ledger = Ledger(f"{address}?{asked.format(folder=tmp_path)}")
    with pytest.raises(LedgerError, match=why):
        await ledger.open()
    assert (front.secured, front.plain) == (0, 0)
