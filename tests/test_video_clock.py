"""Wrong times in files: one costs its own frame's certainty, and no other frame's time, in every container."""

from fractions import Fraction

import clips
import numpy as np
import pytest
import tampered
from seeks import by_seeking

from sharpv_cli.video import packets
from sharpv_cli.video import probe as probing
from sharpv_cli.video.clock import mended
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.probe import probe, scan
from sharpv_cli.video.sampling import Sampling, Selection
from sharpv_cli.video.timeline import Timeline

COUNT, STEP = tampered.COUNT, tampered.STEP_MS
# Frames begin late, and stand still for 5 s behind frame 20, which no fault may swallow.
TRUE = [400 + STEP * number + (5000 if number >= 20 else 0) for number in range(COUNT)]
END = (TRUE[-1] - TRUE[0] + STEP) / 1000

FAULTS = {
    "doubled": lambda at: TRUE[at - 1],
    "zero": lambda at: 0,
    "backwards": lambda at: TRUE[at] - 300,
    "jump": lambda at: TRUE[at] + 3_600_000,
}


def all_frames(path, **range_):
    info, sample = sample_frames(path, Sampling(frames=999, **range_))
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)
    return info, sample


def check(path, at):
    """All frames are there, each at its own time but the one in doubt, which lies between its neighbours."""
    info, sample = all_frames(path)
    assert probe(path) == info
    assert sample.indices == tuple(range(COUNT))
    assert info.duration_sec == pytest.approx(END, abs=0.003)
    wrong = np.abs(np.array(sample.timestamps_sec) * 1000 - (np.array(TRUE) - TRUE[0])) > 2
    assert set(np.flatnonzero(wrong)) <= {at}
    assert f"the times of 1 of {COUNT} frames are missing or wrong" in sample.warnings[0]
    assert all_frames(path, start=5.9, end=6.35)[1].indices == tuple(range(22, 34))


@pytest.fixture(scope="module")
def retimed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")

    def write(path, times, bframes=0):
        return tampered.retimed(path, tampered.source(folder, path.suffix[1:], bframes=bframes), times)

    return write


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "flv", "ts", "vob"])
def test_one_wrong_time_costs_one_frames_certainty(tmp_path, retimed, kind, fault, bframes):
    for at in (7, COUNT - 2):
        times = list(TRUE)
        times[at] = FAULTS[fault](at)
        check(retimed(tmp_path / f"a.{kind}", times, bframes), at)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["webm", "ivf"])
def test_one_wrong_time_in_the_containers_of_vp8(tmp_path, retimed, kind, fault):
    for at in (7, COUNT - 2):
        times = list(TRUE)
        times[at] = FAULTS[fault](at)
        check(retimed(tmp_path / f"a.{kind}", times), at)


@pytest.fixture(scope="module", params=[0, 2])
def disc(request, tmp_path_factory):
    """As FFmpeg writes it: of eight to fifteen frames, one has a time."""
    path = tmp_path_factory.mktemp("disc") / "a.vob"
    options = {"g": "15", "bf": str(request.param)}
    return clips.encode(path, 200, codec="mpeg2video", options=options).read_bytes()


