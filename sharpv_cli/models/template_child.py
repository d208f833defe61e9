"""The process that renders chat templates: a JSON object in, a JSON object out, until its parent is gone.

A template is a stranger's program. The sandbox that transformers runs it in keeps it from files and Python, but not
from loops without end or from text without end: those cost this process, and nothing else.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

_STATM = Path("/proc/self/statm")
_FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError),
    *(OSError, RecursionError, TypeError, ValueError, TemplateError),
)


def serve(connection: Connection, cpu_sec: float, memory_bytes: int, characters: int) -> None:
    """Render until the connection is closed."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _STATM.exists():  # where the kernel says what this process has, it may have so much more
        limit = int(_STATM.read_text().split()[0]) * resource.getpagesize() + memory_bytes
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY or limit < most:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send_bytes(b"ready")
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, cpu_sec)  # its signal ends the process, inside of C code as well
        answer = json.dumps(_rendered(request, characters)).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            connection.send_bytes(answer)
        except ConnectionError:
            return


def _rendered(request: Mapping[str, Any], characters: int) -> dict[str, str]:
    try:
        (text,), _ = render_jinja_template(
            conversations=[request["turns"]],
            chat_template=request["template"],
            add_generation_prompt=True,
            **request["names"],
        )
    except _FAILURES as error:
        return {"error": f"it fails: {str(error).strip() or type(error).__name__}"}
    if len(text) > characters:
        return {"error": f"it makes {len(text):,} characters of one question"}
    return {"text": text}


if __name__ == "__main__":
    descriptor, seconds, memory, most = sys.argv[1:]
    serve(Connection(int(descriptor)), float(seconds), int(memory), int(most))
