"""A hub on localhost, as far as huggingface_hub asks it: one repository, served from a folder.

As a context manager it gives the environment of a process that talks to it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "owner/name"


@dataclass
class FakeHub:
    """`refusal` answers everything with (status, X-Error-Code); `gated_files` only the files.

    `holds` names a file that is sent by half only, until `release` is set. `requests` are "METHOD path".
    """

    folder: Path
    cache: Path
    refusal: tuple[int, str] | None = None
    gated_files: bool = False
    holds: str | None = None
    said_size: int | None = None
    release: threading.Event = field(default_factory=threading.Event)
    halfway: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        port = self._server.server_address[1]
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(self.cache),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "no_proxy": "*",
        }

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def downloads(self) -> list[str]:
        """The files that were asked for, with repeats."""
        mark = "/resolve/"
        return [line.rpartition("/")[2] for line in self.requests if line.startswith("GET ") and mark in line]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.refusal is not None:
            return self._refuse(*self.hub.refusal)
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            return self._json([self._entry(file) for file in self.hub.files()])
        if path.startswith(f"/api/models/{REPOSITORY}"):
            return self._info(path)
        if path.startswith(f"/{REPOSITORY}/resolve/"):
            return self._file(self.hub.folder / path.split("/", 5)[5])
        return self._refuse(404, "RepoNotFound")

    def _info(self, path: str) -> None:
        if path.partition("/revision/")[2] not in ("", "main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        siblings = [
            {"rfilename": self._name(file), "size": self.hub.said_size or file.stat().st_size}
            for file in self.hub.files()
        ]
        return self._json({"id": REPOSITORY, "modelId": REPOSITORY, "sha": COMMIT, "siblings": siblings})

    def _name(self, file: Path) -> str:
        return file.relative_to(self.hub.folder).as_posix()

    def _entry(self, file: Path) -> dict[str, object]:
        return {"type": "file", "path": self._name(file), "size": file.stat().st_size, "oid": _etag(file)}

    def _file(self, file: Path) -> None:
        if self.hub.gated_files:
            return self._refuse(403, "GatedRepo")
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        content = file.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{_etag(file)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "HEAD":
            return None
        half = len(content) // 2
        self.wfile.write(content[:half])
        if self.hub.holds == file.name:
            self.wfile.flush()
            self.hub.halfway.set()
            self.hub.release.wait()
        self.wfile.write(content[half:])
        return None

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
