"""Redirects, proxies, credentials and encodings of downloads, with servers on this machine's own addresses.

Which address counts as whose is laid down: 127.0.0.2 stands for the internet, 127.0.0.3 for a private network.
"""

import gzip
import ssl
import subprocess
import time
import zlib

import clips
import pytest
from web_server import serving

from sharpv_cli.errors import UsageError, VideoError
from sharpv_cli.report.document import error_document
from sharpv_cli.text import address_without_secrets, without_secrets
from sharpv_cli.video import hops
from sharpv_cli.video.hops import Hops, Reach, reach
from sharpv_cli.video.local import Limits
from sharpv_cli.video.probe import probe
from sharpv_cli.video.sources import local_video

OWN = hops.reach
PLAYED = {"127.0.0.2": Reach.INTERNET, "127.0.0.3": Reach.NETWORK}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4").read_bytes()


@pytest.fixture(autouse=True)
def played(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(hops, "reach", lambda address: PLAYED.get(address, OWN(address)))


def frames(url, **limits):
    with local_video(url, Limits(allow_url=True, **limits)) as video:
        return probe(video).frames_total


def refused(url, **limits):
    with pytest.raises(VideoError) as caught:
        frames(url, **limits)
    return str(caught.value), caught.value.hint


def to(location, code=302):
    return (code, {"Location": location}, b"")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", Reach.MACHINE),
        ("0.0.0.0", Reach.MACHINE),
        ("::1", Reach.MACHINE),
        ("::ffff:127.0.0.1", Reach.MACHINE),
        ("64:ff9b::7f00:1", Reach.MACHINE),
        ("10.1.2.3", Reach.NETWORK),
        ("192.168.0.1", Reach.NETWORK),
        ("100.64.0.1", Reach.NETWORK),
        ("fd00::1", Reach.NETWORK),
        ("64:ff9b::a00:1", Reach.NETWORK),
        ("2002:a00:1::", Reach.NETWORK),
        ("224.0.0.1", Reach.NETWORK),
        ("169.254.169.254", Reach.LINK),
        ("fe80::1%eth0", Reach.LINK),
        ("::ffff:8.8.8.8", Reach.INTERNET),
        ("8.8.8.8", Reach.INTERNET),
        ("2001:4860:4860::8888", Reach.INTERNET),
    ],
)
def test_who_can_reach_an_address(address, expected):
    assert reach(address) is expected


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("127.0.0.2", "127.0.0.3", "inside of a private network"),
        ("127.0.0.2", "127.0.0.1", "of this machine itself"),
        ("127.0.0.3", "127.0.0.1", "of this machine itself"),
        ("127.0.0.3", "127.0.0.3", None),
        ("127.0.0.3", "127.0.0.2", None),
        ("127.0.0.1", "127.0.0.2", None),
    ],
)
def test_redirects_lead_out_but_never_further_in(film, first, second, said):
    with (
        serving({}, first) as (outer, start),
        serving({"/film.mp4": (200, {}, film)}, second) as (inner, goal),
    ):
        outer.pages["/away"] = to(f"{goal}/film.mp4")
        if said is None:
            assert frames(f"{start}/away") == 40
            return
        message, hint = refused(f"{start}/away")
        assert message == (
            f"{start}/away redirects to {second}: this address is {said}, and one before was not"
        )
        assert "give that address itself" in hint
        assert inner.hits == []


def test_the_way_out_and_back_in_is_one_way(film):
    with (
        serving({"/film.mp4": (200, {}, film)}) as (home, address),
        serving({}, "127.0.0.2") as (away, there),
    ):
        home.pages["/out"] = to(f"{there}/back")
        away.pages["/back"] = to(f"{address}/film.mp4")
        assert "of this machine itself" in refused(f"{address}/out")[0]
        assert home.hits == ["/out"]


def test_a_name_that_changes_its_mind_is_judged_by_where_it_leads(monkeypatch):
    looked_up = hops.socket.getaddrinfo
    answers = iter(["127.0.0.2", "127.0.0.1"])

    def rebinding(host, *args, **kwargs):
        return looked_up(next(answers) if host == "film.example" else host, *args, **kwargs)

    monkeypatch.setattr(hops.socket, "getaddrinfo", rebinding)
    with serving({}, "127.0.0.2") as (server, _):
        port = server.server_port
        server.pages["/a"] = to(f"http://film.example:{port}/b")
        message, _ = refused(f"http://film.example:{port}/a")
    assert "redirects to 127.0.0.1: this address is of this machine itself" in message


def test_what_comes_with_a_redirect_is_not_read():
    sent = []

    def endless():
        while True:
            sent.append(1)
            yield bytes(1 << 16)

    with serving({}) as (server, address):
        server.pages["/a"] = (302, {"Location": "/none"}, endless())
        message, _ = refused(f"{address}/a", max_bytes=1000)
        assert "the server answers 404" in message
        time.sleep(0.1)
        assert len(sent) * (1 << 16) < 64 << 20, "it was read on"


