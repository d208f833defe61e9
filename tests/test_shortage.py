"""Whose fault an error is: the machine's where it says so in any library's words, else what it was."""

import av
import pytest

from sharpv_cli import shortage
from sharpv_cli.errors import ModelError, ShortageError, VideoError
from sharpv_cli.models.blame import Reading


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(11, "Resource temporarily unavailable"), shortage.THREADS),
        (OSError(24, "Too many open files"), shortage.FILES),
        (OSError(12, "Cannot allocate memory"), shortage.MEMORY),
        (MemoryError(), shortage.MEMORY),
        (RuntimeError("can't start new thread"), shortage.THREADS),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), shortage.MEMORY),
        (RuntimeError("std::bad_alloc"), shortage.MEMORY),
        (ImportError("libtorch.so: failed to map segment from shared object"), shortage.MEMORY),
        (
            ModelError("its tokenizer cannot be used: ThreadPoolBuildError { kind: IOError }"),
            shortage.THREADS,
        ),
        (av.error.BlockingIOError(11, "no threads"), shortage.THREADS),
        (av.error.MemoryError(12, "Cannot allocate memory"), None),
        (VideoError("a.mp4 cannot be read: Cannot allocate memory"), None),
        (OSError(5, "Input/output error"), None),
        (IndexError("list index out of range"), None),
    ],
)
def test_what_there_is_too_little_of(error: Exception, what: str | None) -> None:
    assert shortage.lack(error) == what
    with shortage.Attempt("reading a.mp4") as attempt:
        raise error
    assert isinstance(attempt.error, ShortageError) == (what is not None)


def test_what_led_to_an_error_counts() -> None:
    with pytest.raises(VideoError) as caught:
        raise VideoError("a.mp4 is damaged") from OSError(24, "Too many open files")
    assert shortage.lack(caught.value) == shortage.FILES


def test_ctrl_c_goes_through_an_attempt() -> None:
    with pytest.raises(KeyboardInterrupt), shortage.Attempt("reading"):
        raise KeyboardInterrupt


def test_ffmpegs_want_of_memory_counts_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "has_memory", lambda: False)
    assert shortage.lack(av.error.MemoryError(12, "Cannot allocate memory")) == shortage.MEMORY


@pytest.mark.parametrize("said", ["can't start new thread", "Too many open files (os error 24)"])
def test_a_model_is_not_blamed_for_want_of_a_resource(said: str) -> None:
    with pytest.raises(ShortageError, match="loading it: not enough"), Reading("tokenizer", "it"):
        raise RuntimeError(said)
