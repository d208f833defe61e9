"""MVBench in its authors' layout: what is read, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets_on_disk import mvbench_entry, only, write

from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.datasets.loading import load


def test_mvbench(tmp_path: Path) -> None:
    write(tmp_path / "json/action_sequence.json", [mvbench_entry()])
    video = write(tmp_path / "video/star/Charades_v1_480/ZS9XR.mp4", b"")
    dataset = load(tmp_path)
    assert dataset.name == "mvbench"
    assert only(dataset) == Item(
        id="action_sequence-1",
        video=video,
        prompt="Question:What happened after the person took the food?\nOption:\n(A) Ate the medicine.\n"
        "(B) Tidied up the blanket.\n(C) Took the box.\nOnly give the best option.\n",
        answer="C",
        scoring="letter",
        group="action_sequence",
        options=("Ate the medicine.", "Tidied up the blanket.", "Took the box."),
        start_sec=11.1,
        end_sec=19.6,
    )


@pytest.mark.parametrize(
    ("task", "folder"),
    [
        ("action_prediction", "star/Charades_v1_480"),
        ("action_antonym", "ssv2_video"),
        ("fine_grained_action", "Moments_in_Time_Raw/videos"),
        ("unexpected_action", "FunQA_test/test"),
        ("object_existence", "clevrer/video_validation"),
        ("object_interaction", "star/Charades_v1_480"),
        ("object_shuffle", "perception/videos"),
        ("moving_direction", "clevrer/video_validation"),
        ("action_localization", "sta/sta_video"),
        ("scene_transition", "scene_qa/video"),
        ("action_count", "perception/videos"),
        ("moving_count", "clevrer/video_validation"),
        ("moving_attribute", "clevrer/video_validation"),
        ("state_change", "perception/videos"),
        ("fine_grained_pose", "nturgbd"),
        ("character_order", "perception/videos"),
        ("egocentric_navigation", "vlnqa"),
        ("counterfactual_inference", "clevrer/video_validation"),
        ("action_count", "data0613/perception/videos"),
    ],
)
def test_mvbench_tasks_have_their_folders(tmp_path: Path, task: str, folder: str) -> None:
    write(tmp_path / f"json/{task}.json", [mvbench_entry()])
    video = write(tmp_path / f"video/{folder}/ZS9XR.mp4", b"")
    assert only(load(tmp_path)).video == video


def test_mvbench_missing_videos_are_where_they_should_be(tmp_path: Path) -> None:
    write(tmp_path / "json/action_antonym.json", [mvbench_entry(video="166583.webm")])
    assert only(load(tmp_path)).video == tmp_path / "video/ssv2_video/166583.webm"


def test_mvbench_only_tasks_with_bounds_have_bounds(tmp_path: Path) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    item = only(load(tmp_path))
    assert (item.start_sec, item.end_sec) == (None, None)


def test_mvbench_cut_copies_have_no_bounds(tmp_path: Path) -> None:
    write(tmp_path / "json/action_localization.json", [mvbench_entry()])
    video = write(tmp_path / "sta/sta_video_segment/ZS9XR.mp4", b"")
    item = only(load(tmp_path))
    assert (item.video, item.start_sec, item.end_sec) == (video, None, None)


def test_mvbench_clips_in_another_container(tmp_path: Path) -> None:
    write(tmp_path / "json/action_antonym.json", [mvbench_entry(video="166583.mp4")])
    video = write(tmp_path / "video/ssv2_video/166583.webm", b"")
    assert only(load(tmp_path)).video == video


def test_mvbench_folders_of_frames_are_told_by_the_tasks_name(tmp_path: Path) -> None:
    entries = [mvbench_entry(video=f"castle_s07e24_seg02_clip_{n}") for n in (18, 19, 20)]
    write(tmp_path / "json/episodic_reasoning.json", entries)
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    write(tmp_path / "video/tvqa/frames_fps3_hq/castle_s07e24_seg02_clip_18/00001.jpg", b"")
    made = write(tmp_path / "video/tvqa/frames_fps3_hq/castle_s07e24_seg02_clip_20.mp4", b"")
    dataset = load(tmp_path)
    assert [item.id for item in dataset.items] == ["action_count-1", "episodic_reasoning-3"]
    assert (dataset.items[1].video, dataset.items[1].start_sec) == (made, 11.1)
    (problem,) = dataset.problems
    assert problem.place == "json/episodic_reasoning.json"
    assert "2 questions" in problem.error and "'episodic_reasoning'" in problem.error


def test_mvbench_a_corrected_file_replaces_the_first(tmp_path: Path) -> None:
    write(tmp_path / "json/object_existence.json", [mvbench_entry(), mvbench_entry()])
    write(tmp_path / "json/object_existence_20250131.json", [mvbench_entry(answer="Ate the medicine.")])
    item = only(load(tmp_path))
    assert (item.id, item.answer) == ("object_existence-1", "A")


def test_mvbench_ids_stay_when_an_entry_is_broken(tmp_path: Path) -> None:
    entries = [mvbench_entry(answer="Slept."), "text", mvbench_entry(start=9, end=9), mvbench_entry()]
    write(tmp_path / "json/action_sequence.json", entries)
    write(tmp_path / "json/action_squence.json", [])
    write(tmp_path / "json/state_change.json", '[{"video": "a.mp4",')
    dataset = load(tmp_path)
    assert [item.id for item in dataset.items] == ["action_sequence-4"]
    assert {problem.place for problem in dataset.problems} == {
        "json/action_sequence.json, entry 1",
        "json/action_sequence.json, entry 2",
        "json/action_sequence.json, entry 3",
        "json/action_squence.json",
        "json/state_change.json",
    }


def test_mvbench_one_task_by_its_file(tmp_path: Path) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    file = write(tmp_path / "json/moving_count.json", [mvbench_entry()])
    video = write(tmp_path / "video/clevrer/video_validation/ZS9XR.mp4", b"")
    item = only(load(file))
    assert (item.group, item.video) == ("moving_count", video)
