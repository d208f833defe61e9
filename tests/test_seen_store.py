"""The store under blows: no wrong answer, nothing lost, and a word where something is wrong."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from seen_clips import SeenVideo, seen_video
from tiny_model import folder, session

from sharpv_cli import digests
from sharpv_cli.api import Sharpv
from sharpv_cli.batch.indexing import QUESTION, Looker
from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.working import answered
from sharpv_cli.commands.doctor.checking import _seen
from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.models import identity
from sharpv_cli.pipeline import opening
from sharpv_cli.pipeline.aside import Aside, go_on_beside
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.seen import recall
from sharpv_cli.seen.head import DIGEST, HEAD
from sharpv_cli.seen.key import software
from sharpv_cli.seen.store import Store, ends_of
from sharpv_cli.seen.travelling import bring, export
from sharpv_cli.settings import Resolved
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Event
from sharpv_cli.video.local import LocalVideo
from sharpv_cli.video.read_ahead import ReadAhead


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seen_video(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture
def video(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SeenVideo:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return SeenVideo(Path(shutil.copy(clip, tmp_path / "clip.mp4")))


def only_file(video: SeenVideo) -> Path:
    (file,) = video.folder.glob("*.seen")
    return file


def test_what_was_seen_is_not_decoded_again(video: SeenVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    first = video.ask()
    monkeypatch.setattr(opening, "decode", lambda *_: pytest.fail("it was decoded"))
    again = video.ask("Where is it?")
    assert (first.seen, again.seen) == (False, True)
    timing = again.timing
    assert (timing.decode_sec, timing.decode_wait_sec, timing.vision_sec) == (0, 0, 0)
    assert again.video == first.video
    assert again.sample.timestamps_sec == first.sample.timestamps_sec
    assert again.sample.images[0].shape == again.sample.images.shape[1:]


def test_several_questions_keep_once_and_use_what_is_kept(video: SeenVideo) -> None:
    assert [answer.seen for answer in video.answers(["one?", "two?"])] == [False, False]
    assert [answer.seen for answer in video.answers(["one?", "two?"])] == [True, True]


def test_a_process_that_stays_holds_what_was_seen_before_as_well(
    video: SeenVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next question is read behind what the one before has read, with the same answer."""
    video.ask()
    os.utime(video.path, (0, 0))
    monkeypatch.setattr(digests, "_SETTLED_SEC", -1.0)
    monkeypatch.setattr(SHELF, "places", 1)
    answers = []
    for _ in range(2):
        answers.append(video.ask("Where is it?"))
        SHELF.fit()
        assert len(SHELF) == 1
    SHELF.give_up()
    assert [answer.seen for answer in answers] == [True, True]
    assert answers[0].token_ids == answers[1].token_ids == video.ask("Where is it?", seen="off").token_ids


def test_nobody_else_can_read_it(video: SeenVideo) -> None:
    video.ask()
    assert stat.S_IMODE(video.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(video).stat().st_mode) == 0o600


def test_doctor_says_how_much_is_kept(video: SeenVideo) -> None:
    assert "0 clips" in _seen(video.settings()).value
    video.ask()
    kept = _seen(video.settings())
    assert f"{video.folder}: 1 clips" in kept.value
    assert kept.bytes == only_file(video).stat().st_size


