"""A web server on this machine that answers what a test lays down, and keeps what it was asked."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from functools import partial


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hits.append(self.path)
        self.server.asked.append(dict(self.headers))
        status, headers, body = self.server.pages.get(self.path, (404, {}, b"gone"))
        self.send_response(status)
        if isinstance(body, bytes) and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for chunk in [body] if isinstance(body, bytes) else body:
                self.wfile.write(chunk)
        except OSError:
            return

    def log_message(self, *args):
        pass


@contextmanager
def serving(pages, host="127.0.0.1"):
    """A server and its address. `pages` gives status, headers and body by path, or by address for a proxy."""
    server = http.server.ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    server.pages, server.hits, server.asked = pages, [], []
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
    thread.start()
    try:
        yield server, f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
