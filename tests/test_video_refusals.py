"""What cannot be used as a video is refused in words: a VideoError with the user's own name and what next."""

import bz2
import gzip
import io
import lzma
import os
import socket
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from PIL import Image

from sharpv_cli.errors import VideoError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.probe import open_video, probe
from sharpv_cli.video.refusals import shown
from sharpv_cli.video.sampling import Sampling


def refusal(path):
    """The one message and hint with which every way into the package refuses this file."""
    with pytest.raises(VideoError) as first:
        probe(path)
    with pytest.raises(VideoError) as second:
        sample_frames(path, Sampling(frames=4))
    assert (str(first.value), first.value.hint) == (str(second.value), second.value.hint)
    assert first.value.exit_code == 3
    return str(first.value), first.value.hint


COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
}


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4")


def test_a_missing_file(tmp_path, monkeypatch):
    path = tmp_path / "nope.mp4"
    assert refusal(path) == (f"no such file: {path}", "check the spelling")
    monkeypatch.chdir(tmp_path)
    assert refusal("nope.mp4") == ("no such file: nope.mp4", f"relative to {tmp_path}")


def test_a_broken_link_names_its_target(tmp_path):
    link = tmp_path / "link.mp4"
    link.symlink_to("gone.mp4")
    assert refusal(link)[0] == f"no such file: {link} is a symbolic link to gone.mp4, which does not exist"


def test_a_link_to_itself(tmp_path):
    link = tmp_path / "loop.mp4"
    link.symlink_to("loop.mp4")
    assert "leads back to itself" in refusal(link)[0]


def test_a_link_to_a_film_is_followed(tmp_path, film):
    (tmp_path / "link.mp4").symlink_to(film)
    assert probe(tmp_path / "link.mp4").frames_total == 40


def test_a_folder(tmp_path):
    assert refusal(tmp_path)[0] == f"{tmp_path} is a folder, not a video file"


def test_a_file_used_as_a_folder(film):
    assert refusal(film / "x.mp4") == (
        f"no such file: {film}/x.mp4",
        "a part of this path is a file, not a folder",
    )


def test_a_pipe_that_nobody_writes_to_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(tmp_path / "pipe.mp4")[0].endswith("pipe.mp4 is a pipe, not a video file")


def test_a_socket_and_a_device(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.mp4")
        assert refusal("s.mp4")[0] == "s.mp4 is a socket, not a video file"
    assert refusal("/dev/zero")[0] == "/dev/zero is a device, not a video file"


def test_names_that_no_file_can_have(film):
    assert refusal(f"{film}\0.mp4")[0] == f"no such file: {film}\\x00.mp4"
    assert "longer than the file system allows" in refusal("a" * 300 + ".mp4")[1]


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder that everybody can enter, visited as somebody who is not root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_no_permission(film):
    with without_privileges() as folder:
        path = written(folder / "secret.mp4", film.read_bytes())
        path.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        assert refusal(path) == (
            f"no permission to read {path}",
            "ask its owner, or copy it to a place you can read",
        )


def test_an_empty_file(tmp_path):
    path = written(tmp_path / "empty.mp4", b"")
    assert refusal(path)[0] == f"{path} is empty"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello, this is not a video\n" * 50, "is a text file, not a video"),
        ("Grüße, keine Filme. ".encode() * 60, "is a text file, not a video"),
        (b'{"error": "not found"}', "is a text file, not a video"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page (HTML), not a video"),
        (b"\n  <HTML>\n<title>Sign in</title>" * 9, "is a web page (HTML), not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nother.ts\n", "is a playlist, not a video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "is a playlist, not a video"),
        (bytes(50_000), "is not a video that FFmpeg knows, or it is damaged"),
        (np.random.default_rng(0).bytes(50_000), "is not a video that FFmpeg knows, or it is damaged"),
    ],
)
def test_other_files_named_mp4(tmp_path, data, said):
    path = written(tmp_path / "film.mp4", data)
    message, hint = refusal(path)
    assert message == f"{path} {said}"
    assert hint


def packed(how, data):
    """The data in an archive of this kind, uncompressed where that is possible."""
    buffer = io.BytesIO()
    if how == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("film.ts", data)
    elif how == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("film.ts")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    else:
        compress = COMPRESS[how]
        return compress(data)
    return buffer.getvalue()


@pytest.mark.parametrize("how", ["zip", "tar", *COMPRESS])
def test_archives(tmp_path, how):
    film = clips.encode(tmp_path / "film.ts").read_bytes()
    message, hint = refusal(written(tmp_path / "film.mp4", packed(how, film)))
    assert f"film.mp4 is {'a' if how in ('zip', 'tar') else 'compressed'}" in message
    assert how in message.lower()
    assert message.endswith(", not a video")
    assert hint == "unpack it first, then give the video that it holds"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive, not a video"),
        (b"Rar!\x1a\x07\1\0", "is a RAR archive, not a video"),
        (b"\x28\xb5\x2f\xfd", "is compressed (Zstandard), not a video"),
        (b".RMF\0\0\0\x12", "is in a container that is not read (RealMedia)"),
        (b"FWS\x0a", "is in a container that is not read (Flash (SWF))"),
        (b"DHAV\xfd\0", "is in a container that is not read (Dahua's recordings (DHAV))"),
        (b"\0\0\x10\0\x12\xaf", "is in a container that is not read (FLIC)"),
        (b"\0\5\x16\7\0\2\0\0", "is a Mac's notes on a file (AppleDouble), not the file"),
        (b"%PDF-1.7\n", "is a PDF document, not a video"),
        (b"\xff\x0a\xfa\x7f", "is a picture (JPEG XL), not a video"),
        (bytes(16 * 2048) + b"\1CD001\1\0", "is the image of a disc, not a video"),
    ],
)
def test_known_files_that_are_not_read(tmp_path, head, said):
    path = written(tmp_path / "film.mp4", head + np.random.default_rng(0).bytes(4000))
    message, hint = refusal(path)
    assert message == f"{path} {said}"
    assert hint


