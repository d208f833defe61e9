"""Files made to break readers: a crash, a hang or a blow-up costs one video; no file opens another one."""

import os
import threading
import time
from functools import partial
from multiprocessing import Pipe

import av
import clips
import fuzz_video
import hostile_work
import numpy as np
import pytest
from PIL import Image

from sharpv_cli.benchmarks.limits_check import as_on
from sharpv_cli.errors import SharpvError, ShortageError, UsageError, VideoError
from sharpv_cli.video import isolated, opening, packets, pictures, wire
from sharpv_cli.video import probe as probing
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.opening import open_video
from sharpv_cli.video.patience import OutOfTimeError, too_slow, within
from sharpv_cli.video.probe import probe
from sharpv_cli.video.read_ahead import ReadAhead
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sources import local_video

EIGHT = partial(sample_frames, sampling=Sampling(frames=8))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def reader():
    with IsolatedReader() as reader:
        yield reader


def test_a_child_reads_what_we_read_ourselves(film, reader):
    info, sample = reader.read(film, EIGHT)
    own_info, own = EIGHT(film)
    assert info == own_info
    assert sample.timestamps_sec == own.timestamps_sec
    assert np.array_equal(sample.images, own.images)
    pid, torch_is_there = reader.read(film, hostile_work.process_and_torch)
    assert pid != os.getpid()
    assert not torch_is_there


def test_a_refusal_comes_back_with_its_hint(tmp_path, reader):
    with pytest.raises(VideoError) as caught:
        reader.read(str(tmp_path / "gone.mp4"), probe)
    assert (str(caught.value), caught.value.hint) == (
        f"no such file: {tmp_path}/gone.mp4",
        "check the spelling",
    )
    with pytest.raises(UsageError, match="the start 60 s is not in the clip"):
        reader.read(clips.encode(tmp_path / "a.mp4"), partial(sample_frames, sampling=Sampling(start=60.0)))


def test_a_crash_is_a_refusal_and_the_child_is_replaced(film, reader):
    first, _ = reader.read(film, hostile_work.process_and_torch)
    with pytest.raises(VideoError, match=r"reading .*film\.mp4 crashed \(SIGSEGV\)"):
        reader.read(film, hostile_work.crash)
    second, _ = reader.read(film, hostile_work.process_and_torch)
    assert first != second


def test_a_child_that_was_started_ahead_is_the_one_that_reads(film):
    isolated.start()
    (child,) = isolated._spare._children
    isolated.start()  # one is enough
    with IsolatedReader() as reader:
        pid, _ = reader.read(film, hostile_work.process_and_torch)
    assert pid == child._process.pid


def test_a_child_that_does_not_come_is_told_by_whoever_reads(film, monkeypatch):
    isolated.end()
    monkeypatch.setattr(isolated, "_PROGRAM", "raise SystemExit(1)")
    isolated.start()
    with IsolatedReader() as reader, pytest.raises(ShortageError, match="reads videos could not start"):
        reader.read(film, hostile_work.process_and_torch)


def test_a_hang_ends_at_the_limit(film, reader):
    started = time.monotonic()
    with pytest.raises(VideoError, match=r"reading film took longer than 0\.5 s"):
        reader.read(LocalVideo(str(film), "film", Limits(timeout=0.5)), hostile_work.hang)
    assert time.monotonic() - started < 30, "half of what the work takes"
    assert reader.read(film, probe).frames_total == 40


def test_memory_is_limited(film, reader):
    with pytest.raises(ShortageError, match=r"takes more memory than it may \(6\.0 GiB\)"):
        reader.read(film, hostile_work.swallow_memory)
    assert reader.read(film, probe).frames_total == 40


def test_a_bug_is_no_refusal(film, capfd):
    with IsolatedReader() as reader, pytest.raises(SharpvError, match="ZeroDivisionError") as caught:
        reader.read(film, hostile_work.be_wrong)
    assert caught.value.exit_code == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_work_that_never_returns_is_left_behind_at_the_limit(film):
    release, ended = threading.Event(), threading.Event()

    def never_returns():
        release.wait(60)
        ended.set()

    with pytest.raises(OutOfTimeError):
        within(0.2, never_returns)
    assert not ended.is_set()
    release.set()
    slow = too_slow(LocalVideo(str(film), "film.mp4", Limits(timeout=0.2)), "decoding")
    assert str(slow) == "decoding film.mp4 took longer than 0.2 s"
    assert "--timeout" in slow.hint


def test_work_in_time_gives_its_result_or_its_own_error(film):
    assert within(60, partial(probe, film)).frames_total == 40
    with pytest.raises(VideoError, match="no such file"):
        within(60, partial(probe, "gone.mp4"))


