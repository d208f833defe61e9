"""Where a method's curve leaves dense, on points whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sharpv_cli.benchmarks.budget_curve import leaves_dense
from sharpv_cli.types import GroupScore, Interval, MethodScore

ONE = MethodScore(
    "evs", 0.9, Interval(0.8, 1.0), -0.1, Interval(-0.2, 0.0), 0.5, 0.5, 0.5, 1.0, "fast", 0.1, 0.2, None, (), (), ()
)  # fmt: skip


def at(share: float, high: float, kv: float | None = None, method: str = "evs") -> MethodScore:
    return replace(
        ONE,
        method=method,
        visual_retention=share,
        kv_retention=kv or share,
        difference_interval=Interval(-0.5, high),
    )


@pytest.mark.parametrize(
    ("highs", "worse", "equal"),
    [
        ((0.0, 0.0, 0.0), None, 0.1),
        ((0.0, 0.0, -0.01), 0.1, 0.2),
        ((0.0, -0.01, 0.02), 0.2, 0.5),  # what is below, by chance or not, is after it left
        ((-0.01, -0.01, -0.01), 0.5, None),
    ],
)
def test_it_is_the_largest_budget_that_costs_answers(
    highs: tuple[float, ...], worse: float | None, equal: float | None
) -> None:
    points = [at(share, high) for share, high in zip((0.5, 0.2, 0.1), highs, strict=True)]
    found = leaves_dense([*points, at(0.5, -0.3, method="stride")], "evs")
    assert (found["visual_worse_at"], found["visual_equal_from"]) == (worse, equal)
    assert found == leaves_dense(points[::-1], "evs"), "in whatever order they come"


def test_visual_tokens_and_kv_entries_are_apart() -> None:
    found = leaves_dense([at(0.5, 0.0, kv=0.3), at(0.2, -0.1, kv=0.15)], "evs")
    assert (found["visual_worse_at"], found["kv_worse_at"]) == (0.2, 0.15)
    assert (found["visual_equal_from"], found["kv_equal_from"]) == (0.5, 0.3)


def test_so_are_the_types_of_questions() -> None:
    def typed(share: float, **highs: float) -> MethodScore:
        groups = (GroupScore(name, 9, 0.5, -0.1, Interval(-0.5, high)) for name, high in highs.items())
        return replace(at(share, 0.0), groups=tuple(groups))

    found = leaves_dense([typed(0.5, count=-0.1, order=0.0), typed(0.2, count=0.1, order=-0.1)], "evs")
    assert found["types_worse_at"] == {"count": 0.5, "order": 0.2}
    assert leaves_dense([typed(0.2, count=0.0)], "evs")["types_worse_at"] == {"count": None}