def test_the_time_is_that_of_the_whole_chain():
    def slowly():
        time.sleep(0.25)
        yield b""

    with serving({}) as (server, address):
        for number in range(9):
            server.pages[f"/{number}"] = (302, {"Location": f"/{number + 1}"}, b"")
        server.pages["/9"] = (200, {}, slowly())
        began = time.monotonic()
        assert "was not complete after 0.1 s" in refused(f"{address}/0", timeout=0.1)[0]
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("port", [22, 25, 6379, 9200, 11211])
def test_redirects_to_ports_of_other_services(port):
    with serving({}) as (server, address):
        server.pages["/a"] = to(f"http://127.0.0.1:{port}/x")
        message, _ = refused(f"{address}/a")
    assert message == (
        f"{address}/a redirects to http://127.0.0.1:{port}: this port belongs to another service than the web, "
        "and you did not give it"
    )


def test_a_redirect_with_a_password_is_not_followed_and_not_shown(film):
    with serving({"/film.mp4": (200, {}, film)}) as (server, address):
        server.pages["/a"] = to(address.replace("://", "://me:hunter2@") + "/film.mp4")
        message, hint = refused(f"{address}/a")
    assert "hunter2" not in message + hint
    assert message.endswith("it holds a user name or a password that you did not give")
    assert server.hits == ["/a"]


