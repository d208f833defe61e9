"""`eval` and the store: SharpV's own methods ask of what was kept, others look at each clip and leave it alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.working import Worker, answered
from sharpv_cli.evaluation import running
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.datasets.dataset import Dataset
from sharpv_cli.evaluation.matching import read_match
from sharpv_cli.evaluation.methods import read_methods
from sharpv_cli.evaluation.results import Outcome, ResultsFile, item_key, open_results
from sharpv_cli.evaluation.rivals import Contest
from sharpv_cli.evaluation.running import Run
from sharpv_cli.seen import recall
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Resolved, Settings, resolve
from sharpv_cli.video.local import Limits

Evaluate = Callable[..., dict[tuple[str, str], Outcome]]
OWN = "sharpv,sharpv:m=0.9,positions=contiguous"
OTHERS = ("dense", "memory", "sharpv:w=0.5", "sharpv,dense", "sharpv,random-star")


def settings_for(changed: Mapping[str, object]) -> Settings:
    return resolve({"frames": 4, **changed}, {}).settings


@pytest.fixture(scope="module")
def session() -> Session:
    return open_session(settings_for({}))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A clip with two questions."""
    return shapes.load(None, 2, tmp_path_factory.mktemp("clips"))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The videos that were decoded."""
    looked, decode = [], running.decode_isolated

    def noted(reader: Any, video: Any, settings: Settings) -> Any:
        looked.append(video)
        return decode(reader, video, settings)

    monkeypatch.setattr(running, "decode_isolated", noted)
    return looked


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> set[threading.Thread]:
    """The threads that read videos for their digests."""
    threads, digest = set(), recall.Remembered.digest

    def noted(remembered: recall.Remembered, file: Any) -> str:
        threads.add(threading.current_thread())
        return digest(remembered, file)

    monkeypatch.setattr(recall.Remembered, "digest", noted)
    return threads


@pytest.fixture
def evaluated(
    session: Session, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Evaluate:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(methods: str, seen: str = "auto", match: str = "sharpv") -> dict[tuple[str, str], Outcome]:
        """What a new run of these methods comes to."""
        listed = read_methods(methods, settings_for)
        contest = Contest(read_match(match), seed=0)
        work = Run(dataset, listed, settings_for({"seen": seen}), contest, session, Limits())
        file = tmp_path / "results.jsonl"
        file.unlink(missing_ok=True)
        keys = {item.id: item_key(item) for item in dataset.items}
        with ResultsFile(open_results(file), {method.label: "x" for method in listed}, keys) as results:
            results.begin("cpu")
            list(work.outcomes(results))
            assert not work.missed
            return dict(results.done)

    return run


def kept(folder: Path) -> dict[str, tuple[int, float]]:
    """What is in the store, and when it was used last."""
    files = (folder / "sharpv" / "seen").glob("*.seen")
    return {file.name: (file.stat().st_ino, file.stat().st_mtime) for file in files}


def told(outcomes: Mapping[tuple[str, str], Outcome]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {
        key: (one.answer, one.frames, one.visual_tokens, one.kv_bytes, one.similarities, one.warnings)
        for key, one in outcomes.items()
    }


def test_sharpvs_own_methods_ask_of_what_was_kept(
    evaluated: Evaluate, looked: list[Any], read_whole: set[threading.Thread], tmp_path: Path
) -> None:
    fresh = evaluated(OWN)
    assert (len(looked), len(kept(tmp_path))) == (1, 1)
    assert read_whole - {threading.main_thread()} == read_whole != set()
    again = evaluated(OWN)
    assert len(looked) == 1
    assert told(again) == told(fresh) == told(evaluated(OWN, seen="off"))
    assert len(looked) == 2


def test_others_look_at_each_clip_and_leave_the_store_alone(
    evaluated: Evaluate, looked: list[Any], tmp_path: Path
) -> None:
    evaluated("sharpv")
    before = kept(tmp_path)
    for methods in OTHERS:
        looked.clear()
        evaluated(methods)
        assert (methods, len(looked)) == (methods, 1)
        assert kept(tmp_path) == before, methods


def test_a_budget_that_sharpv_has_to_meet_is_met_by_a_look(
    evaluated: Evaluate, looked: list[Any], tmp_path: Path
) -> None:
    """It needs every visual token."""
    evaluated("sharpv", match="tokens:20")
    assert (len(looked), kept(tmp_path)) == (1, {})


def test_a_batch_reads_for_digests_where_it_decodes(
    session: Session,
    dataset: Dataset,
    read_whole: set[threading.Thread],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not where answers are made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = settings_for({})
    worker = Worker(session.together(2), Resolved(settings, {}, "tiny", "shipped", None))
    job = Job(str(dataset.prepare(dataset.items[0])), settings, (Asked("1", 1, "What moves?", "d"),))
    assert len(list(answered(worker, [job]))) == len(kept(tmp_path)) == 1
    assert read_whole - {threading.main_thread()} == read_whole != set()
