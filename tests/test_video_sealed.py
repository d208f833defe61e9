"""Whatever a file contains or is called, no other file is opened and no address is reached.

The files name a film beside them and a server of ours. The kernel's own record of what the process opens and
connects to (strace) is the judge where there is one; the server and the answers judge everywhere.
"""

import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import clips
import pytest
from waiting import LONG, until

ROOT = Path(__file__).resolve().parent.parent


class Listener:
    """Counts connections; it does not matter what they would have said."""

    def __init__(self):
        self.hits = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.hits += 1
            connection.close()


@pytest.fixture(scope="module")
def listener():
    listener = Listener()
    yield listener
    listener.socket.close()


def lures(folder, port):
    """Names and contents that lead elsewhere, as FFmpeg reads them."""
    web, film = f"http://127.0.0.1:{port}", "secret.mp4"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    media = f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n{media}"
    texts = {
        "hls-relative": hls.format(film),
        "hls-absolute": hls.format(folder / film),
        "hls-file-url": hls.format(f"file://{folder / film}"),
        "hls-http": hls.format(f"{web}/x.ts"),
        "hls-concat": hls.format(f"concat:{film}|{web}/x.ts"),
        "hls-key": hls.format(film).replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{web}/key"\n#EXTINF'),
        "hls-map": hls.format(film).replace("#EXTINF", f'#EXT-X-MAP:URI="{web}/init.mp4"\n#EXTINF'),
        "concat": f"ffconcat version 1.0\nfile {film}\n",
        "concat-web": f"ffconcat version 1.0\nfile {web}/x.mp4\n",
        "concat-option": f"ffconcat version 1.0\nfile {film}\noption protocol_whitelist file,http,tcp\n",
        "pls": f"[playlist]\nFile1={web}/a.mp4\n",
        "sdp": sdp,
        "rtsp-text": f"RTSPtext\nrtsp://127.0.0.1:{port}/a\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{web}/</BaseURL></MPD>',
        "smil": f'<smil><body><video src="{web}/a.mp4"/></body></smil>',
        "asx": f'<asx version="3.0"><entry><ref href="{web}/a.wmv"/></entry></asx>',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{web}/a.png"/></svg>',
        "eps": f"%!PS-Adobe-3.0 EPSF-3.0\n({folder / film}) run\n",
        "imf": f"<CompositionPlaylist><Id>{web}</Id></CompositionPlaylist>",
        "avisynth": f'AviSource("{film}")\n',
        "ref-mov": f"RTSPtextrtsp://127.0.0.1:{port}/",
    }
    for name, text in texts.items():
        for suffix in (".mp4", ".m3u8", ".sdp", ".jpg"):
            (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")
    made = [path.name for path in folder.iterdir() if path.name != film]
    protocols = [
        f"concat:{film}|{film}",
        f"subfile,,start,0,end,0,,:{film}",
        f"cache:{film}",
        f"async:{film}",
        f"crypto:{film}",
        f"file:{film}",
        f"data:text/plain,{film}",
        f"hls+{web}/x.m3u8",
        f"{web}/x.mp4",
        f"http:{film}",
        f"tcp://127.0.0.1:{port}",
        f"udp://127.0.0.1:{port}",
        f"rtmp://127.0.0.1:{port}/a",
        f"rtsp://127.0.0.1:{port}/a",
        f"ftp://127.0.0.1:{port}/a",
        f"gopher://127.0.0.1:{port}/a",
        f"tls://127.0.0.1:{port}",
        f"unix:{film}",
        "pipe:0",
        "fd:0",
        "secret%d.mp4",
        "secre*.mp4",
        f"lavfi:movie={film}",
    ]
    return made + protocols


@pytest.fixture(scope="module")
def seen(tmp_path_factory, listener):
    """What the process said, and what the kernel saw it open and connect to ('' without strace)."""
    folder = tmp_path_factory.mktemp("lures")
    clips.encode(folder / "secret.mp4")
    names = lures(folder, listener.port)
    trace = folder.parent / "trace.txt"
    strace = shutil.which("strace")
    tracer = (
        [strace, "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,connect", "-o", str(trace)]
        if strace
        else []
    )
    done = subprocess.run(
        [*tracer, sys.executable, str(ROOT / "tests" / "helpers" / "sealed_work.py"), str(folder), *names],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    if tracer and "ptrace" in done.stderr:
        pytest.skip("this container does not let strace look on")
    assert done.returncode == 0, done.stderr
    return names, done.stdout, trace.read_text(encoding="utf-8") if tracer else ""


def test_every_lure_is_refused(seen):
    names, said, _ = seen
    assert "answered" not in said
    assert said.count("refused") == 4 * len(names)
    assert len(names) > 100


def test_the_server_is_not_reached(seen, listener):
    assert listener.hits == 0
    with socket.create_connection(("127.0.0.1", listener.port)):  # it does count
        pass
    until(lambda: listener.hits)
    assert listener.hits == 1


def test_the_kernel_saw_no_second_file_and_no_connection(seen):
    trace = seen[2]
    if not trace:
        pytest.skip("no strace here")
    assert re.search(r"open(at)?\(.*hls-relative\.mp4", trace), (
        "the trace does not show the files that were read"
    )
    assert not re.search(r'open(at)?\([^"]*"[^"]*secret\.mp4"', trace)
    assert not re.search(r"connect\(.*sin_port", trace)