@pytest.mark.parametrize(
    "address", ["http://me:hunter2@exa\u2100mple/", "http://[me:hunter2@/", "http://me:hunter2/@host:x/"]
)
def test_words_about_an_address_that_is_none_hold_no_password(address):
    with serving({"/a": (302, {"Location": address.encode().decode("latin-1")}, b"")}) as (_, ours):
        for url in (f"{ours}/a", address):
            message, hint = refused(url)
            assert "hunter2" not in message.replace(address, "") + hint, message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 1 -subj /CN=localhost"
    extra = ["-addext", "subjectAltName=IP:127.0.0.1"]
    made = subprocess.run([*command.split(), *extra], cwd=folder, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    return folder / "c.pem", folder / "k.pem"


def test_https_does_not_fall_to_http(film, certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with (
        serving({"/film.mp4": (200, {}, film)}) as (server, address),
        serving({}) as (open_server, in_the_open),
    ):
        open_server.pages["/film.mp4"] = (200, {}, film)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        secure = address.replace("http:", "https:")
        server.pages["/a"] = to(f"{in_the_open}/film.mp4")
        server.pages["/b"] = to("/film.mp4")
        open_server.pages["/up"] = to(f"{secure}/film.mp4")
        message, _ = refused(f"{secure}/a")
        assert message == (
            f"{secure}/a redirects to {in_the_open}: what began encrypted would go on in the open"
        )
        assert open_server.hits == []
        assert frames(f"{secure}/b") == frames(f"{in_the_open}/up") == 40


def test_what_a_proxy_was_given_goes_to_nobody_else(film, monkeypatch):
    """From a host behind a proxy to one that is reached without it."""
    with (
        serving({}) as (proxy, at),
        serving({"/film.mp4": (200, {}, film)}, "127.0.0.2") as (server, address),
    ):
        proxy.pages["http://film.example/a"] = to(f"{address}/film.mp4")
        monkeypatch.setenv("http_proxy", at.replace("://", "://me:hunter2@"))
        monkeypatch.setenv("no_proxy", "127.0.0.2")
        assert frames("http://film.example/a") == 40
        assert "Proxy-Authorization" in proxy.asked[0]
        assert not any("auth" in name.lower() for name in server.asked[0])


@pytest.mark.parametrize("bypass", [True, False])
def test_private_addresses_behind_a_proxy(film, monkeypatch, bypass):
    """The first host was reached by a proxy: that the proxy is near says nothing about the host."""
    with serving({}) as (proxy, at), serving({"/film.mp4": (200, {}, film)}, "127.0.0.3") as (server, inside):
        proxy.pages["http://film.example/a"] = to(f"{inside}/film.mp4")
        monkeypatch.setenv("http_proxy", at)
        monkeypatch.setenv("no_proxy", "127.0.0.3" if bypass else "")
        message, _ = refused("http://film.example/a")
        assert "redirects to 127.0.0.3: this address is inside of a private network" in message
        assert server.hits == []
        assert proxy.hits == ["http://film.example/a"]


def test_a_proxy_that_is_no_address_is_not_shown(monkeypatch):
    monkeypatch.setenv("http_proxy", "http:/me:hunter2@proxy")
    message, hint = refused("http://127.0.0.1/a.mp4")
    assert "hunter2" not in message + hint
    assert "proxy" in message


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZIP"])
def test_a_compressed_download_is_unpacked(film, encoding):
    packed = zlib.compress(film) if encoding == "deflate" else gzip.compress(film)
    with serving({"/a.mp4": (200, {"Content-Encoding": encoding}, packed)}) as (_, address):
        assert frames(f"{address}/a.mp4") == 40


def test_parts_that_are_compressed_one_by_one(film):
    packed = gzip.compress(film[:1000]) + gzip.compress(film[1000:])
    with serving({"/a.mp4": (200, {"Content-Encoding": "gzip"}, packed)}) as (_, address):
        assert frames(f"{address}/a.mp4") == 40


def test_a_compressed_download_has_the_same_bounds():
    bomb = gzip.compress(bytes(50 << 20))
    with serving({}) as (server, address):
        server.pages["/bomb"] = (200, {"Content-Encoding": "gzip"}, bomb)
        assert "is over the limit of 1.0 MiB" in refused(f"{address}/bomb", max_bytes=1 << 20)[0]
        server.pages["/not"] = (200, {"Content-Encoding": "gzip"}, b"no gzip at all")
        assert "is not compressed as it says" in refused(f"{address}/not")[0]
        server.pages["/br"] = (200, {"Content-Encoding": "br"}, b"x")
        assert "compressed (br), which was not asked for" in refused(f"{address}/br")[0]
        server.pages["/cut"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(5000))[:-12])
        assert "ended early" in refused(f"{address}/cut")[0]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("https://me:hunter2@host/a.mp4?v=1", "https://***@host/a.mp4?v=1"),
        ("https://me:hun/ter2@host/a.mp4", "https://***@host/a.mp4"),
        ("https://host:8080/a@b.mp4", "https://host:8080/a@b.mp4"),
        ("https://host/a.mp4?X-Amz-Signature=abc&t=3", "https://host/a.mp4?X-Amz-Signature=***&t=3"),
        ("https://host/a.mp4?t=3&access_token=abc#x", "https://host/a.mp4?t=3&access_token=***#***"),
        ("https://host/a.mp4?hdnts=exp=1~acl=/*~hmac=ab", "https://host/a.mp4?hdnts=***"),
        ("https://host/a.mp4?ticket=a;b", "https://host/a.mp4?ticket=***;***"),
        ("https://host/a.mp4;jsessionid=ab?start=1.5", "https://host/a.mp4;jsessionid=***?start=1.5"),
        ("https://host/a.mp4?Zm9vYmFy", "https://host/a.mp4?***"),
        ("https://host/a.mp4?t=eyJhbGciOiJIUzI1NiJ9.eyJz", "https://host/a.mp4?t=***"),
        ("https://host/a b.mp4?anything=abc", "https://host/a b.mp4?anything=***"),
        ("https:/host/a.mp4?x=abc", "https:/host/a.mp4?x=***"),
        ("rtsp://admin:12345@camera/1", "rtsp://***@camera/1"),
        ("https://host/user@home/a.mp4", "https://host/user@home/a.mp4"),
        ("clips/token=1.mp4", "clips/token=1.mp4"),
        ("a@b.mp4", "a@b.mp4"),
    ],
)
def test_secrets_of_addresses_are_not_shown(name, shown):
    assert address_without_secrets(name) == shown
    if " " not in name:
        assert without_secrets(f"{name} and '{name}'") == f"{shown} and '{shown}'"


def test_an_error_holds_no_secret_whoever_made_it():
    address = "https://me:hunter2@host/a.mp4?ticket=hunter3"
    error = UsageError(f"no such thing: {address}", hint=f"try {address}")
    told = error_document(error, id="a", line=1)
    assert told["error"] == "no such thing: https://***@host/a.mp4?ticket=***"
    assert told["hint"] == "try https://***@host/a.mp4?ticket=***"


def test_what_is_said_of_an_address_holds_no_secret(film):
    with serving({"/a.mp4?sig=hunter2": (200, {}, film)}) as (_, address):
        with local_video(f"{address}/a.mp4?sig=hunter2", Limits(allow_url=True)) as video:
            assert probe(video).path == f"{address}/a.mp4?sig=***"
        assert "hunter2" not in refused(f"{address}/b.mp4?sig=hunter2")[0]
    with pytest.raises(VideoError) as caught, local_video("http://me:hunter2@host/a.mp4", Limits()):
        raise AssertionError
    assert "hunter2" not in str(caught.value)


def test_a_location_in_utf8_is_read_as_browsers_do():
    way = Hops("http://host/a")
    assert way.next("http://host/a", "/gr\u00c3\u00bc\u00c3\u009fe.mp4") == "http://host/gr\u00fc\u00dfe.mp4"
