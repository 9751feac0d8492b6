import socket
import struct
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musllinux.smoke.streams import ERR, OUT, Demux, TooLate, talk

Ends = tuple[Any, socket.socket]
frames = st.lists(st.tuples(st.sampled_from([OUT, ERR]), st.binary(max_size=300)), max_size=20)


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(data)) + data for stream, data in pieces)


@given(frames, st.data())
def test_both_outputs_come_out_whole_however_the_connection_cuts_them(
    pieces: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = framed(pieces)
    demux = Demux()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        demux.feed(stream[:cut])
        stream = stream[cut:]
    for number in (OUT, ERR):
        assert bytes(demux.streams[number]) == b"".join(d for s, d in pieces if s == number)


@pytest.fixture
def ends() -> Iterator[Ends]:
    """What docker-py hands out, as far as `talk` looks at it, and the engine's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as reader:
        response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=reader)), close=reader.close)
        yield SimpleNamespace(_sock=ours, _response=response), theirs


def echo(end: socket.socket) -> None:
    """Like `cat`: reads to the end of its input, then answers on both outputs."""
    received = b""
    while chunk := end.recv(65536):
        received += chunk
    end.sendall(framed([(OUT, received), (ERR, b"done")]))
    end.close()


def test_input_of_any_size_is_fed_and_closed(ends: Ends) -> None:
    connection, end = ends
    thread = threading.Thread(target=echo, args=(end,))
    thread.start()
    said = talk(connection, b"x" * 3_000_000, seconds=30)
    thread.join()
    assert (len(said.out), said.err) == (3_000_000, b"done")


def test_output_that_came_with_the_http_headers_is_not_lost(ends: Ends) -> None:
    connection, end = ends
    end.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n" + framed([(OUT, b"early")]))
    reader = connection._response.raw._fp.fp
    assert reader.readline() and reader.readline()  # the HTTP client has read on into the stream
    end.close()
    assert talk(connection, b"", seconds=30).out == b"early"


def test_a_process_that_says_nothing_is_given_up_in_time(ends: Ends) -> None:
    connection, _ = ends
    started = time.monotonic()
    with pytest.raises(TooLate):
        talk(connection, b"", seconds=0.2)
    assert time.monotonic() - started < 5


def test_a_process_that_never_stops_talking_is_given_up_too(ends: Ends) -> None:
    connection, end = ends
    over = threading.Event()

    def chatter() -> None:
        while not over.is_set():
            try:
                end.sendall(framed([(OUT, b".")]))
            except OSError:
                return
            time.sleep(0.01)

    thread = threading.Thread(target=chatter)
    thread.start()
    with pytest.raises(TooLate):
        talk(connection, b"", seconds=0.3)
    over.set()
    thread.join()