def test_what_belongs_to_a_photo_makes_it_no_film(tmp_path):
    """Phones put further JPEGs behind a photo, and list them in it (CIPA DC-007)."""
    pages = [Image.new("RGB", (64, 48), (10, level, 30)) for level in (0, 100)]
    pages[0].save(tmp_path / "a.mpo", format="MPO", save_all=True, append_images=pages[1:])
    assert refusal(tmp_path / "a.mpo")[0].endswith("is a picture, not a video")
    photo, small = io.BytesIO(), io.BytesIO()
    pages[0].save(photo, "JPEG")
    pages[1].resize((32, 24)).save(small, "JPEG")
    other_size = written(tmp_path / "a.jpg", photo.getvalue() + small.getvalue())
    assert refusal(other_size)[0].endswith("is a picture, not a video")


@pytest.mark.parametrize("flags", ["", "frag_keyframe+empty_moov"])
def test_encrypted_films(tmp_path, flags):
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb"}
    mux = (
        key | {"encryption_kid": "a7e61c373e219033c21091fa607bf3b8"} | ({"movflags": flags} if flags else {})
    )
    path = clips.encode(tmp_path / "a.mp4", 10, mux=mux)
    assert refusal(path) == (
        f"{path} is encrypted (DRM), and no key is read",
        "give a version that is not encrypted",
    )


def test_a_playlist_does_not_open_the_film_that_it_names(tmp_path, film):
    for text in (f"ffconcat version 1.0\nfile {film}\n", f"#EXTM3U\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n"):
        for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
            assert "is a playlist" in refusal(written(tmp_path / name, text.encode()))[0]


def test_an_mp4_without_its_index(tmp_path, film):
    data = film.read_bytes()
    path = written(tmp_path / "cut.mp4", data[: len(data) * 6 // 10])
    message, hint = refusal(path)
    assert message == f"{path} is incomplete: its index is missing (moov atom not found)"
    assert "cut short" in hint


def test_an_mp4_that_ends_in_its_header(tmp_path):
    data = clips.encode(tmp_path / "fast.mp4", mux={"movflags": "+faststart"}).read_bytes()
    message, hint = refusal(written(tmp_path / "head.mp4", data[:200]))
    assert message.endswith("head.mp4 has no video")
    assert hint == "the file may have been cut short"


def test_a_track_without_frames(tmp_path):
    fragments = clips.encode(
        tmp_path / "whole.mp4", mux={"movflags": "frag_keyframe+empty_moov"}
    ).read_bytes()
    path = written(tmp_path / "init.mp4", fragments[: fragments.index(b"moof") - 4])
    assert refusal(path)[0] == f"{path} holds no frames"


def sound(path, codec="aac", rate=44_100, seconds=1):
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, rate * seconds), np.int16), format="s16p", layout="mono"
        )
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=1024
        )
        for part in [*resampler.resample(frame), None]:
            output.mux(stream.encode(part))
    return path


