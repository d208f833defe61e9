"""Objects between two processes of ours, with the pictures in them sent as they lie in memory."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process says of its work: an item of it, and in the end why there are no more, None if it is done."""

    kind: Literal["item", "end"]
    value: Any


def send(connection: Connection, value: object) -> None:
    """Arrays in `value` are not copied for it: they may be as large as the memory that is left."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    flat = [buffer.raw() for buffer in buffers]
    connection.send((head, [len(view) for view in flat]))
    for view in flat:
        if len(view):
            connection.send_bytes(view)


def receive(connection: Connection) -> Any:
    """Only ever from a process that we started. Raises EOFError or ConnectionError where it ends in the middle."""
    head, sizes = connection.recv()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            connection.recv_bytes_into(buffer)
    return pickle.loads(head, buffers=buffers)
