"""Objects between two processes of ours, with the pictures in them sent as they lie in memory."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process says of its work: an item of it, and in the end why there are no more, None if it is done.

    `cpu_sec` is the processor time of all of it, told at the end.
    """

    kind: Literal["item", "end"]
    value: Any
    cpu_sec: float = 0.0


def send(connection: Connection, value: object) -> None:
    """Arrays in `value` are not copied for it: they may be as large as the memory that is left."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    flat = [buffer.raw() for buffer in buffers]
    connection.send((head, [len(view) for view in flat]))
    with _socket_of(connection) as plain:
        for view in flat:
            plain.sendall(view)


def receive(connection: Connection) -> Any:
    """Only ever from a process that we started. Raises EOFError or ConnectionError where it ends in the middle."""
    head, sizes = connection.recv()
    buffers = [bytearray(size) for size in sizes]
    with _socket_of(connection) as plain:
        for buffer in buffers:
            _fill(plain, memoryview(buffer))
    return pickle.loads(head, buffers=buffers)


def _fill(plain: socket.socket, room: memoryview) -> None:
    """The kernel waits for all of it, not we for one piece after the other: a thread that computes makes a reader wait
    for the interpreter each time, which for a hundred pieces took ten times as long as reading the video.
    """
    while room:
        count = plain.recv_into(room, flags=socket.MSG_WAITALL)
        if count == 0:
            raise EOFError
        room = room[count:]


@contextmanager
def _socket_of(connection: Connection) -> Iterator[socket.socket]:
    """What the connection is made of, which stays open."""
    plain = socket.socket(fileno=connection.fileno())
    try:
        yield plain
    finally:
        plain.detach()
