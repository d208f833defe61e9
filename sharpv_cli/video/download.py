"""Downloading a video from a web address: http and https only, each redirect judged before it is followed."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import zlib
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from sharpv_cli import __version__
from sharpv_cli.errors import VideoError
from sharpv_cli.text import shown
from sharpv_cli.video.hops import HopError, Hops
from sharpv_cli.video.spooling import Copy

_CHUNK = 1 << 18
_SILENCE_SEC = 60.0  # the whole download has a limit of its own, see spooling
_VERSION_SEC = 10.0  # for a server to say which version of a file it has
_MOST_HOPS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
_GET_IT_YOURSELF = "download the file yourself, then give its path"
# What servers may send though it was not asked for; zlib tells gzip from its own format by itself.
_UNPACKED = {"gzip", "x-gzip", "deflate"}


def download(url: str, copy: Copy) -> None:
    """Write what the address gives to the copy. Raises VideoError when that is not all of a file."""
    try:
        if "@" in urlsplit(url).netloc:
            raise VideoError("a URL with a user name or a password is not read", hint=_GET_IT_YOURSELF)
        with closing(_answer(url, Hops(url))) as response:
            _receive(response, copy)
    except HopError as error:
        raise VideoError(
            f"{shown(copy.name)} redirects to {shown(error.where)}: {error.why}",
            hint="give that address itself if it is the one that you want",
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _refusal(copy.name, error) from error


def version_of(url: str) -> str:
    """A digest of what the server says of the content's version (ETag, else its time and length), nothing of it being
    read; empty where it does not say, or cannot be asked.
    """
    try:
        with closing(_answer(url, Hops(url), _VERSION_SEC)) as response:
            headers = response.headers
            said = headers.get("ETag") or [headers.get("Last-Modified"), headers.get("Content-Length")]
    except (HopError, OSError, http.client.HTTPException, ValueError):
        return ""  # whoever downloads it says why
    known = isinstance(said, str) or said[0]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16] if known else ""


def _answer(url: str, hops: Hops, seconds: float | None = None) -> http.client.HTTPResponse:
    """What the last of the redirects gives. Nothing is read of what the others send beside the address."""
    opener, here = _opener(hops), url
    for _ in range(_MOST_HOPS):
        try:
            return cast(
                http.client.HTTPResponse, opener.open(_request(here), timeout=seconds or _SILENCE_SEC)
            )
        except HTTPError as error:
            location = error.headers.get("Location") if error.code in _REDIRECTS else None
            if location is None:
                raise
            error.close()
            here = hops.next(here, location)
    raise OSError(f"the server redirects more than {_MOST_HOPS} times")


def _request(url: str) -> Request:
    """A request with no more than the address: what was given to a proxy or to one host goes to no other."""
    parts = urlsplit(url)
    # What is not ASCII, or a space, is written as browsers do; what is escaped already stays.
    host = parts.netloc.encode("idna").decode("ascii")
    escaped = quote(parts._replace(netloc=host).geturl(), safe=":/?#[]@!$&'()*+,;=%~")
    return Request(escaped, headers={"User-Agent": f"sharpv/{__version__}", "Accept-Encoding": "identity"})


def _receive(response: http.client.HTTPResponse, copy: Copy) -> None:
    total = response.length
    copy.expect(total)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    unpack = _unpacking(encoding, copy.name)
    came = 0
    while chunk := response.read1(_CHUNK):
        came += len(chunk)
        copy.check(came)
        for piece in unpack(chunk) if unpack else (chunk,):
            copy.write(piece)
    if (total is not None and came < total) or (unpack and unpack.open):
        of = "" if total is None else f" of {total}"
        raise VideoError(
            f"the download of {shown(copy.name)} ended early: {came}{of} bytes came",
            hint="try again, or " + _GET_IT_YOURSELF,
        )


def _unpacking(encoding: str, name: str) -> _Unpacking | None:
    if encoding in ("", "identity"):
        return None
    if encoding in _UNPACKED:
        return _Unpacking(name)
    raise VideoError(
        f"the server sends {shown(name)} compressed ({shown(encoding)}), which was not asked for",
        hint=_GET_IT_YOURSELF,
    )


class _Unpacking:
    """Makes of each chunk what the file holds, in pieces of bounded size; `open` until all of it came."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._inflate = _inflate()

    @property
    def open(self) -> bool:
        return not self._inflate.eof

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                if self._inflate.eof:  # gzip's parts may be joined
                    self._inflate = _inflate()
                yield self._inflate.decompress(chunk, _CHUNK)
                chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
        except zlib.error as error:
            raise VideoError(
                f"what the server sends of {shown(self._name)} is not compressed as it says",
                hint=_GET_IT_YOURSELF,
            ) from error


def _inflate() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)


class _Connection(http.client.HTTPConnection):
    def __init__(self, *args: Any, hops: Hops, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = hops.connect


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Web(AbstractHTTPHandler):
    """http and https, each hop judged; a proxy is connected to as it is."""

    def __init__(self, hops: Hops) -> None:
        super().__init__()
        self._hops = hops

    def http_open(self, req: Request) -> http.client.HTTPResponse:
        return self._answered(req, http.client.HTTPConnection, _Connection)

    def https_open(self, req: Request) -> http.client.HTTPResponse:
        return self._answered(req, http.client.HTTPSConnection, _SecureConnection)

    def _answered(self, req: Request, by_proxy: Any, judged: type[_Connection]) -> http.client.HTTPResponse:
        if req.has_proxy():
            self._hops.through_proxy(urlsplit(req.full_url).hostname or "")
            return self.do_open(by_proxy, req)
        return self.do_open(cast(Any, partial(judged, hops=self._hops)), req)

    http_request = https_request = AbstractHTTPHandler.do_request_


def _opener(hops: Hops) -> OpenerDirector:
    """Not `build_opener`: its handlers of ftp, file and data are not wanted, nor the one of redirects, which reads
    whatever comes with them and hands on all headers.
    """
    opener = OpenerDirector()
    handlers = (ProxyHandler(), UnknownHandler(), HTTPDefaultErrorHandler(), HTTPErrorProcessor())
    for handler in (*handlers, _Web(hops)):
        opener.add_handler(handler)
    return opener


def _refusal(name: str, error: Exception) -> VideoError:
    name = f"{shown(name)} cannot be downloaded"
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
    if "proxy URL" in str(reason):  # which may hold a password
        said = "the proxy that the environment names is not an address"
        return VideoError(f"{name}: {said}", hint="set http_proxy and https_proxy to http://host:port")
    if isinstance(reason, (ValueError, http.client.InvalidURL)):  # whose words quote what may be a password
        return VideoError(
            f"{name}: its address, that of a redirect or that of the proxy is not valid",
            hint=_GET_IT_YOURSELF,
        )
    words = getattr(reason, "strerror", None) or reason
    return VideoError(f"{name}: {shown(str(words))}", hint="check the address, and the network")