def test_versions_share_a_store(video: SeenVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has files of its own, and what the other one has written is neither used nor spoilt."""
    own = software()
    video.ask()
    before = {*video.folder.glob("*.seen")}
    with monkeypatch.context() as newer:
        newer.setattr("sharpv_cli.seen.key.software", lambda: own.replace('"sharpv": "', '"sharpv": "9'))
        assert [video.ask().seen for _ in range(2)] == [False, True]
    (later,) = {*video.folder.glob("*.seen")} - before
    later.write_bytes(later.read_bytes().replace(b"sharpv.seen/1", b"sharpv.seen/2"))
    assert video.ask(seen="only").seen
    assert later.exists()


def test_off_writes_and_reads_nothing(video: SeenVideo) -> None:
    video.ask(seen="off")
    assert not video.folder.exists()
    video.ask()
    assert not video.ask(seen="off").seen


def test_only_ends_where_nothing_is_kept(video: SeenVideo) -> None:
    with pytest.raises(VideoError, match="nothing is kept of it") as raised:
        video.ask(seen="only")
    assert raised.value.exit_code == 3
    assert "sharpv index" in str(raised.value.hint)
    video.ask()
    assert video.ask(seen="only").seen


def test_refresh_looks_again_and_replaces(video: SeenVideo) -> None:
    video.ask()
    before = only_file(video).stat().st_ino
    assert not video.ask(seen="refresh").seen
    assert only_file(video).stat().st_ino != before


def test_a_video_of_the_same_name_and_size_is_another_one(video: SeenVideo, tmp_path: Path) -> None:
    """Its content counts, even where times and size are those of the first."""
    video.ask()
    times = video.path.stat()
    content = bytearray(video.path.read_bytes())
    middle = content.index(b"mdat") + 40
    content[middle] ^= 1
    video.path.write_bytes(content)
    os.utime(video.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not video.ask().seen


def test_a_copy_of_the_video_is_the_same_video(video: SeenVideo, tmp_path: Path) -> None:
    video.ask()
    copy = SeenVideo(Path(shutil.copy(video.path, tmp_path / "copy.mp4")))
    answer = copy.ask()
    assert answer.seen
    assert answer.video.path == str(copy.path)


def test_a_video_that_changes_meanwhile_is_not_kept(
    video: SeenVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = opening.decode

    def decode_then_change(*given: Any) -> Any:
        frames = decode(*given)
        video.path.write_bytes(video.path.read_bytes() + b"\0")
        return frames

    monkeypatch.setattr(opening, "decode", decode_then_change)
    video.ask()
    assert not list(video.folder.glob("*.seen"))


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _foreign(file: Path) -> None:
    save_file({"x": torch.zeros(3)}, file, {"format": "pt"})


def _no_tensors(file: Path) -> None:
    file.write_bytes(b"\xff" * 4096)


def _edited_head(file: Path) -> None:
    """By hand: another name for the video, the digest as it was."""
    file.write_bytes(file.read_bytes().replace(b"clip.mp4", b"clap.mp4"))


@pytest.mark.parametrize("blow", [_cut, _flip, _empty, _foreign, _no_tensors, _edited_head])
def test_a_damaged_file_counts_as_absent_and_is_replaced(
    video: SeenVideo, blow: Callable[[Path], None]
) -> None:
    want = video.ask()
    blow(only_file(video))
    got = video.ask()
    assert (got.seen, got.token_ids) == (False, want.token_ids)
    assert any("cannot be used" in note for note in video.notes)
    assert video.ask().seen


def test_a_file_under_another_ones_name_is_not_taken(video: SeenVideo) -> None:
    video.ask()
    video.ask(**{"sampling.frames": 3})
    one, other = sorted(video.folder.glob("*.seen"))
    shutil.copy(one, other)
    answers = [video.ask(), video.ask(**{"sampling.frames": 3})]
    assert sorted(answer.seen for answer in answers) == [False, True]
    assert [len(answer.sample) for answer in answers] == [4, 3]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_an_answer_does_not_fail_for_the_store(
    video: SeenVideo, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("sharpv_cli.seen.store.write_all", full)
    assert video.ask().text is not None
    assert any("is not kept" in note and os.strerror(code) in note for note in video.notes)
    assert [file.name for file in video.folder.iterdir() if file.suffix != ".json"] == []


def test_a_cache_that_is_a_file_costs_a_note(video: SeenVideo, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    assert not video.ask().seen
    assert any("is not kept" in note for note in video.notes)


def test_what_was_not_used_for_longest_goes_first(video: SeenVideo) -> None:
    for frames in (2, 3, 4):
        video.ask(**{"sampling.frames": frames})
    two, three, four = sorted(video.folder.glob("*.seen"), key=lambda file: file.stat().st_size)
    for age, file in enumerate((two, four, three)):
        os.utime(file, (0, time.time() - 100 * age))
    video.ask(**{"sampling.frames": 3})  # used now
    total = sum(file.stat().st_size for file in (two, three, four))
    store = Store(video.folder, total - 1)
    store.make_room()
    assert (two.exists(), three.exists(), four.exists()) == (True, True, False)


def test_one_clip_takes_no_more_than_a_quarter(video: SeenVideo) -> None:
    video.ask(seen_max_bytes=4096)
    assert any("a quarter" in note for note in video.notes)
    assert not list(video.folder.glob("*.seen"))


def test_what_a_killed_process_left_goes_in_time(video: SeenVideo) -> None:
    video.ask()
    old, new = (video.folder / f".sharpv-{name}.part" for name in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, time.time() - 7200))
    video.ask(seen="refresh")
    assert (old.exists(), new.exists()) == (False, True)


def _write_for_ever(folder: str, content: bytes) -> None:
    store = Store(Path(folder), 1 << 30)
    while True:
        store.write(store.folder / "a-b-c.seen", content)


def test_killed_while_it_writes(tmp_path: Path) -> None:
    """There is always a whole file under the name; `python -m sharpv_cli.benchmarks.seen --kill 20` does it oftener."""
    content = os.urandom(1 << 20)
    for _ in range(3):
        writer = multiprocessing.get_context("fork").Process(
            target=_write_for_ever, args=(str(tmp_path), content)
        )
        writer.start()
        while not (tmp_path / "a-b-c.seen").exists():
            time.sleep(0.01)
        time.sleep(0.02)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert (tmp_path / "a-b-c.seen").read_bytes() == content


def test_two_processes_share_it(tmp_path: Path) -> None:
    """Both write the same name over and over: a reader never meets anything but a whole file."""
    content = os.urandom(1 << 18)
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_for_ever, args=(str(tmp_path), content)) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        while not (tmp_path / "a-b-c.seen").exists():
            time.sleep(0.01)
        for _ in range(50):
            assert (tmp_path / "a-b-c.seen").read_bytes() == content
    finally:
        for writer in writers:
            writer.kill()
            writer.join()


def test_an_index_has_clips_encoded_together(
    video: SeenVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked about as if each had been looked at alone."""
    first = ReadAhead.first
    monkeypatch.setattr(ReadAhead, "first", lambda ahead, wait: first(ahead, wait=True))
    videos = [video, *(SeenVideo(seen_video(tmp_path / f"{shade}.mp4", 8, shade)) for shade in (40, 80))]
    settings = video.settings()
    looker = Looker(session("auto").together(4), Resolved(settings, {}, "tiny", "shipped", None))
    assert looker.session.several is not None
    looker.session.several.vision.full = 1 << 40
    jobs = [Job(str(one.path), settings, (Asked("0", 1, QUESTION, "d"),)) for one in videos]
    told = [document for _, document in answered(looker, jobs)]
    assert [document["seen"] for document in told] == [False] * 3  # type: ignore[index]
    assert looker.session.several.vision.largest == 3
    for one in videos:
        got, want = one.ask(), one.ask(seen="off")
        assert (got.seen, want.seen) == (True, False)
        assert got.token_ids == want.token_ids


@pytest.fixture
def travelled(video: SeenVideo, tmp_path: Path) -> Path:
    video.ask()
    export(only_file(video), tmp_path / "clip.seen")
    return tmp_path / "clip.seen"


def test_a_clip_travels(video: SeenVideo, travelled: Path) -> None:
    """Without its video, without the store, and whatever the settings of sampling are there."""
    want = video.ask(seen="off")
    shutil.rmtree(video.folder)
    video.path.unlink()
    got = SeenVideo(travelled).ask(seen="off", **{"sampling.frames": 9})
    assert got.seen
    assert (got.token_ids, got.layers) == (want.token_ids, want.layers)
    assert str(video.path.parent).encode() not in travelled.read_bytes()


def test_a_clip_can_be_brought_into_the_store(video: SeenVideo, travelled: Path) -> None:
    shutil.rmtree(video.folder)
    store = Store.of(1 << 30)
    assert store is not None
    bring(travelled, store)
    assert video.ask(seen="only").seen


def test_another_model_does_not_read_it(travelled: Path) -> None:
    with pytest.raises(ModelError, match="was made with"):
        SeenVideo(travelled).ask(**{"model.id": "builtin"})


def _edit(file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> None:
    """As somebody who knows the format, with a digest that fits."""
    from safetensors import safe_open

    from sharpv_cli.seen.entry import _digest

    with safe_open(file, "pt") as opened:
        head = json.loads(opened.metadata()[HEAD])
    tensors = load_file(file)
    change(head, tensors)
    told = json.dumps(head)
    save_file(tensors, file, {HEAD: told, DIGEST: _digest(told, tensors)})


HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]] = {
    "not finite": lambda head, tensors: tensors["rows"].fill_(float("nan")),
    "fewer rows": lambda head, tensors: tensors.update(rows=tensors["rows"][:-1].contiguous()),
    "narrower rows": lambda head, tensors: tensors.update(rows=tensors["rows"][:, :-1].contiguous()),
    "another number format": lambda head, tensors: tensors.update(rows=tensors["rows"].half()),
    "no scores": lambda head, tensors: tensors.pop("importance"),
    "more frames": lambda head, tensors: tensors.update(held=tensors["held"].repeat(2, 1)),
    "a tensor too many": lambda head, tensors: tensors.update(x=torch.zeros(1)),
    "times that fall": lambda head, tensors: tensors.update(timestamps=tensors["timestamps"].flip(0).contiguous()),
    "an immense picture": lambda head, tensors: head.update(height=1 << 30, width=1 << 30),
    "an immense shape": lambda head, tensors: next(iter(head["made"]["shapes"].values()))[0].__setitem__(1, 1 << 38),
    "settings that are none": lambda head, tensors: head.update(settings="[" * 9000),
    "an unknown key": lambda head, tensors: head.update(more=1),
    "a number that is none": lambda head, tensors: head.update(scale="nan"),
    "a shape without sizes": lambda head, tensors: next(iter(head["made"]["shapes"].values())).__setitem__(0, []),
    "words that no processor says": lambda head, tensors: head["made"].update(metadata={}),
    "immense thumbnails": lambda head, tensors: head.update(thumbnails=[1 << 30, 1 << 30]),
    "a day that no calendar has": lambda head, tensors: head.update(created=1e300),
    "a name that leads elsewhere": lambda head, tensors: head.update(ends="../../x"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_an_error_in_words(travelled: Path, kind: str) -> None:
    _edit(travelled, HOSTILE[kind])
    with pytest.raises((VideoError, ModelError)) as raised:
        SeenVideo(travelled).ask()
    assert raised.value.hint


def test_scores_that_choose_what_is_not_there_are_an_error_in_words(travelled: Path) -> None:
    """They may well be finite, and of the right shape."""

    def lie(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        tensors["importance"] = -tensors["importance"]

    _edit(travelled, lie)
    with pytest.raises(VideoError, match="does not fit"):
        SeenVideo(travelled).ask()


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "a pipe": lambda file: os.mkfifo(file),
    "a device": lambda file: file.symlink_to("/dev/zero"),
    "a folder": lambda file: file.mkdir(),
    "a header without end": lambda file: file.write_bytes((1 << 40).to_bytes(8, "little") + b'{"__metadata__"'),
    "a file of terabytes": lambda file: (file.touch(), os.truncate(file, 1 << 42)),
    "nothing": lambda file: None,
}  # fmt: skip


def _told(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """An edit of the header, behind which the tensors stay as they are."""

    def edit(file: Path) -> None:
        content = file.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        change(header)
        told = json.dumps(header).encode()
        file.write_bytes(len(told).to_bytes(8, "little") + told + content[end:])

    return edit


MISPLACED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "past the end": lambda header: header["rows"].update(data_offsets=[0, 1 << 50]),
    "before the beginning": lambda header: header["held"].update(data_offsets=[-8, header["held"]["shape"][0] * 1]),
    "of another size": lambda header: header["rows"]["shape"].append(2),
    "of a negative size": lambda header: header["rows"].update(shape=[-1, -1]),
    "of no number format": lambda header: header["rows"].update(dtype="F8"),
    "with a shape of text": lambda header: header["rows"].update(shape=["a"]),
    "without a place": lambda header: header["rows"].pop("data_offsets"),
    "no tensor": lambda header: header.update(rows=[]),
    "in one another's place": lambda header: header["importance"].update(
        data_offsets=[0, header["importance"]["data_offsets"][1] - header["importance"]["data_offsets"][0]]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISPLACED)
def test_a_header_that_lies_about_its_tensors_is_an_error_in_words(travelled: Path, kind: str) -> None:
    _told(MISPLACED[kind])(travelled)
    with pytest.raises(VideoError, match="cannot be used"):
        SeenVideo(travelled).ask()


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_clip_is_not_read_to_find_out(tmp_path: Path, kind: str) -> None:
    FOREIGN[kind](tmp_path / "x.seen")
    with pytest.raises(VideoError, match="cannot be used"):
        bring(tmp_path / "x.seen", Store(tmp_path / "store", 1 << 50))
    assert not (tmp_path / "store").exists()


def test_what_is_larger_than_the_store_is_not_brought(travelled: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="seen_max_bytes"):
        bring(travelled, Store(tmp_path / "small", travelled.stat().st_size - 1))


def test_what_was_seen_here_is_not_exchanged_for_what_comes_from_elsewhere(
    video: SeenVideo, travelled: Path
) -> None:
    own = only_file(video).read_bytes()
    _edit(travelled, lambda _, tensors: tensors["rows"].neg_())
    store = Store.of(1 << 30)
    assert store is not None
    assert not bring(travelled, store)[1]
    assert only_file(video).read_bytes() == own


def test_a_video_is_read_for_its_digest_only_where_something_may_be_kept(
    video: SeenVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "is_settled", lambda _: True)
    read: list[str] = []
    decoded: list[int] = []
    digest, decode = recall.Remembered.digest, opening.decode

    def noted(remembered: recall.Remembered, file: str) -> str:
        read.append(str(file))
        return digest(remembered, file)

    def counted(*given: Any) -> Any:
        decoded.append(read.count(str(video.path)))
        return decode(*given)

    monkeypatch.setattr(recall.Remembered, "digest", noted)
    monkeypatch.setattr(opening, "decode", counted)
    video.ask()
    assert (decoded, read.count(str(video.path))) == ([0], 1)


@pytest.mark.parametrize(
    ("of", "name"), [(recall.Remembered, "digest"), (identity, "_digests"), (Store, "write")]
)
def test_while_video_and_checkpoint_are_read_or_an_entry_is_written_others_are_answered(
    of: Any, name: str, video: SeenVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that answers several at once, which works for each in the folder of its command."""
    monkeypatch.setattr(recall, "is_settled", lambda _: True)
    monkeypatch.chdir(home := video.path.parent)
    work, others_done, ended = getattr(of, name), threading.Event(), list[str]()
    monkeypatch.setattr(of, name, lambda *given: others_done.wait(20) and work(*given))
    local, shared = LocalVideo(video.path.name, "clip").for_others(), session().together()

    def asking(seen: str) -> Generator[Event]:
        model = Sharpv(video.settings(seen=seen, **{"model.id": os.path.relpath(folder(), home)}))
        model._session = shared
        for event in model.events(local, "What moves?"):
            os.chdir("/")
            yield event
            os.chdir(home)
        ended.append(seen)
        if seen == "off":
            others_done.set()

    works = [asking("auto"), asking("off")]
    go_on_beside(Aside(1, lambda: None))
    try:
        list(Conveyor[Event](shared.several).told(lambda _: works.pop(0) if works else None))
    finally:
        go_on_beside(None)
    assert ended == ["off", "auto"]
    assert only_file(video)


def test_only_the_ends_of_a_video_are_read_to_know_whether_it_may_be_kept(tmp_path: Path) -> None:
    """All of it is read where that is so, or after the answer."""
    path, found = tmp_path / "a.mp4", []
    for place in (None, 2_500_000, 10, 4_999_990):
        content = bytearray(5_000_000)
        if place is not None:
            content[place] = 1
        path.write_bytes(content)
        found.append(ends_of(str(path)))
    assert found[0] == found[1]
    assert len(set(found)) == 3