@pytest.mark.parametrize("fault", ["doubled", "zero", "back", "a little back", "on", "jump"])
def test_one_wrong_time_where_few_frames_have_one(tmp_path, disc, fault):
    places = tampered.timed_packets(disc)
    assert len(places) < 200 / 8
    for at in (2, len(places) // 2):
        before, here = (tampered.written_in(disc, place) // 90 for place in places[at - 1 : at + 1])
        changed, path = bytearray(disc), tmp_path / "b.vob"
        wrong = {"doubled": before, "zero": 0, "back": here - 300, "a little back": here - 200}
        wrong |= {"on": here + 300, "jump": here + 3_600_000}
        tampered.write_in(changed, places[at], wrong[fault])
        path.write_bytes(changed)
        info, sample = all_frames(path)
        assert np.allclose(sample.timestamps_sec, np.arange(200) / 25, atol=0.002)
        assert info.duration_sec == pytest.approx(8, abs=0.002)
        assert "the times of 1 of 200 frames are missing or wrong" in sample.warnings[0]


def test_times_that_mpeg_ps_leaves_out_are_no_cause_for_doubt(tmp_path, disc):
    (path := tmp_path / "a.vob").write_bytes(disc)
    plan = scan(path)
    assert np.allclose(plan.timeline.times, np.arange(200) / 25)
    assert not plan.as_written
    assert plan.warnings == ()


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("fault", ["doubled", "zero", "jump"])
def test_around_a_wrong_time_seeks_still_lead_to_the_right_frames(
    tmp_path, retimed, monkeypatch, fault, bframes
):
    """Long videos are not decoded whole for one wrong time."""
    monkeypatch.setattr(packets, "_SHORT", 10)
    monkeypatch.setattr(packets, "_DEEPEST", 16)
    monkeypatch.setattr(probing, "survey", None)  # not called
    times = list(TRUE)
    times[36] = FAULTS[fault](36)
    path = retimed(tmp_path / "a.mkv", times, bframes)
    plan = scan(path)
    assert plan.info.duration_sec == pytest.approx(END, abs=0.003)
    assert f"the times of 1 of {COUNT} frames" in plan.warnings[0]
    wanted = (5, 20, 50, 55)
    found = by_seeking(path, plan, Selection(wanted))
    assert [clips.number_of(image) for image in found.images] == list(wanted)
    told = plan.timeline.times[list(wanted)] * 1000
    assert np.allclose(told, [TRUE[number] - TRUE[0] for number in wanted], atol=1.5)
    assert not any("cut short" in warning for warning in plan.warnings)
    behind = by_seeking(path, plan, Selection((44,)))  # on the way to it lies the one in doubt
    assert behind is None or clips.number_of(behind.images[0]) == 44
    if bframes == 0:
        assert behind is None
        assert by_seeking(path, plan, Selection((36,))) is None
    assert all_frames(path)[1].indices == tuple(range(COUNT))


@pytest.mark.parametrize("kind", ["mp4", "ts", "vob"])
@pytest.mark.parametrize(("at", "to"), [(0, 0), (COUNT - 1, 4_000_000)])
def test_a_far_time_at_an_end_is_a_gap_and_said(tmp_path, retimed, kind, at, to):
    """Nothing tells it from a picture that really stands so long."""
    times = [time + 60_000 for time in TRUE]
    times[at] = to
    sample = all_frames(retimed(tmp_path / f"a.{kind}", times))[1]
    between = np.diff(sample.timestamps_sec[1:-1]) * 1000
    assert np.allclose(between, np.diff(TRUE[1:-1]), atol=1.5)
    assert any("one frame stays on screen for" in warning for warning in sample.warnings)


@pytest.mark.parametrize("bframes", [0, 2])
def test_a_missing_time(tmp_path, retimed, bframes):
    times = [None if number == 30 else time for number, time in enumerate(TRUE)]
    check(retimed(tmp_path / "a.ts", times, bframes), 30)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "webm", "flv", "ivf", "ts", "vob"])
def test_gaps_stay_gaps(tmp_path, retimed, kind):
    _, sample = all_frames(retimed(tmp_path / f"a.{kind}", TRUE))
    assert np.allclose(np.array(sample.timestamps_sec) * 1000, np.array(TRUE) - TRUE[0], atol=1.5)
    assert not any("times" in warning.split(":")[0] for warning in sample.warnings)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "webm", "flv", "ivf", "ts", "vob"])
