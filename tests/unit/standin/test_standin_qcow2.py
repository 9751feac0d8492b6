"""The qcow2 reader against a small writer of its own, and against damage."""

import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standin.errors import StandinError
from standin.qcow2 import convert

BITS = 9
CLUSTER = 1 << BITS
L2_ENTRIES = CLUSTER // 8


def qcow2(clusters: list[tuple[str, bytes]], tail: int = 0, version: int = 3) -> bytes:
    """An image of the clusters ("raw", "packed", "zero" or "hole", content); `tail` bytes of the last one count."""
    size = len(clusters) * CLUSTER - (CLUSTER - tail if tail and clusters else 0)
    tables = -(-len(clusters) // L2_ENTRIES)
    header_length = 104 if version == 3 else 72
    l1_offset = CLUSTER
    l1_length = max(CLUSTER, -(-tables * 8 // CLUSTER) * CLUSTER)
    l2_offset = l1_offset + l1_length
    body = bytearray()
    body_offset = l2_offset + tables * CLUSTER
    entries = []
    for kind, content in clusters:
        place = body_offset + len(body)
        if kind == "hole":
            entries.append(0)
        elif kind == "zero":
            entries.append(1)
        elif kind == "raw":
            body += b"\0" * (-place % CLUSTER)
            entries.append((body_offset + len(body)) | 1 << 63)
            body += content
        else:
            packer = zlib.compressobj(wbits=-12)
            packed = packer.compress(content) + packer.flush()
            sectors = (place + len(packed) - 1) // 512 - place // 512
            entries.append(1 << 62 | sectors << (62 - (BITS - 8)) | place)
            body += packed
    body += b"\0" * (-len(body) % CLUSTER)
    entries += [0] * (tables * L2_ENTRIES - len(entries))
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, BITS, size, 0, tables, l1_offset, 0, 0, 0, 0)
    if version == 3:
        header += struct.pack(">QQQII", 0, 0, 0, 4, header_length)
    l1 = struct.pack(f">{tables}Q", *[(l2_offset + i * CLUSTER) | 1 << 63 for i in range(tables)])
    l2 = struct.pack(f">{len(entries)}Q", *entries)
    return header.ljust(CLUSTER, b"\0") + l1.ljust(l1_length, b"\0") + l2 + bytes(body)


def disk_of(content: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "a.qcow2"), Path(folder, "a.raw")
        source.write_bytes(content)
        convert(source, target)
        return target.read_bytes()


CONTENT = st.binary(min_size=1, max_size=CLUSTER).map(lambda seed: (seed * CLUSTER)[:CLUSTER])
CLUSTERS = st.lists(st.tuples(st.sampled_from(["raw", "packed", "zero", "hole"]), CONTENT), max_size=150)


@settings(max_examples=60, deadline=None)
@given(clusters=CLUSTERS, tail=st.integers(0, CLUSTER - 1), version=st.sampled_from([2, 3]))
def test_every_kind_of_cluster_comes_out_as_it_went_in(
    clusters: list[tuple[str, bytes]], tail: int, version: int
) -> None:
    expected = b"".join(content if kind in ("raw", "packed") else b"\0" * CLUSTER for kind, content in clusters)
    if tail and clusters:
        expected = expected[: len(expected) - CLUSTER + tail]
    assert disk_of(qcow2(clusters, tail, version)) == expected


@settings(max_examples=150, deadline=None)
@given(
    clusters=CLUSTERS.filter(len),
    place=st.integers(0, 1 << 20),
    value=st.binary(min_size=1, max_size=8),
    cut=st.integers(0, 1 << 20),
)
def test_a_damaged_image_is_refused_or_read_but_never_a_traceback(
    clusters: list[tuple[str, bytes]], place: int, value: bytes, cut: int
) -> None:
    content = bytearray(qcow2(clusters))
    place %= len(content)
    content[place : place + len(value)] = value
    try:
        disk_of(bytes(content[: max(1, cut % (2 * len(content)))]))
    except StandinError as error:
        assert error.hint


def with_field(offset: int, value: bytes) -> bytes:
    content = bytearray(qcow2([("raw", b"x" * CLUSTER)]))
    content[offset : offset + len(value)] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "ends before"),
        (b"\0" * 512, "no qcow2 header"),
        (with_field(4, struct.pack(">I", 4)), "no qcow2 header"),
        (with_field(8, struct.pack(">Q", 104)), "backing file"),
        (with_field(32, struct.pack(">I", 1)), "encrypted"),
        (with_field(20, struct.pack(">I", 40)), "clusters of"),
        (with_field(24, struct.pack(">Q", 1 << 60)), "a disk of"),
        (with_field(24, struct.pack(">Q", 1 << 30)), "L1 table is too short"),
        (with_field(72, struct.pack(">Q", 1 << 3)), "features 0x8"),
    ],
)
def test_what_the_reader_does_not_know_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(StandinError, match=reason):
        disk_of(content)
