"""Networks that senders are in: what may be written, and what a slip of the mask is told."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator

from ingest.config.quantities import shown


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network meant by "10.0.0.0/8", or by an address, which is a network of one."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    # A zone like `%eth0` belongs to an address of a link, not to a network.
    if network is None or "%" in text or not _is_by_length(text):
        raise ValueError(
            f"{shown(text)} is not a network; write it like"
            ' "10.0.0.0/8", "2001:db8::/32", or "10.0.0.1" for one address'
        )
    address, _, length = text.partition("/")
    if length and ip_address(address) != network.network_address:
        raise ValueError(
            f"{shown(text)} has bits set behind the first {network.prefixlen};"
            f' write "{network}" for the network, or "{address}" for the one address'
        )
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{shown(text)} is a form of IPv4 addresses; write them as IPv4")
    return network


def _is_by_length(text: str) -> bool:
    """Refuse netmasks: `10.0.0.0/255.0.0.0` says in more words what `/8` says."""
    _, slash, length = text.partition("/")
    return not slash or (length.isascii() and length.isdigit())


def _check(text: str) -> str:
    parse_network(text)
    return text


Network = Annotated[str, AfterValidator(_check)]
"""A network in CIDR form, or an address."""