def test_mutated_files_of_every_container(tmp_path):
    table = fuzz_video.run(tmp_path, files=220, seed=7, workers=1)
    assert table.failures == []
    assert table.total("files") == 220
    assert table.total("answered") > 20
    assert table.total("refused") > 20


def test_times_that_no_video_has_are_not_believed(tmp_path):
    """Found by the fuzz: an IVF frame header holds 64 bits of time, and nothing checks them."""
    data = bytearray(clips.encode(tmp_path / "sound.ivf", 12, codec="libvpx").read_bytes())
    place = 32  # after the file header: each frame has 4 bytes of size, then 8 of time
    for number in range(12):
        size = int.from_bytes(data[place : place + 4], "little")
        wild = number + (1 << 62 if number == 11 else 0)
        data[place + 4 : place + 12] = wild.to_bytes(8, "little")
        place += 12 + size
    (tmp_path / "wild.ivf").write_bytes(data)
    info, sample = EIGHT(tmp_path / "wild.ivf")
    assert (info.frames_total, info.duration_sec) == (12, pytest.approx(12 / 25))
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)


def test_a_title_that_is_no_utf8(tmp_path):
    """Found by the fuzz, and what editing programs of the nineties write."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "MARKMARK"
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for packet in (*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)):
            output.mux(packet)
    data = path.read_bytes()
    assert b"MARKMARK" in data
    path.write_bytes(data.replace(b"MARKMARK", b"M\xfcrkM\xe4rk"))
    assert probe(path).frames_total == 1


def test_a_file_that_ends_in_its_first_chunk(tmp_path):
    path = tmp_path / "a.webp"
    path.write_bytes(b"RIFF\0\0\0\0WEBPVP8X\x0a\0")
    with pytest.raises(VideoError, match="is a picture, not a video"):
        probe(path)


def test_what_is_given_up_ends_at_once(film):
    with IsolatedReader() as reader:
        reader.read(film, probe)
        began = time.monotonic()
        threading.Timer(0.3, reader.abandon).start()
        with pytest.raises(VideoError, match="given up"):
            reader.read(film, hostile_work.hang)
        assert time.monotonic() - began < 30, "half of what the work takes"
        with pytest.raises(VideoError, match="given up"):
            reader.read(film, probe)


def test_no_child_is_started_for_what_is_given_up(film, monkeypatch):
    """Ctrl-C waits for all readers, one after the other."""
    started = []
    monkeypatch.setattr(isolated, "_child", started.append)
    with IsolatedReader() as reader:
        reader.abandon()
        reader.prepare()
        with pytest.raises(VideoError, match="given up"):
            reader.read(film, probe)
    assert not started


def test_many_threads_are_no_want_of_memory(film, reader):
    """128 of them took 9 GiB of addresses, of which next to nothing was used: more than the limit that there was."""
    assert reader.read(film, hostile_work.many_threads) < 2 << 30


@pytest.mark.parametrize(
    ("size", "share", "most"), [((64, 48), None, 2), ((1280, 720), None, 8), ((1280, 720), 64, 99)]
)
def test_on_many_cores_a_reader_keeps_to_its_share(tmp_path, monkeypatch, size, share, most):
    """A small clip has one thread, whatever the share; another one watches the parent."""
    film = clips.encode(tmp_path / "film.mp4", size=size, options={"preset": "ultrafast"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, value in as_on(64, tmp_path).items():
        monkeypatch.setenv(name, value)
    work = hostile_work.sampled_with_threads
    with ReadAhead(lambda reader, _: reader.read(film, work), readers=8, share=share) as ahead:
        found = [coming.result() for coming in [ahead.begin(number) for number in range(2)]]
    assert {frames for frames, _, _ in found} == {8}
    assert {planned for _, planned, _ in found} == {share or 3}
    threads = max(threads for _, _, threads in found)
    assert threads <= most
    assert share is None or threads > 8, "what the plan keeps from happening"


def test_a_small_clip_is_opened_for_one_thread_whatever_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name in ("small.mp4", "small.mkv"):
        with open_video(clips.encode(tmp_path / name)) as (_, stream):
            assert stream.codec_context.thread_count == 1
    with open_video(clips.encode(tmp_path / "large.mp4", size=(1280, 720))) as (_, stream):
        assert stream.codec_context.thread_count > 1


def test_an_array_that_ends_in_the_middle_is_the_end_of_its_process():
    ours, theirs = Pipe()
    pictures = np.arange(2_000_000, dtype=np.uint8)
    sending = threading.Thread(target=wire.send, args=(theirs, [pictures, np.zeros(0), pictures]))
    sending.start()
    first, nothing, second = wire.receive(ours)
    sending.join()
    assert np.array_equal(first, pictures)
    assert nothing.shape == (0,)
    assert np.array_equal(second, pictures)
    with theirs:
        theirs.send((b"", [1000]))
        os.write(theirs.fileno(), b"half")
    with pytest.raises(EOFError):
        wire.receive(ours)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("raise OSError(11, 'Resource temporarily unavailable')", "not enough threads or processes"),
        ("raise OSError(24, 'Too many open files')", "not enough open files"),
        ("raise OSError(12, 'Cannot allocate memory')", "memory"),
        ("raise MemoryError", "memory"),
        ('raise RuntimeError("can\'t start new thread")', "not enough threads or processes"),
        ("import av; raise av.error.BlockingIOError(11, 'no threads')", "not enough threads or processes"),
        ("import os; os.kill(os.getpid(), 9)", "was killed, as the system does when memory runs out"),
    ],
)
def test_want_of_a_resource_is_tried_again_with_one_thread_and_is_no_damage(film, error, words):
    with IsolatedReader(4) as reader:
        assert reader.read(film, partial(hostile_work.want, error)) == 1
    with IsolatedReader(1) as reader, pytest.raises(ShortageError, match=words) as caught:
        reader.read(film, partial(hostile_work.always, error))
    assert caught.value.exit_code == 5


def test_a_small_file_that_takes_all_memory_is_bounded(tmp_path, monkeypatch):
    """1 MB of empty units is one picture to FFmpeg, and takes a gigabyte."""
    path = tmp_path / "units.h264"
    path.write_bytes(clips.encode(tmp_path / "film.h264", 3).read_bytes() + b"\0\0\1\x0c" * (1 << 18))
    monkeypatch.setattr(isolated, "RESIDENT_BYTES", 300 << 20)
    with IsolatedReader(1) as reader:
        with pytest.raises(VideoError, match=r"takes more memory than it may \(300\.0 MiB\)"):
            reader.read(path, probe)
        assert reader.read(tmp_path / "film.h264", probe).frames_total == 3


def test_a_small_mp4_of_millions_of_samples_is_refused_by_its_index(tmp_path):
    path = clips.with_samples(tmp_path / "many.mp4", clips.encode(tmp_path / "a.mp4", 3), 4_000_000)
    assert path.stat().st_size < 5_000_000
    for work in (probe, EIGHT):
        with pytest.raises(VideoError, match=r"many\.mp4 has more than 3,000,000 frames") as caught:
            work(path)
        assert (caught.value.exit_code, "cut it" in caught.value.hint) == (3, True)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ts", "gif", "h264"])
def test_more_packets_than_any_video_has_are_refused(tmp_path, monkeypatch, kind):
    gif = {"codec": "gif", "pix_fmt": "rgb8"} if kind == "gif" else {}
    path = clips.encode(tmp_path / f"film.{kind}", 40, **gif)
    monkeypatch.setattr(packets, "_MOST", 30)
    monkeypatch.setattr(probing, "_CHECK_EACH", 5)
    for work in (probe, EIGHT):
        with pytest.raises(VideoError, match="has more than 30 frames"):
            work(path)


def test_very_many_tiny_packets_are_refused(tmp_path, monkeypatch):
    path = clips.with_samples(tmp_path / "tiny.mp4", clips.encode(tmp_path / "a.mp4", 3), 40)
    monkeypatch.setattr(packets, "_MOST_TINY", 30)
    monkeypatch.setattr(probing, "_CHECK_EACH", 5)
    with pytest.raises(VideoError, match=r"more than 30 frames of 1\.0 bytes on average: no camera"):
        probe(path)


def test_decoding_ends_where_nothing_can_be_decoded_any_more(tmp_path, monkeypatch):
    """The header of a stream stays, so that it looks like one; each of a million refusals would cost its time."""
    path = clips.encode(tmp_path / "a.mp4", 60, options={"g": "60", "bf": "0"})
    data, places = bytearray(path.read_bytes()), []
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for position, size in places[20:]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    monkeypatch.setattr(opening, "_MOST_REFUSED", 10)
    warnings = EIGHT(path)[1].warnings
    assert any("20 frames came out of 60 packets (errors: 10)" in warning for warning in warnings)


def test_a_webp_of_too_many_pictures_is_refused(tmp_path, monkeypatch):
    pages = [Image.new("RGB", (16, 16), (level, 0, 0)) for level in range(0, 250, 25)]
    pages[0].save(tmp_path / "a.webp", save_all=True, append_images=pages[1:], duration=50)
    monkeypatch.setattr(pictures, "_MOST", 5)
    with (
        pytest.raises(VideoError, match=r"a\.webp has more than 5 pictures"),
        local_video(str(tmp_path / "a.webp"), Limits()),
    ):
        raise AssertionError
