"""The built-in model, loaded once for all commands that tests run in their own process: loading takes longest."""

from functools import cache

import pytest

from sharpv_cli.commands.eval import running
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import resolve


def load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on evaluations in this process share a session."""
    monkeypatch.setattr(running, "open_session", lambda settings: _session())


@cache
def _session() -> Session:
    return open_session(resolve({}, {}).settings)