@pytest.mark.parametrize(
    ("name", "codec"), [("song.m4a", "aac"), ("song.mkv", "flac"), ("song.wav", "pcm_s16le")]
)
def test_sound_without_pictures(tmp_path, name, codec):
    path = sound(tmp_path / name, codec)
    assert refusal(path)[0] == f"{path} has no video (audio only: {codec}, 1.0 s)"


def test_a_song_with_cover_art(tmp_path):
    song = sound(tmp_path / "plain.mp3", "libmp3lame").read_bytes()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(tmp_path / "cover.jpg")
    body = b"\0image/jpeg\0\3\0" + (tmp_path / "cover.jpg").read_bytes()
    tag = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0))
    path = written(tmp_path / "song.mp3", b"ID3\3\0\0" + size + tag + song[song.index(b"\xff\xfb") :])
    message = refusal(path)[0]
    assert "has no video (audio only: mp3" in message
    assert message.endswith("its only picture is cover art)")


def test_subtitles(tmp_path):
    path = written(tmp_path / "film.mp4", b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 3)
    assert refusal(path)[0] == f"{path} has no video (it holds subtitles)"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tiff", "a.webp", "a.avif", "a.gif", "a.ico"])
def test_still_pictures(tmp_path, name):
    path = tmp_path / name
    if path.suffix not in Image.registered_extensions():
        pytest.skip(f"this Pillow writes no {path.suffix}")
    Image.new("RGB", (64, 48), (10, 200, 30)).save(path)
    assert refusal(path)[0] == f"{path} is a picture, not a video"
    renamed = path.rename(tmp_path / "renamed.mp4")
    assert refusal(renamed)[0] == f"{renamed} is a picture, not a video"


def test_animated_webp_is_refused_by_name(tmp_path):
    frames = [Image.new("RGB", (64, 48), (10, level, 30)) for level in (0, 100, 200)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=100)
    message, hint = refusal(tmp_path / "a.webp")
    assert message == f"{tmp_path}/a.webp is an animated WebP, which is not supported"
    assert hint == "convert it to GIF or MP4 first"


@pytest.mark.parametrize(
    "url", ["https://example.org/a.mp4", "rtsp://camera/1", "HTTP://x/y", "file:///tmp/a.mp4"]
)
def test_urls(url):
    hint = "download the file first, then give its path"
    if url.lower().startswith("http"):
        hint = f"give --allow-url to download it, or {hint}"
    assert refusal(url) == (f"URLs are not read: {url}", hint)
    assert refusal(Path(url))[0].startswith("URLs are not read: ")


@pytest.mark.parametrize(
    "name", ["http:x.mp4", "concat:film.mp4", "-film.mp4", "%03d.mp4", "a b\n.mp4", "fïlm 视.mp4"]
)
def test_odd_names_are_names(tmp_path, monkeypatch, film, name):
    monkeypatch.chdir(tmp_path)
    written(Path(name), film.read_bytes())
    written(Path("film.mp4"), b"not this one")
    assert probe(name).frames_total == 40


def test_a_name_that_is_not_utf8(tmp_path, film):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    written(Path(path), film.read_bytes())
    assert probe(path).path == path
    assert shown(path) == f"{tmp_path}/\\xff.mp4"


def test_control_characters_of_a_name_are_not_printed(tmp_path):
    path = tmp_path / "\x1b[31mred\n\u202eevil\x07.mp4"
    assert refusal(path)[0] == f"no such file: {tmp_path}/\\x1b[31mred\\n\\u202eevil\\x07.mp4"


def test_pictures_that_are_too_large(tmp_path):
    # A GIF of a few bytes that claims 8000 x 8000.
    frame = b"\x21\xf9\x04\0\x0a\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    data = (
        b"GIF89a" + struct.pack("<HHBBB", 8000, 8000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * 9 + b";"
    )
    path = written(tmp_path / "bomb.gif", data)
    assert refusal(path) == (
        f"{path} has pictures of 8000x8000, over the limit of 36 megapixels",
        "scale the video down first, or raise --max-pixels",
    )


def test_an_error_inside_the_body_of_open_video_is_a_refusal(film):
    with pytest.raises(VideoError, match="cannot be read"), open_video(film):
        raise av.InvalidDataError(1, "broken")
