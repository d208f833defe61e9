"""Which stretches are decoded and by how many threads, on cases worked out by hand."""

import numpy as np
import pytest

from sharpv_cli.video import routes
from sharpv_cli.video.routes import Run, Team, runs_to, team_for
from sharpv_cli.video.shares import Shares, default_readers

HD = 1280 * 720  # pixels of a frame


def runs(keys, indices):
    return runs_to(np.array(keys, np.intp), indices)


def test_each_frame_is_reached_from_the_keyframe_before_it():
    assert runs([0, 100, 200, 300], [50, 120, 150, 399]) == [
        Run(0, (50,), 0),
        Run(100, (120, 150), 1),
        Run(300, (399,), 3),
    ]


def test_a_keyframe_is_reached_from_itself():
    assert runs([0, 100], [100]) == [Run(100, (100,), 0)]


def test_long_stretches_side_by_side_stay_apart_so_that_they_can_be_shared():
    assert [run.key for run in runs([0, 100, 200], range(300))] == [0, 100, 200]


def test_short_stretches_side_by_side_are_joined():
    joined = runs(range(0, 400, 4), range(400))  # a keyframe every 4 frames, all frames wanted
    assert sum(len(run.indices) for run in joined) == 400
    assert [run.slot for run in joined] == [run.indices[0] for run in joined]
    assert all(28 <= len(run.indices) <= 40 for run in joined[:-1])


def test_short_stretches_far_apart_are_not_joined():
    assert len(runs(range(0, 400, 4), [0, 101, 202, 303])) == 4


@pytest.mark.parametrize(("keys", "indices"), [([], [3]), ([5], [3]), ([5, 10], [3, 12])])
def test_a_frame_before_all_keyframes_cannot_be_reached(keys, indices):
    assert runs(keys, indices) is None


@pytest.mark.parametrize(
    ("lengths", "cores", "team"),
    [
        ([300], 1, Team(1, 1)),
        ([300], 2, Team(1, 4)),  # nothing to share: the threads go into the one decoder
        ([300], 8, Team(1, 10)),
        ([300, 300], 2, Team(2, 1)),
        ([300, 5], 2, Team(1, 4)),  # the second worker would have nothing to do
        ([100] * 30, 2, Team(2, 1)),
        ([100] * 30, 16, Team(4, 6)),
    ],
)
def test_the_team_fits_the_work(lengths, cores, team):
    shared = [Run(1000 * place, (1000 * place + length - 1,), place) for place, length in enumerate(lengths)]
    assert team_for(shared, HD, cores) == team


def test_a_small_clip_has_one_thread_on_any_machine():
    """It is decoded before further ones have begun, and each costs processor time."""
    short = runs([0, 100, 200, 300], [50, 120, 250, 399])
    assert team_for(short, 320 * 240, 64) == Team(1, 1)
    assert team_for(short, HD, 64).workers > 1


CORES = [1, 2, 3, 4, 7, 16, 32, 64, 128, 256]


@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("readers", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_all_readers_together_run_no_more_threads_than_there_are_cores(cores, readers, processes):
    plan = Shares.of(cores, readers, processes)
    assert min(plan.readers, plan.reader, plan.model, plan.long) >= 1
    stretches = [Run(100 * n, (100 * n + 90,), n) for n in range(20)]
    for wanted in (stretches, stretches[:1], stretches[:3]):
        team = team_for(wanted, HD, plan.reader)
        threads = team.workers * team.threads + (team.workers == 1 < team.threads)
        assert threads * plan.readers * processes <= max(cores, readers, processes)
    assert processes * plan.model <= max(cores, processes)
    long = processes * (plan.readers * plan.reader + plan.long)
    assert long <= max(cores, processes * (plan.readers + 1)), "what reads long videos has what is left"


def test_fewer_threads_are_in_each_reader_the_more_there_are():
    shares = [Shares.of(64, readers).reader for readers in (1, 2, 4, 8, 16, 64)]
    assert shares == sorted(shares, reverse=True)
    assert (shares[0] > 32, shares[3] > 1, shares[-1]) == (True, True, 1)
    assert Shares.of(64, 8, processes=8) == Shares(1, 3, 8, 5)


@pytest.mark.parametrize(
    ("cores", "processes", "readers"),
    [(1, 1, 1), (2, 1, 2), (4, 1, 2), (16, 1, 8), (64, 1, 16), (64, 24, 24)],
)
def test_as_many_videos_are_read_at_a_time_as_half_of_the_cores_read(cores, processes, readers):
    assert default_readers(cores, processes) == readers


def test_one_decoder_has_as_many_threads_as_it_can_use(monkeypatch):
    monkeypatch.setattr(routes, "own_cores", lambda: 64)
    assert routes.threads_inside() == 16
