"""Downloading a video from a web address: http and https only, and no way from a public host into a private network."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from functools import partial
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from sharpv_cli import __version__
from sharpv_cli.errors import VideoError
from sharpv_cli.text import shown
from sharpv_cli.video.spooling import Copy

_CHUNK = 1 << 18
_SILENCE_SEC = 60.0  # the whole download has a limit of its own, see spooling
_GET_IT_YOURSELF = "download the file yourself, then give its path"


def download(url: str, copy: Copy) -> None:
    """Write what the address gives to the copy. Raises VideoError when that is not all of a file."""
    try:
        if "@" in urlsplit(url).netloc:
            raise VideoError("a URL with a user name or a password is not read", hint=_GET_IT_YOURSELF)
        with _opener().open(_request(url), timeout=_SILENCE_SEC) as response:
            _receive(cast(http.client.HTTPResponse, response), url, copy)
    except _PrivateHostError as error:
        raise VideoError(
            f"{shown(url)} redirects to an address inside of a private network: {error}",
            hint="give that address itself if it is yours",
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _refusal(url, error) from error


def _request(url: str) -> Request:
    parts = urlsplit(url)
    # What is not ASCII, or a space, is written as browsers do; what is escaped already stays.
    host = parts.netloc.encode("idna").decode("ascii")
    escaped = quote(parts._replace(netloc=host).geturl(), safe=":/?#[]@!$&'()*+,;=%~")
    return Request(escaped, headers={"User-Agent": f"sharpv/{__version__}", "Accept-Encoding": "identity"})


def _receive(response: http.client.HTTPResponse, url: str, copy: Copy) -> None:
    total = response.length
    copy.expect(total)
    while chunk := response.read1(_CHUNK):
        copy.write(chunk)
    if total is not None and copy.received < total:
        raise VideoError(
            f"the download of {shown(url)} ended early: {copy.received} of {total} bytes came",
            hint="try again, or " + _GET_IT_YOURSELF,
        )


class _PrivateHostError(Exception):
    """A public host sent us to a host that only this machine or its network can reach."""


class _Route:
    """The hosts on the way of one download.

    A user may name a host of their own network. Once a public one has been reached, no redirect leads back
    inside: the check is on the address that the connection has, so that no name can change its mind in
    between. (Through a proxy, that is the proxy's, and the proxy decides.)
    """

    def __init__(self) -> None:
        self._left_home = False

    def check(self, address: str) -> None:
        public = is_public(address)
        if self._left_home and not public:
            raise _PrivateHostError(address)
        self._left_home |= public


def is_public(address: str) -> bool:
    """Whether the IP address is one of the open internet (and not loopback, private, link-local, ...)."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_global


class _Connection(http.client.HTTPConnection):
    def __init__(self, *args: Any, route: _Route, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._route = route

    def connect(self) -> None:
        super().connect()
        try:
            self._route.check(self.sock.getpeername()[0])
        except _PrivateHostError:
            self.close()
            raise


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Http(HTTPHandler):
    def __init__(self, route: _Route) -> None:
        super().__init__()
        self._route = route

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(cast(Any, partial(_Connection, route=self._route)), req)


class _Https(HTTPSHandler):
    def __init__(self, route: _Route) -> None:
        super().__init__()
        self._route = route

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self.do_open(cast(Any, partial(_SecureConnection, route=self._route)), req)


def _opener() -> OpenerDirector:
    """Not `build_opener`: its handlers of ftp, file and data would follow a redirect there."""
    route, opener = _Route(), OpenerDirector()
    handlers = (ProxyHandler(), UnknownHandler(), HTTPDefaultErrorHandler(), HTTPRedirectHandler())
    for handler in (*handlers, HTTPErrorProcessor(), _Http(route), _Https(route)):
        opener.add_handler(handler)
    return opener


def _refusal(url: str, error: Exception) -> VideoError:
    name = f"{shown(url)} cannot be downloaded"
    if isinstance(error, HTTPError):
        error.close()
        return VideoError(
            f"{name}: the server answers {error.code} ({shown(error.msg)})",
            hint="check the address in a browser",
        )
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        said = f"the server's certificate is not valid ({reason.verify_message})"
        return VideoError(f"{name}: {said}", hint=_GET_IT_YOURSELF)
    if isinstance(reason, TimeoutError):
        return VideoError(f"{name}: the server said nothing for {_SILENCE_SEC:g} s", hint="try again later")
    words = getattr(reason, "strerror", None) or reason
    return VideoError(f"{name}: {shown(str(words))}", hint="check the address, and the network")
