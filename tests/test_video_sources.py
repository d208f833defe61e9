"""Where a video may come from: stdin, pipes, URLs and pictures, each within limits, and nothing left behind."""

import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image
from waiting import LONG
from web_server import serving

from sharpv_cli.errors import VideoError
from sharpv_cli.settings import VideoSettings
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import Limits
from sharpv_cli.video.probe import probe
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sources import local_video

ROOT = Path(__file__).resolve().parent.parent


def take(source, frames=4, progress=None, **limits):
    with local_video(str(source), Limits(**limits), progress=progress) as video:
        return sample_frames(video, Sampling(frames=frames))


def refused(source, **limits):
    with pytest.raises(VideoError) as caught:
        take(source, **limits)
    return str(caught.value), caught.value.hint


def numbers(sample):
    return [clips.number_of(image) for image in sample.images]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """The folder of temporary files, which must be empty after each test."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@contextmanager
def stdin(descriptor):
    own = os.dup(0)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(own, 0)
        os.close(own)


def poured(data):
    """The reading end of a pipe into which a thread writes."""
    reading, writing = os.pipe()

    def write():
        with os.fdopen(writing, "wb") as file:
            try:
                file.write(data)
            except BrokenPipeError:
                return

    threading.Thread(target=write).start()
    return reading


def test_the_limits_are_those_of_the_settings():
    assert Limits(**VideoSettings().model_dump()) == Limits()


def test_a_file_is_read_where_it_lies(film):
    with local_video(str(film), Limits()) as video:
        assert video.path == video.name == str(film)


def test_stdin_is_read_though_its_index_comes_last(film):
    with stdin(poured(film.read_bytes())):
        info, sample = take("-")
    assert info.path == "stdin"
    assert numbers(sample) == numbers(take(film)[1])


def test_a_file_on_stdin(film):
    with stdin(os.open(film, os.O_RDONLY)):
        assert take("-")[0].frames_total == 40


def test_progress_of_a_pipe(film):
    told = []
    with stdin(poured(film.read_bytes())):
        take("-", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (film.stat().st_size, None)


def test_stdin_in_words():
    with stdin(poured(b"")):
        assert refused("-")[0] == "stdin is empty"
    with stdin(poured(b"<html>not found</html>")):
        assert refused("-")[0] == "stdin is a web page (HTML), not a video"


def test_stdin_that_is_a_terminal_or_a_device_or_closed(monkeypatch):
    ours, theirs = pty.openpty()
    with stdin(theirs):
        message, hint = refused("-")
    os.close(ours)
    assert message == "the video was to come from stdin, which is a terminal"
    assert hint == "for example: cat clip.mp4 | sharpv ask - ..."
    with stdin(os.open("/dev/zero", os.O_RDONLY)):
        assert "a device or a folder" in refused("-")[0]
    monkeypatch.setattr(sys, "stdin", None)
    assert "which is closed" in refused("-")[0]


def test_stdin_over_the_limit_of_bytes(film):
    with stdin(poured(film.read_bytes())):
        message, hint = refused("-", max_bytes=1000)
    assert message == "stdin is over the limit of 1000 B"
    assert hint == "allow more with --max-bytes (now 1000)"


def test_no_room_for_the_copy(film, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with stdin(poured(film.read_bytes())):
        message, hint = refused("-")
    assert message == "stdin cannot be copied to a temporary file: No such file or directory"
    assert "TMPDIR" in hint


def test_a_full_disk(film, monkeypatch):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with stdin(poured(film.read_bytes())):
            message, _ = refused("-")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == "stdin cannot be copied to a temporary file: File too large"


def test_a_pipe_with_a_name_and_process_substitution(tmp_path, film):
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(film.read_bytes())).start()
    assert take(pipe)[0].path == str(pipe)
    reading = poured(film.read_bytes())
    assert take(f"/dev/fd/{reading}")[0].frames_total == 40
    os.close(reading)
    with stdin(poured(film.read_bytes())):
        assert take("/dev/stdin")[0].frames_total == 40


def test_a_pipe_that_nobody_writes_to_ends_at_the_limit(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    started = time.monotonic()
    message, hint = refused(tmp_path / "pipe.mp4", timeout=0.3)
    assert time.monotonic() - started < 30
    assert message == f"{tmp_path}/pipe.mp4 was not complete after 0.3 s (0 B came)"
    assert hint == "is anything writing to it?"


def test_a_writer_that_stops_in_the_middle_ends_at_the_limit(film):
    reading, writing = os.pipe()
    os.write(writing, film.read_bytes()[:1500])
    with stdin(reading):
        message, hint = refused("-", timeout=2)  # enough for what has come to be read
    os.close(writing)
    assert message == "stdin was not complete after 2 s (1.5 KiB came)"
    assert "--timeout" in hint


_HOLD = """
import sys, time
from sharpv_cli.video.local import Limits
from sharpv_cli.video.sources import local_video
def tell(done, total):
    print("received", flush=True)
