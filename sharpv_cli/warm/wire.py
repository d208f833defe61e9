"""What a command and the resident process say to each other: JSON behind its length, over a Unix socket; no pickle.

The first message carries the command's own stdin, stdout and stderr (and `<(command)`s), so that what it prints never
passes through here.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

PROTOCOL = 1
_LENGTH = struct.Struct("!I")
_MOST_BYTES = 4 << 20  # an argument list and an environment are at most 2 MiB on Linux, escapes included
MOST_DESCRIPTORS = 32
_MORE = 2  # connections, which a process that is forked for a command gets beside its files

Message = dict[str, Any]  # as JSON gives it


class WireError(Exception):
    """The other side is gone, is somebody else, or speaks another language."""


def send(connection: socket.socket, message: Message, descriptors: list[int] | None = None) -> None:
    """Send one message, and with it open files. Raises WireError."""
    content = json.dumps(message).encode("ascii")
    frame = memoryview(_LENGTH.pack(len(content)) + content)
    try:
        if descriptors:
            frame = frame[socket.send_fds(connection, [frame], descriptors) :]
        if frame:  # else the other side may have answered and gone by now
            connection.sendall(frame)
    except (OSError, ValueError) as error:
        raise WireError(str(error)) from error


def receive(connection: socket.socket) -> tuple[Message, list[int]]:
    """The next message, and the files that came with it, which are the caller's to close. Raises WireError."""
    descriptors: list[int] = []
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, MOST_DESCRIPTORS + _MORE)
        (length,) = _LENGTH.unpack(head + _exactly(connection, _LENGTH.size - len(head)))
        message = json.loads(_exactly(connection, length)) if length <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError, WireError) as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise WireError(str(error)) from error
    return message if isinstance(message, dict) else {}, descriptors


def peer_is_us(connection: socket.socket) -> bool:
    """Whether the process at the other end runs as our user, as the kernel says."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return bool(struct.unpack("3i", credentials)[1] == os.geteuid())
        # macOS: LOCAL_PEERCRED (1) of SOL_LOCAL (0) gives a struct xucred: version, user, groups.
        return bool(struct.unpack_from("2I", connection.getsockopt(0, 1, 76))[1] == os.geteuid())
    except OSError:
        return False


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        piece = connection.recv(min(count - len(content), 1 << 16))
        if not piece:
            raise WireError("the connection ended")
        content += piece
    return bytes(content)
