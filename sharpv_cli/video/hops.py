"""Where a download may lead: each redirect is judged by the addresses before it.

A user may name a host of their own network. From there a redirect may lead out, but never further in: from the
internet to a private network, or from there to this machine itself. The check is on the very address that is then
connected to, so that no name can change its mind in between.
"""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum
from urllib.parse import urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
# From 1024 on: those that browsers do not open (WHATWG Fetch, "port blocking"), then databases and orchestrators.
_SERVICES = {
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080),
    *range(6665, 6670),
    *(2375, 2376, 2379, 2380, 3306, 3389, 5432, 5900, 6379, 8500, 9042, 9200, 9300, 10250, 11211, 27017),
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HopError(Exception):
    """A redirect leads where it may not: `where`, and `why` not."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where, self.why = where, why


class Reach(IntEnum):
    """Who can reach an address, from few to all."""

    LINK = 0
    MACHINE = 1
    NETWORK = 2
    INTERNET = 3


_IN_WORDS = {
    Reach.LINK: "on the local link",
    Reach.MACHINE: "of this machine itself",
    Reach.NETWORK: "inside of a private network",
}


def reach(address: str) -> Reach:
    """Of an IP address, or of the IPv4 address that it carries."""
    parsed = _carried(ipaddress.ip_address(address.partition("%")[0]))
    if parsed.is_link_local:
        return Reach.LINK
    if parsed.is_loopback or parsed.is_unspecified:
        return Reach.MACHINE
    return Reach.INTERNET if parsed.is_global and not parsed.is_multicast else Reach.NETWORK


def _carried(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class Hops:
    """The way of one download, from the address that the user gave."""

    def __init__(self, url: str) -> None:
        self._given_port = _port(url)
        self._reached: Reach | None = None
        self._by_proxy: str | None = None  # the host before, where a proxy reached it

    def next(self, url: str, location: str) -> str:
        """The address that a redirect from `url` leads to. Raises HopError."""
        # Headers come as Latin-1, and are UTF-8 where they are not ASCII.
        target = urljoin(url, location.encode("latin-1", "replace").decode("utf-8", "replace"))
        scheme = urlsplit(target).scheme
        if scheme not in _PORTS:
            raise HopError(f"an address of another kind ({scheme})", "only http and https are followed")
        where = origin(target)
        if urlsplit(url).scheme == "https" and scheme == "http":
            raise HopError(where, "what began encrypted would go on in the open")
        if "@" in urlsplit(target).netloc:
            raise HopError(where, "it holds a user name or a password that you did not give")
        if _port(target) != self._given_port and _is_service(_port(target)):
            raise HopError(
                where, "this port belongs to another service than the web, and you did not give it"
            )
        return target

    def connect(
        self, address: tuple[str, int], timeout: float | None, source: tuple[str, int] | None = None
    ) -> socket.socket:
        """A connection to the first address of a host that answers, judged before. Raises HopError, OSError."""
        host, port = address
        failure: OSError = OSError("the name has no address")
        for *_, found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            there = reach(str(found[0]))
            self._judge(there, str(found[0]))
            try:
                connection = socket.create_connection((str(found[0]), port), timeout, source)
            except OSError as error:
                failure = error
                continue
            self._come_to(there)
            return connection
        raise failure

    def through_proxy(self, host: str) -> None:
        """Judge a host that a proxy will connect to, as far as it can be told from here. Raises HopError.

        The first is only looked up once there is another one to judge: often only the proxy knows names.
        """
        if self._reached is not None or self._by_proxy is not None:
            there = _reach_of_name(host)
            self._judge(there, host)
            self._come_to(there)
        else:
            self._by_proxy = host

    def _judge(self, there: Reach, where: str) -> None:
        if self._by_proxy is not None:
            self._come_to(_reach_of_name(self._by_proxy))
        if self._reached is not None and there < self._reached:
            raise HopError(where, f"this address is {_IN_WORDS[there]}, and one before was not")

    def _come_to(self, there: Reach) -> None:
        self._by_proxy = None
        self._reached = max(there, self._reached or there)


def _reach_of_name(host: str) -> Reach:
    """The closest of its addresses; a name that only the proxy knows is taken for one of the internet."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return Reach.INTERNET
    return min(reach(str(address[0])) for *_, address in found)


def origin(url: str) -> str:
    """Scheme, host and port: what may be shown of an address that the user did not give."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme.lower())


def _is_service(port: int | None) -> bool:
    """Whether something else than the web listens there, as a rule."""
    return port is None or port in _SERVICES or (port < 1024 and port not in _PORTS.values())
