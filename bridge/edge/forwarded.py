"""Who is at the other end of a request, when a proxy that is trusted stands in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web
from multidict import MultiMapping

Networks = Sequence[IPv4Network | IPv6Network]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end.

    Attributes:
        address: of the client, as far as it can be believed; ``-`` where nobody knows.
        https: whether a trusted proxy says that the client speaks HTTPS.
    """

    address: str
    https: bool = False

    @property
    def network(self) -> str:
        """What one customer of a provider is taken to have: an IPv4 address, or 64 bits of an IPv6 one."""
        found = _read(self.address)
        return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else self.address


def peer(request: web.Request, trusted: Networks) -> Peer:
    """Return who calls."""
    return judged(request.remote or "", request.headers, trusted)


def judged(remote: str, headers: MultiMapping[str], trusted: Networks) -> Peer:
    """Return who calls from the address of the connection and the request's headers.

    Of ``X-Forwarded-For`` only what trusted proxies added is believed, read from the right.
    """
    nearest = _read(remote)
    if nearest is None or not _in(nearest, trusted):
        return Peer(str(nearest) if nearest is not None else "-")
    said = ",".join(headers.getall("X-Forwarded-For", ())).split(",")
    address = nearest
    for text in reversed(said):
        if (before := _read(text)) is None:
            break
        address = before
        if not _in(before, trusted):
            break
    schemes: list[str] = headers.getall("X-Forwarded-Proto", [])
    return Peer(str(address), https=bool(schemes) and schemes[-1].split(",")[-1].strip().lower() == "https")


def _read(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):  # some proxies write [::1]:4711
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _in(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks if network.version == address.version)