def test_several_wrong_times_in_a_row(tmp_path, retimed, kind):
    times = [0 if 30 <= number < 36 else time for number, time in enumerate(TRUE)]
    info, sample = all_frames(retimed(tmp_path / f"a.{kind}", times))
    assert sample.indices == tuple(range(COUNT))
    assert info.duration_sec == pytest.approx(END, abs=0.003)
    wrong = np.abs(np.array(sample.timestamps_sec) * 1000 - (np.array(TRUE) - TRUE[0])) > 2
    assert set(np.flatnonzero(wrong)) <= set(range(30, 36))


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("kind", ["mkv", "flv", "ts", "vob"])
def test_a_clock_that_is_set_back_goes_on_from_where_it_was(tmp_path, retimed, kind, bframes):
    """From frame 30, a keyframe, on, the times begin anew."""
    times = [time - (TRUE[30] if number >= 30 else 0) for number, time in enumerate(TRUE)]
    info, sample = all_frames(retimed(tmp_path / f"a.{kind}", times, bframes))
    assert info.duration_sec == pytest.approx(END, abs=0.003)
    assert np.allclose(np.array(sample.timestamps_sec) * 1000, np.array(TRUE) - TRUE[0], atol=1.5)
    assert "the video's clock goes back once" in sample.warnings[0]


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize("first", [10, 25])
def test_a_counter_that_overflows(tmp_path, retimed, first, bframes):
    """MPEG counts to 2^33 / 90000 s, which a recording reaches after 26 and a half hours."""
    late = [time + (1 << 33) // 90 - TRUE[first] for time in TRUE]
    info, sample = all_frames(retimed(tmp_path / "a.ts", late, bframes))
    assert info.duration_sec == pytest.approx(END, abs=0.003)
    assert np.allclose(np.array(sample.timestamps_sec) * 1000, np.array(TRUE) - TRUE[0], atol=1.5)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mjpeg", {}),
        ("mpeg4", {"bf": "2", "qmax": "3"}),
        ("libx264", {"bf": "0"}),
        ("libx264", {"preset": "veryfast", "bf": "2"}),
    ],
)
def test_a_gap_in_avi_which_counts_pictures(tmp_path, codec, options):
    path = clips.encode(
        tmp_path / "a.avi",
        COUNT,
        codec=codec,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        options=options,
        pts=lambda number: number + (50 if number >= 20 else 0),
    )
    info, sample = all_frames(path)
    assert info.duration_sec == pytest.approx((COUNT + 50) / 25)
    assert [round(time * 25) for time in sample.timestamps_sec] == [
        number + (50 if number >= 20 else 0) for number in range(COUNT)
    ]


def test_times_without_sense_are_counted():
    written = [0, 0, 0, 0]
    timeline = Timeline.mended(written, Fraction(1, 1000), Fraction(25))
    assert timeline.times == pytest.approx([0, 0.04, 0.08, 0.12])
    assert Timeline.mended([None, None], Fraction(1, 1000), Fraction(25)).end == pytest.approx(0.08)


@pytest.mark.parametrize("seed", range(20))
def test_of_uneven_times_all_but_the_wrong_ones_stay(seed):
    random = np.random.default_rng(seed)
    true = np.cumsum(random.choice([20, 33, 40, 500, 9000], 300)).tolist()
    written = list(true)
    wrong = set(random.choice(np.arange(1, 299), 12, replace=False).tolist())
    for place in wrong:
        written[place] = random.choice([None, 0, true[place] + 10**6, true[place] - 10**5])
    clock = mended(written, 40.0)
    assert set(np.flatnonzero(~clock.sure)) <= wrong
    right = [place for place in range(300) if place not in wrong]
    assert clock.ticks[right].tolist() == [true[place] for place in right]
    assert (np.diff(clock.ticks) > 0).all()


def test_joined_recordings_keep_their_own_times():
    first = np.cumsum(np.random.default_rng(0).integers(10, 90, 50))
    second = np.cumsum(np.random.default_rng(1).integers(10, 90, 70))
    clock = mended([*first.tolist(), *second.tolist()], 40.0)
    assert clock.set_back == 1
    assert clock.sure.all()
    assert np.diff(clock.ticks[:50]).tolist() == np.diff(first).tolist()
    assert np.diff(clock.ticks[50:]).tolist() == np.diff(second).tolist()


def test_a_clock_that_stands_still_goes_on():
    """As MXF does behind the frames that its index counts."""
    clock = mended([*range(0, 1600, 40), *([1560] * 40)], 40.0)
    assert clock.ticks.tolist() == list(range(0, 3200, 40))
    clock = mended([*range(0, 1600, 40), *([None] * 38), 1561, 1601], 40.0)
    assert np.diff(clock.ticks).tolist() == [40] * 79


def test_many_wrong_times_take_little_time_each():
    noise = np.random.default_rng(0).integers(0, 1 << 40, 20_000).tolist()
    assert (np.diff(mended(noise, 40.0).ticks) > 0).all()
