"""Which stretches are decoded and by how many threads, on cases worked out by hand."""

import numpy as np
import pytest

from sharpv_cli.video import routes
from sharpv_cli.video.routes import Run, Team, runs_to, team_for


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
    assert team_for(shared, cores) == team


@pytest.mark.parametrize("cores", [1, 2, 4, 7, 16, 32, 64, 256])
@pytest.mark.parametrize("readers", [2, 3, 8, 16])
def test_all_readers_together_run_no_more_threads_than_there_are_cores(monkeypatch, cores, readers):
    monkeypatch.setattr(routes, "own_cores", lambda: cores)
    share = routes.share_of(readers)
    stretches = [Run(100 * n, (100 * n + 90,), n) for n in range(20)]
    for wanted in (stretches, stretches[:1], stretches[:3]):
        team = team_for(wanted, share)
        assert team.workers * team.threads * readers <= max(cores, readers)


def test_more_cores_are_used_by_fewer_readers(monkeypatch):
    monkeypatch.setattr(routes, "own_cores", lambda: 64)
    assert [routes.share_of(readers) for readers in (1, 2, 4, 8, 16, 64)] == sorted(
        (routes.share_of(readers) for readers in (1, 2, 4, 8, 16, 64)), reverse=True
    )
    assert routes.share_of(1) == 64
    assert routes.share_of(8) > 1
    assert routes.threads_inside() == 16, "what a decoder can use"
