"""Reads wheels without trusting them: nothing is extracted, and no archive makes it use more than the limits.

Wheels are zip files (PEP 427, "binary distribution format"); PyPI takes stored and deflated members only.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType

from muslabi.elf import MAGIC

# End-of-directory records, of zip and of zip64, and where they hold the directory's length in bytes.
_END, _END_LENGTH = b"PK\x05\x06", struct.Struct("<12xI6x")
_END64, _END64_LENGTH = b"PK\x06\x06", struct.Struct("<40xQ")
_IN_ZIP64 = 0xFFFFFFFF  # "the zip64 record says it"
_LONGEST_TAIL = 0xFFFF + 22 + 20 + 56  # comment, both records, the locator between them
_LOCAL_HEADER = 30  # bytes of a local header without name and extra field
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# What zipfile and zlib raise over a damaged archive.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
)


class WheelError(Exception):
    """The file is no wheel that can be read, or one that must not be. The text says why."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may ask for: several times what the largest published wheels need."""

    file_bytes: int = 4 << 30
    directory_bytes: int = 64 << 20
    members: int = 200_000
    member_bytes: int = 2 << 30
    total_bytes: int = 6 << 30  # inflated, over all ELF members
    text_bytes: int = 64 << 20
    ratio: int = 200  # of a member's sizes, once it is larger than `ratio_from`
    ratio_from: int = 32 << 20


DEFAULT_LIMITS = Limits()


def unsafe(name: str) -> bool:
    """Whether unpacking `name` could write outside the folder it is unpacked to."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    return path.is_absolute() or ".." in path.parts or drive or "\0" in name


class Wheel:
    """An opened wheel. Every method raises WheelError for what is damaged or beyond the limits."""

    def __init__(self, path: Path, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._inflated = 0
        try:
            _check_directory(path, limits)
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise WheelError(f"cannot be opened: {error.strerror or error}") from error
        except _DAMAGE as error:
            raise WheelError(f"is no readable zip file: {error}") from error
        try:
            self.members = self._zip.infolist()
            _check_members(self.members, limits)
        except WheelError:
            self._zip.close()
            raise

    def __enter__(self) -> Wheel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def elf_files(self) -> Iterator[tuple[str, bytes]]:
        """(name, contents) of every member that begins as an ELF file. Others are not inflated."""
        for info in self.members:
            if info.is_dir() or info.file_size < len(MAGIC):
                continue
            data = self._read(info, only=MAGIC)
            if data is not None:
                yield info.filename, data

    def text(self, name: str) -> str | None:
        """The member `name` as UTF-8 text, bad bytes replaced; None if there is none."""
        info = self._zip.NameToInfo.get(name)
        if info is None:
            return None
        if info.file_size > self._limits.text_bytes:
            raise WheelError(f"{name} has {info.file_size} bytes, more than {self._limits.text_bytes}")
        data = self._read(info)
        return None if data is None else data.decode("utf-8", "replace")

    def _read(self, info: zipfile.ZipInfo, only: bytes = b"") -> bytes | None:
        """The contents of a member; None if they do not begin with `only`."""
        try:
            with self._zip.open(info) as stream:
                head = stream.read(len(only))
                if head != only:
                    return None
                self._account(info)
                return head + stream.read()
        except OSError as error:
            raise WheelError(f"{info.filename} cannot be read: {error.strerror or error}") from error
        except RuntimeError as error:  # zipfile's word for "encrypted" and for an unknown method
            raise WheelError(f"{info.filename} cannot be read: {error}") from error
        except _DAMAGE as error:
            raise WheelError(f"{info.filename} is damaged: {error}") from error

    def _account(self, info: zipfile.ZipInfo) -> None:
        limits = self._limits
        self._inflated += info.file_size
        if info.file_size > limits.member_bytes or self._inflated > limits.total_bytes:
            raise WheelError(f"{info.filename} makes it more than {limits.total_bytes} bytes to inflate")
        if info.file_size > limits.ratio_from and info.file_size > limits.ratio * info.compress_size:
            raise WheelError(
                f"{info.filename} inflates {info.file_size // max(info.compress_size, 1)}-fold: a zip bomb"
            )


def _check_directory(path: Path, limits: Limits) -> None:
    """Refuses, before zipfile reads it into memory, a directory of members beyond all measure."""
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise WheelError(f"has {size} bytes, more than {limits.file_bytes}")
    with path.open("rb") as stream:
        stream.seek(max(0, size - _LONGEST_TAIL))
        tail = stream.read()
    lengths = [
        length
        for mark, length_field in ((_END, _END_LENGTH), (_END64, _END64_LENGTH))
        for length in _fields(tail, mark, length_field)
        if length != _IN_ZIP64
    ]
    if not lengths:
        raise WheelError("is no zip file: it has no end-of-directory record")
    # More than one only if a comment imitates the record; zipfile's choice among them must not matter.
    longest = max(lengths)
    if longest > limits.directory_bytes:
        raise WheelError(f"has a directory of {longest} bytes, more than {limits.directory_bytes}")


def _fields(tail: bytes, mark: bytes, field: struct.Struct) -> Iterator[int]:
    place = tail.find(mark)
    while 0 <= place <= len(tail) - field.size:
        yield field.unpack_from(tail, place)[0]
        place = tail.find(mark, place + 1)


def _check_members(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Refuses too many, encrypted, overlapping or oddly compressed members: marks of a zip bomb."""
    if len(members) > limits.members:
        raise WheelError(f"has {len(members)} members, more than {limits.members}")
    end = 0
    for info in sorted(members, key=lambda member: member.header_offset):
        if info.flag_bits & _ENCRYPTED:
            raise WheelError(f"{info.filename} is encrypted")
        if info.compress_type not in _METHODS:
            raise WheelError(f"{info.filename} is compressed by method {info.compress_type}, not deflate")
        if info.header_offset < end:
            raise WheelError(f"{info.filename} overlaps another member: a zip bomb")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
