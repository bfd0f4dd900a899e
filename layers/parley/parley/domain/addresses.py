"""Which hosts a deployment may be sent to."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_METADATA = (
    ip_network("169.254.0.0/16"),
    ip_network("fe80::/10"),
    ip_network("fd00:ec2::/32"),
)
"""Link-local addresses and AWS's own: whoever asks there is given the machine's credentials."""

_NAT64 = ip_network("64:ff9b::/96")

_INTERNAL_NAME = re.compile(r"[^.]+|.*\.(localhost|local|internal|lan|home\.arpa)", re.IGNORECASE)
_LIKE_A_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def is_metadata_address(host: str) -> bool:
    """Whether a host is the address of a service that tells credentials; names never are."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        address = inner or address
    return address is not None and any(address in network for network in _METADATA)


def is_ambiguous(host: str) -> bool:
    """Whether a host is an IPv4 address in a form that only some programs read as one."""
    return _address(host) is None and _LIKE_A_NUMBER.fullmatch(host) is not None


def is_internal(host: str) -> bool:
    """Whether a host lies, by its address or its name, in a network that isn't the internet."""
    address = _address(host)
    if address is None:
        return _INTERNAL_NAME.fullmatch(host.rstrip(".")) is not None
    return address.is_private or address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
