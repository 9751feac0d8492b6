"""Reads qcow2 disk images (versions 2 and 3) without backing files, encryption or external data.

That is all that is needed to take a file system out of one, on machines without qemu-img.
Source of the format: docs/interop/qcow2.txt in QEMU's repository.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from standin.errors import StandinError

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")  # the 72 bytes of version 2
_EXTENSION = struct.Struct(">QQQII")  # version 3: three feature words, refcount order, header length
_INCOMPATIBLE_DIRTY = 1  # only says that reference counts may be stale: no matter to a reader
_SECTOR = 512
_OFFSET = 0x00FF_FFFF_FFFF_FE00  # bits 9-55: a host offset
_COMPRESSED = 1 << 62
_ZEROS = 1
_MAX_SIZE = 1 << 40  # bytes; a root file system is far smaller
_MIN_BITS, _MAX_BITS = 9, 21  # cluster sizes that QEMU itself accepts


@dataclass(frozen=True, kw_only=True)
class _Geometry:
    size: int
    bits: int  # a cluster has 2**bits bytes
    l1: tuple[int, ...]

    @property
    def cluster(self) -> int:
        return 1 << self.bits

    @property
    def l2_entries(self) -> int:
        return self.cluster // 8


def convert(source: Path, target: Path) -> None:
    """Write the disk inside `source` to `target` as a sparse raw image.

    Raises StandinError if the file is no qcow2 image, is damaged, or uses what this reader does not know.
    """
    with source.open("rb") as disk, target.open("wb") as out:
        try:
            geometry = _geometry(disk)
            out.truncate(geometry.size)
            for offset, content in _clusters(disk, geometry):
                out.seek(offset)
                out.write(content[: geometry.size - offset])
        except (struct.error, zlib.error, EOFError, ValueError) as error:
            raise StandinError(
                f"{source.name} is not a qcow2 image this can read: {error}", hint="download it again"
            ) from error


def _geometry(disk: IO[bytes]) -> _Geometry:
    fields = _HEADER.unpack(_read(disk, 0, _HEADER.size))
    magic, version, backing, _, bits, size, encryption, l1_size, l1_offset = fields[:9]
    if magic != _MAGIC or version not in (2, 3):
        raise ValueError("no qcow2 header")
    if backing or encryption:
        raise ValueError("it has a backing file or is encrypted")
    if size > _MAX_SIZE:
        raise ValueError(f"a disk of {size} bytes")
    if not _MIN_BITS <= bits <= _MAX_BITS:
        raise ValueError(f"clusters of 2^{bits} bytes")
    if version == 3:  # noqa: PLR2004 - the format's own number
        incompatible = _EXTENSION.unpack(_read(disk, _HEADER.size, _EXTENSION.size))[0]
        if incompatible & ~_INCOMPATIBLE_DIRTY:
            raise ValueError(f"unknown incompatible features {incompatible:#x}")
    needed = -(-size // (1 << (2 * bits - 3)))  # one L2 table maps cluster size squared over eight bytes
    if l1_size < needed:
        raise ValueError("its L1 table is too short for its size")
    table = struct.unpack(f">{needed}Q", _read(disk, l1_offset, 8 * needed))
    return _Geometry(size=size, bits=bits, l1=table)


def _clusters(disk: IO[bytes], geometry: _Geometry) -> Iterator[tuple[int, bytes]]:
    """Offset and content of every cluster that is not all zeros by the tables."""
    for number, l1_entry in enumerate(geometry.l1):
        table = l1_entry & _OFFSET
        if not table:
            continue
        entries = struct.unpack(f">{geometry.l2_entries}Q", _read(disk, table, geometry.cluster))
        for index, entry in enumerate(entries):
            offset = (number * geometry.l2_entries + index) << geometry.bits
            if offset < geometry.size and _allocated(entry):
                yield offset, _cluster(disk, geometry, entry)


def _allocated(entry: int) -> bool:
    return bool(entry & _COMPRESSED) or bool(entry & _OFFSET and not entry & _ZEROS)


def _cluster(disk: IO[bytes], geometry: _Geometry, entry: int) -> bytes:
    if not entry & _COMPRESSED:
        return _read(disk, entry & _OFFSET, geometry.cluster)
    # A compressed cluster: host offset in the low bits, then the number of further sectors it reaches into.
    split = 62 - (geometry.bits - 8)
    offset = entry & ((1 << split) - 1)
    sectors = (entry & (_COMPRESSED - 1)) >> split
    wanted = (sectors + 1) * _SECTOR - offset % _SECTOR
    packed = _read(disk, offset, min(wanted, max(1, disk.seek(0, io.SEEK_END) - offset)))
    content = zlib.decompressobj(-12).decompress(packed, geometry.cluster)
    if len(content) != geometry.cluster:
        raise ValueError(f"the compressed cluster at {offset} is too short")
    return content


def _read(disk: IO[bytes], offset: int, length: int) -> bytes:
    # Asked first: a damaged table may name places for which no memory would suffice.
    if offset + length > disk.seek(0, io.SEEK_END):
        raise EOFError(f"it ends before byte {offset + length}")
    disk.seek(offset)
    return disk.read(length)
