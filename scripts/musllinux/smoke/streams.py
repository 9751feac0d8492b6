"""Talk to a process in a container through the engine's hijacked connection: input, both outputs, a deadline.

docker-py's own readers wait without a limit and read past what its HTTP client has already buffered, which loses the
first output of a fast process on a busy machine. Frame format: Docker Engine API, "ContainerAttach", stream format.
"""

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

OUT, ERR = 1, 2
_HEADER = struct.Struct(">BxxxL")
_CHUNK = 65536


class Readable(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class TooLate(Exception):  # noqa: N818 - the caller turns it into a check's outcome
    """The process said nothing more and did not end by the deadline."""


@dataclass(frozen=True, kw_only=True)
class Said:
    out: bytes
    err: bytes


def talk(connection: Any, stdin: bytes, seconds: float) -> Said:
    """Feed `stdin`, close it, and read both outputs to their end. `connection` is docker-py's answer to socket=True.

    Raises TooLate after `seconds`.
    """
    raw: socket.socket = getattr(connection, "_sock", connection)
    # the HTTP client's buffered reader: what it has read ahead of the headers is only there
    reader: Readable = connection._response.raw._fp.fp
    deadline = time.monotonic() + seconds
    writer = threading.Thread(target=_feed, args=(raw, stdin), daemon=True)
    writer.start()
    try:
        return _collect(raw, reader, deadline)
    finally:
        with suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)
        writer.join(timeout=5)
        connection._response.close()


def _feed(raw: socket.socket, stdin: bytes) -> None:
    with suppress(OSError):  # a process may end without reading its input
        raw.sendall(stdin)
        raw.shutdown(socket.SHUT_WR)


def _collect(raw: socket.socket, reader: Readable, deadline: float) -> Said:
    demux = Demux()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooLate
        raw.settimeout(left)
        try:
            data = reader.read1(_CHUNK)
        except TimeoutError as error:
            raise TooLate from error
        if not data:
            return Said(out=bytes(demux.streams[OUT]), err=bytes(demux.streams[ERR]))
        demux.feed(data)


class Demux:
    """Splits the engine's frames (stream number, length, payload) into the two outputs, however they are cut."""

    def __init__(self) -> None:
        self.streams = {OUT: bytearray(), ERR: bytearray()}
        self._pending = bytearray()

    def feed(self, data: bytes) -> None:
        self._pending += data
        while len(self._pending) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(self._pending)
            end = _HEADER.size + length
            if len(self._pending) < end:
                return
            self.streams.get(stream, bytearray()).extend(self._pending[_HEADER.size : end])
            del self._pending[:end]