with local_video("-", Limits(), progress=tell) as video:
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda blow: blow.name)
@pytest.mark.parametrize("moment", ["received", "held"])
def test_nothing_is_left_behind_by_a_killed_process(spool, film, blow, moment):
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(spool)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        process.stdin.write(film.read_bytes())
        process.stdin.flush()
        if moment == "held":
            process.stdin.close()
        while process.stdout.readline().strip() != moment.encode():
            assert process.poll() is None
        process.send_signal(blow)
        assert process.wait(LONG) in (-blow, 1, 130)
    assert list(spool.iterdir()) == []


# Web addresses.


@pytest.fixture
def web(film):
    pages = {"/film.mp4": (200, {}, film.read_bytes())}
    with serving(pages) as (server, address):
        yield server, address


def test_a_url_is_read_only_when_allowed(web, film):
    server, address = web
    message, hint = refused(f"{address}/film.mp4")
    assert message == f"URLs are not read: {address}/film.mp4"
    assert hint.startswith("give --allow-url")
    assert server.hits == []
    told = []
    info, sample = take(
        f"{address}/film.mp4", allow_url=True, progress=lambda done, total: told.append((done, total))
    )
    assert (info.path, info.container) == (f"{address}/film.mp4", "mp4")
    assert numbers(sample) == numbers(take(film)[1])
    assert told[-1] == (film.stat().st_size, film.stat().st_size)


def test_other_schemes_are_never_urls_to_us(film, web):
    for url in (
        f"file://{film}",
        "ftp://127.0.0.1/a.mp4",
        "rtsp://127.0.0.1/a",
        "data:video/mp4;base64,AAAA",
    ):
        assert refused(url, allow_url=True)[0].startswith(("URLs are not read: ", "no such file: "))


def test_a_redirect_is_followed_to_http_only(web, film):
    server, address = web
    server.pages["/moved"] = (302, {"Location": "/film.mp4"}, b"")
    server.pages["/spaced"] = (302, {"Location": "/film.mp4?a=b c"}, b"")
    server.pages["/film.mp4?a=b%20c"] = server.pages["/film.mp4"]
    assert take(f"{address}/moved", allow_url=True)[0].frames_total == 40
    assert take(f"{address}/spaced", allow_url=True)[0].frames_total == 40
    for target in (f"file://{film}", "ftp://127.0.0.1/a.mp4", "data:video/mp4,x", "gopher://127.0.0.1/"):
        server.pages["/away"] = (302, {"Location": target}, b"")
        message, hint = refused(f"{address}/away", allow_url=True)
        kind = target.partition(":")[0]
        assert (
            message
            == f"{address}/away redirects to an address of another kind ({kind}): only http and https are followed"
        )
        assert hint
    server.pages["/circle"] = (302, {"Location": "/circle"}, b"")
    assert "redirects more than 10 times" in refused(f"{address}/circle", allow_url=True)[0]
    server.pages["/nowhere"] = (302, {}, b"")
    assert "the server answers 302" in refused(f"{address}/nowhere", allow_url=True)[0]


def test_what_a_server_may_answer_instead(web, film):
    server, address = web
    server.pages["/page"] = (200, {"Content-Type": "video/mp4"}, b"<!DOCTYPE html><html>sign in</html>")
    server.pages["/short"] = (200, {"Content-Length": "999999"}, film.read_bytes())
    server.pages["/list"] = (200, {}, f"#EXTM3U\n#EXTINF:1,\n{address}/film.mp4\n".encode())
    server.pages["/none"] = (200, {}, b"")
    expected = {
        "/gone": "cannot be downloaded: the server answers 404 (Not Found)",
        "/page": "is a web page (HTML), not a video",
        "/short": f"ended early: {film.stat().st_size} of 999999 bytes came",
        "/list": "is a playlist, not a video",
        "/none": "is empty",
    }
    for page, said in expected.items():
        message, hint = refused(f"{address}{page}", allow_url=True)
        assert said in message
        assert hint
    assert "/film.mp4" not in server.hits


def test_the_size_of_a_download_is_limited(web):
    server, address = web
    server.pages["/long"] = (200, {"Content-Length": str(1 << 40)}, b"")
    message, _ = refused(f"{address}/long", allow_url=True)
    assert message == f"{address}/long is 1.0 TiB, over the limit of 8.0 GiB"
    server.pages["/endless"] = (200, {}, (bytes(1000) for _ in iter(int, 1)))
    message, _ = refused(f"{address}/endless", allow_url=True, max_bytes=100_000)
    assert message == f"{address}/endless is over the limit of 97.7 KiB"


