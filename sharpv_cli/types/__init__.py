"""The results that cross the borders between packages: frozen, self-checking, units in the names.

Nothing here imports torch, so that reports can be drawn without it. Each module is imported when something of it is: a
process that reads videos knows few of them, and making all classes takes it as long as decoding two small clips.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpv_cli.types.answer import (
        Answer,
        Choice,
        FinishReason,
        FrameRetention,
        LayerReport,
        MemoryStats,
        ModelInfo,
        Reading,
        Timings,
        TokenLogprob,
        TokenScores,
    )
    from sharpv_cli.types.evaluation import EvalFailure, Evaluation, GroupScore, Interval, MethodScore
    from sharpv_cli.types.events import (
        Event,
        Finished,
        Loaded,
        Noted,
        PromptRead,
        QuestionFailed,
        QuestionStarted,
        StageStarted,
        TextPiece,
        Waiting,
    )
    from sharpv_cli.types.form import ANY_TEXT, YES_OR_NO, Form
    from sharpv_cli.types.outlook import MemoryEstimate, MemoryScenario, ModelOutlook, Outlook
    from sharpv_cli.types.profile import (
        ClipProfile,
        Cost,
        DeviceRates,
        EngineAnswer,
        EngineName,
        EngineProfile,
        EngineRun,
        Failure,
        MethodName,
        MethodProfile,
        ProfileEvent,
        RunKind,
        RunStarted,
        SweepFailure,
        SweepPoint,
    )
    from sharpv_cli.types.subtitles import Cue, Subtitles, UsedSubtitles
    from sharpv_cli.types.video import FrameSample, SamplePlan, StreamInfo, VideoInfo

_MODULES = ("video", "subtitles", "form", "answer", "events", "outlook", "evaluation", "profile")


def __getattr__(name: str) -> object:
    for own in () if name.startswith("_") else _MODULES:
        module = import_module(f"{__name__}.{own}")
        if hasattr(module, name):
            return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
