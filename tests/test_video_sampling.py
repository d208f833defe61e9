"""Index maths of sampling against its definition: on screen at t is the last frame with a time <= t."""

import numpy as np
import pytest

from sharpv_cli.errors import UsageError
from sharpv_cli.video.sampling import Sampling, Selection, by_fps, uniform


def on_screen(times, moments):
    """By definition, one at a time, each frame once."""
    found = []
    for moment in moments:
        index = max([i for i, time in enumerate(times) if time <= moment], default=0)
        if not found or found[-1] != index:
            found.append(index)
    return tuple(found)


def test_uniform_takes_the_middles_of_equal_parts():
    times = np.arange(100) / 25
    # Parts of 0.5 s: 0.25 s is shown by frame 6 (0.24 s), 0.75 s by frame 18, and so on.
    assert uniform(times, 4.0, 8).indices == (6, 18, 31, 43, 56, 68, 81, 93)


def test_uniform_goes_by_time_where_the_rate_varies():
    # One frame stays for 9 s, then 10 frames in 1 s: by index the middle would be frame 5, at 9.4 s.
    times = [0.0, *(9 + 0.1 * np.arange(10))]
    chosen = uniform(times, 10.0, 4)
    assert chosen.indices == on_screen(times, [1.25, 3.75, 6.25, 8.75])
    assert chosen.indices == (0,)
    assert "only 1 different frame can be seen at the 4 sample times" in chosen.warnings[0]


@pytest.mark.parametrize("seed", range(30))
def test_uniform_is_the_definition_on_random_times(seed):
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(0.1, 60)) - 0.001
    times -= times[0]
    end = times[-1] + 0.3
    start, stop = sorted(random.uniform(0, end, 2))
    n = int(random.integers(1, 12))
    seen = [
        i for i, (a, b) in enumerate(zip(times, [*times[1:], end], strict=True)) if a < stop and b > start
    ]
    expected = on_screen(times, start + (np.arange(n) + 0.5) / n * (stop - start))
    assert uniform(times, end, n, start, stop).indices == (tuple(seen) if len(seen) <= n else expected)


def test_uniform_gives_all_frames_of_a_short_clip_and_says_so():
    # Two frames share the first 20 ms; sample times alone would miss the first of them.
    times = [0.0, 0.001, 0.02, 1.0]
    chosen = uniform(times, 1.5, 32)
    assert chosen.indices == (0, 1, 2, 3)
    assert chosen.warnings == ("the video shows only 4 different frames in 1.50 s: all are used, not 32",)


def test_as_many_frames_as_asked_for_need_no_warning():
    assert uniform([0.0, 0.5], 1.0, 2).warnings == ()


def test_a_range_starts_with_the_frame_that_is_on_screen_then():
    times = [0.0, 1.0, 2.0, 3.0]
    assert uniform(times, 4.0, 10, 1.5, 2.5).indices == (1, 2)
    assert uniform(times, 4.0, 1, 1.5, 2.0).indices == (1,)
    assert uniform(times, 4.0, 10, 1.0, 2.0).indices == (1,)


def test_an_end_after_the_clip_is_the_end_of_the_clip():
    assert uniform([0.0, 1.0], 2.0, 2, 0.0, 99.0) == uniform([0.0, 1.0], 2.0, 2)


@pytest.mark.parametrize(
    ("start", "stop", "said"),
    [
        (4.0, None, "the start 4 s is not in the clip"),
        (-1.0, None, "the start -1 s is not in the clip"),
        (float("nan"), None, "the start nan s is not in the clip"),
        (3.0, 3.0, "the range 3 s to 3 s is empty"),
        (3.0, 1.0, "the range 3 s to 1 s is empty"),
    ],
)
@pytest.mark.parametrize(
    "choose", [lambda *a: uniform(*a[:2], 4, *a[2:]), lambda *a: by_fps(*a[:2], 2.0, None, *a[2:])]
)
def test_a_range_outside_of_the_clip_is_refused_with_its_length(choose, start, stop, said):
    with pytest.raises(UsageError, match=said) as caught:
        choose(np.arange(100) / 25, 4.0, start, stop)
    assert caught.value.hint == "the clip is 4.00 s long"


def test_moments_take_the_frames_that_are_on_screen_then():
    times = [0.0, 1.0, 2.0, 3.0]

    def at(*moments):
        return Sampling("at", at=moments).choose(times, 4.0)

    assert at(0.0, 1.0, 2.999, 4.0).indices == (0, 1, 2, 3)
    assert at(-0.5, 0.5).indices == (0, 3)
    assert at(1.9999999).indices == (2,)  # rounded on its way
    assert at(1.2, 1.8) == Selection((1,), ("2 moments show only 1 different frame",))
    assert Sampling("at", at=(1.0, 2.0)).most == 2
    for beyond, said in ((4.1, "4.1 s"), (-4.5, "-0.5 s")):
        with pytest.raises(UsageError, match=f"the moment {said} is not in the clip"):
            at(1.0, beyond)


def test_times_below_0_count_from_the_end():
    times = np.arange(100) / 25
    for way in ({"strategy": "uniform", "frames": 3}, {"strategy": "fps", "fps": 2.0}):
        assert Sampling(**way, start=-2, end=-1).choose(times, 4.0) == Sampling(**way, start=2, end=3).choose(
            times, 4.0
        )
        assert Sampling(**way, start=-10).choose(times, 4.0) == Sampling(**way).choose(times, 4.0)
        with pytest.raises(UsageError, match="the range 0 s to -6 s is empty"):
            Sampling(**way, end=-10).choose(times, 4.0)
    assert Sampling(start=-1).stretch(4.0) == (3.0, 4.0)
    assert Sampling("at", at=(1.0, -1.5), start=3).stretch(4.0) == (1.0, 2.5)


def test_fps_takes_one_frame_a_step():
    times = np.arange(100) / 25
    chosen = by_fps(times, 4.0, 2.0)
    assert chosen.indices == on_screen(times, [0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75])
    assert chosen.warnings == ()


@pytest.mark.parametrize("seed", range(20))
def test_fps_is_the_definition_on_random_times(seed):
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(0.1, 60))
    times -= times[0]
    end, fps = times[-1] + 0.1, random.uniform(0.5, 20)
    moments = [(k + 0.5) / fps for k in range(1000) if (k + 0.5) / fps < end]
    assert by_fps(times, end, fps).indices == on_screen(times, moments)


def test_the_clips_own_rate_takes_every_frame_once_in_spite_of_rounded_times():
    times = np.round(np.arange(300) / 30, 3)
    chosen = by_fps(times, 10.0, 30.0)
    assert chosen.indices == tuple(range(300))
    assert chosen.warnings == ()


def test_a_clip_shorter_than_one_step_gives_one_frame():
    assert by_fps(np.arange(10) / 25, 0.4, 0.1).indices == (5,)


def test_a_rate_above_the_clips_gives_all_frames_and_says_so():
    chosen = by_fps([0.0, 1.0, 2.0], 3.0, 1e9)
    assert chosen.indices == (0, 1, 2)
    assert chosen.warnings == ("the video shows only 3 different frames in 3.00 s, fewer than 1e+09 fps",)


def test_max_frames_thins_evenly_and_says_so():
    times = np.arange(1000) / 25
    chosen = by_fps(times, 40.0, 5.0, 8)
    assert chosen.indices == uniform(times, 40.0, 8).indices
    assert chosen.warnings == ("5 fps of 40.0 s are 200 frames; max_frames takes 8",)
    assert by_fps(times, 40.0, 5.0, 200).indices == by_fps(times, 40.0, 5.0).indices