def test_the_time_of_a_download_is_limited(web):
    server, address = web

    def drips():
        while True:
            time.sleep(0.05)
            yield b"\0"

    server.pages["/slow"] = (200, {}, drips())
    message, hint = refused(f"{address}/slow", allow_url=True, timeout=2)
    assert f"{address}/slow was not complete after 2 s" in message
    assert "--timeout" in hint


def test_addresses_that_lead_nowhere():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/a.mp4"
        assert "Connection refused" in refused(closed, allow_url=True)[0]
    for url in (
        "http://",
        "http://[::bad/a.mp4",
        "http://a b/c.mp4",
        "http://127.0.0.1:port/a.mp4",
        "http://..x/a",
    ):
        message, _ = refused(url, allow_url=True)
        assert "cannot be downloaded" in message
        assert message.isprintable()


def test_a_password_in_a_url_is_not_shown():
    message, _ = refused("http://me:secret@127.0.0.1/a.mp4", allow_url=True)
    assert message == "a URL with a user name or a password is not read"


def test_a_certificate_that_nobody_vouches_for(tmp_path, web):
    made = subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 1 -subj /CN=localhost".split(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    import ssl

    server, address = web
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    message, _ = refused(address.replace("http:", "https:") + "/film.mp4", allow_url=True)
    assert "the server's certificate is not valid (self-signed certificate)" in message


# Pictures.


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif", ".avif"])
def test_a_picture_is_a_clip_of_one_frame_when_asked(tmp_path, suffix):
    if suffix not in Image.registered_extensions():
        pytest.skip(f"this Pillow writes no {suffix}")
    path = tmp_path / f"still{suffix}"
    Image.fromarray(clips.numbered(5)).save(path)
    assert refused(path) == (
        f"{path} is a picture, not a video",
        "with --picture it is read as a clip of one frame",
    )
    info, sample = take(path, picture=True)
    assert (info.frames_total, info.width, info.height, info.path) == (1, 160, 96, str(path))
    assert numbers(sample) == [5]


def test_a_photo_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees
    image = Image.fromarray(np.rot90(clips.numbered(9)))
    image.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    info, sample = take(tmp_path / "phone.jpg", picture=True)
    assert (info.width, info.height) == (160, 96)
    assert numbers(sample) == [9]


def test_16_bit_grey_and_transparency(tmp_path):
    Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)).save(tmp_path / "grey.png")
    _, sample = take(tmp_path / "grey.png", picture=True)
    assert (sample.images == 0x80).all()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    _, sample = take(tmp_path / "clear.png", picture=True)
    assert (sample.images == 255).all()


def test_films_stay_films_when_pictures_are_asked_for(tmp_path, film):
    pages = [Image.fromarray(clips.numbered(number)) for number in range(6)]
    for name in ("a.gif", "a.png"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], duration=40)
        assert take(tmp_path / name, picture=True)[0].frames_total == 6
    assert take(film, picture=True)[0].frames_total == 40


def test_animated_webp_has_its_own_times(tmp_path):
    pages = [Image.fromarray(clips.numbered(number)) for number in range(5)]
    delays = [40, 500, 0, 20, 300]
    path = tmp_path / "a.webp"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=delays, lossless=True)
    info, sample = take(path, frames=9)
    assert numbers(sample) == [0, 1, 2, 3, 4]
    assert sample.timestamps_sec == pytest.approx(
        (0, 0.04, 0.54, 0.64, 0.66)
    )  # 0 ms means 100, as in browsers
    assert info.duration_sec == pytest.approx(0.96)
    with stdin(poured(path.read_bytes())):
        assert take("-")[0].frames_total == 5


def test_large_and_damaged_pictures_are_refused(tmp_path):
    Image.fromarray(clips.numbered(5)).save(tmp_path / "a.png")
    message, hint = refused(tmp_path / "a.png", picture=True, max_pixels=1000)
    assert message == f"{tmp_path}/a.png has pictures of 160x96, over the limit of 0.001 megapixels"
    assert "--max-pixels" in hint
    Image.fromarray(clips.numbered(5)).save(tmp_path / "a.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    assert f"{tmp_path}/cut.jpg is a damaged picture" in refused(tmp_path / "cut.jpg", picture=True)[0]
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert "of a kind that is not read" in refused(tmp_path / "a.heic", picture=True)[0]


def test_the_limit_of_pixels_can_be_raised(tmp_path):
    path = clips.encode(tmp_path / "a.mp4", 5)
    assert "over the limit" in refused(path, max_pixels=160 * 96)[0]  # lines are padded to 64 pixels
    with local_video(str(path), Limits(max_pixels=192 * 96)) as video:
        assert probe(video).frames_total == 5
