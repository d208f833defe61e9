"""What several questions about one video cost together, beside one of them: frames decoded to last token.

`python -m sharpv_cli.benchmarks.sharing_cost demo/moving.mp4 -q "what moves?" -q "how many objects?"` times, in turns
and with one loaded model, each question alone and all of them behind one prefix, and compares the answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from sharpv_cli.metrics import now
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import Answer


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of each run, loading left out. `same`: every question got the same answer both ways."""

    alone: list[float]
    together: list[float]
    same: bool
    shared_bytes: int | None

    @property
    def ratio(self) -> float:
        """All questions together / one question, medians."""
        return median(self.together) / median(self.alone)


def measure(video: str, questions: Sequence[str], settings: Settings, runs: int, warmup: int = 1) -> Cost:
    """Time `runs` rounds after `warmup` ones; in each, every question alone and then all together."""
    session = open_session(settings)
    alone: list[float] = []
    together: list[float] = []
    same, shared = True, None
    for number in range(warmup + runs):
        single = [_timed(partial(_alone, session, video, question, settings)) for question in questions]
        answers, seconds = _timed(partial(_together, session, video, questions, settings))
        same &= [given.text for given in answers] == [given.text for (given,), _ in single]
        shared = answers[0].memory.shared_prefix_bytes
        if number >= warmup:
            alone += [spent for _, spent in single]
            together.append(seconds)
    return Cost(alone, together, same, shared)


def _alone(session: Session, video: str, question: str, settings: Settings) -> list[Answer]:
    return _together(session, video, [question], settings)


def _together(session: Session, video: str, questions: Sequence[str], settings: Settings) -> list[Answer]:
    prompts = SharedPrompts(Clip(session, decode_whole(video, settings), settings))
    return [whole_answer(answer(prompts, question, last=question is questions[-1])) for question in questions]


def _timed(work: partial[list[Answer]]) -> tuple[list[Answer], float]:
    start = now()
    return work(), now() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("-q", "--question", action="append", required=True)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    cost = measure(args.video, args.question, resolve({}, {}, profile=args.profile).settings, args.runs)
    spread = f"{min(cost.together):.3f}-{max(cost.together):.3f}"
    print(f"one question alone   {median(cost.alone):.3f} s ({min(cost.alone):.3f}-{max(cost.alone):.3f})")
    print(
        f"{len(args.question)} questions together {median(cost.together):.3f} s ({spread}), {cost.ratio:.2f}x of one"
    )
    print(
        f"answers {'identical' if cost.same else 'DIFFER'}; shared prefix {cost.shared_bytes} bytes of KV cache"
    )


if __name__ == "__main__":
    main()
