"""Signed apk v2 packages and indexes, as apk-tools 2.10, 2.14 and 3.0 read them.

A package is three concatenated gzip members: a signature tar with the one file `.SIGN.RSA.<public key file>`
(RSA with SHA-1 over the compressed control member), a control tar with `.PKGINFO` and the scripts, and the
data tar. The first two have no end-of-archive blocks, so that the three read as one tar. An index is a
signature member plus a tar of DESCRIPTION and APKINDEX. Source: apk-tools' and abuild's own code (abuild-tar,
abuild-sign; apk-package(5)). Everything is deterministic: same tree, metadata and key give the same bytes.
"""

import base64
import hashlib
import io
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from standin.apkdb import link_target
from standin.cache import Cache, write_atomically
from standin.errors import StandinError

VERSION = 1  # bump when the same tree and metadata give other bytes
EPOCH = 1_700_000_000  # every time stamp in a package: packages must not depend on when they were made
_GZIP = zlib.MAX_WBITS | 16
_LEVEL = 6
_KEY_BITS = 2048
# apk never runs the scripts of a package whose installed size is 0.
_LEAST_SIZE = 4096
# apk-tools' src/version.c and abuild's checks.
_VERSION = re.compile(r"\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*(~[0-9a-f]+)?-r\d+", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9][-+._a-zA-Z0-9]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a package says about itself. Lists hold apk's own syntax (`so:libz.so.1`, `musl>=1.2`)."""

    name: str
    version: str
    arch: str
    description: str = ""
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise StandinError(f"{self.name!r} is no apk package name", hint="letters, digits and -+._ only")
        if not _VERSION.fullmatch(self.version):
            raise StandinError(f"{self.name}: {self.version!r} is no apk version", hint="for example 1.2.3-r0")
        words = (*self.depends, *self.provides, *self.replaces, *self.triggers)
        if any(not word or word.split() != [word] for word in words):
            raise StandinError(f"{self.name}: depends, provides, replaces and triggers must hold single words")
        if "\n" in self.description:
            raise StandinError(f"{self.name}: the description must be one line")

    @property
    def file_name(self) -> str:
        """The name under which apk asks the mirror for the package."""
        return f"{self.name}-{self.version}.apk"


class SigningKey:
    """An RSA key pair; apk finds the public half in /etc/apk/keys by its file name."""

    def __init__(self, private: rsa.RSAPrivateKey, public_path: Path) -> None:
        self._private = private
        self.public_path = public_path

    @property
    def name(self) -> str:
        """File name of the public half."""
        return self.public_path.name

    def sign(self, content: bytes) -> bytes:
        """PKCS#1 v1.5 over SHA-1: the only kind that apk-tools 2.10 knows."""
        return self._private.sign(content, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303


def signing_key(cache: Cache) -> SigningKey:
    """The cache's own key, made on first use; a part of its sum in its name tells caches apart."""
    folder = cache.root / "keys"
    with cache.lock("keys"):
        known = sorted(folder.glob("*.rsa"))
        path = known[0] if known else _make_key(folder)
    private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise StandinError(f"{path} is not an RSA key", hint="remove it and run `standin up` again")
    public = path.with_name(f"{path.name}.pub")
    if not public.exists():
        write_atomically(public, _public_pem(private))
    return SigningKey(private, public)


def _make_key(folder: Path) -> Path:
    private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = _public_pem(private)
    path = folder / f"standin@localhost-{hashlib.sha256(public).hexdigest()[:8]}.rsa"
    write_atomically(path, pem, mode=0o600)
    write_atomically(path.with_name(f"{path.name}.pub"), public)
    return path


def _public_pem(private: rsa.RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pack(metadata: Metadata, tree: Path, out: Path, key: SigningKey) -> dict[str, str]:
    """Write the package of `tree` to `out` and return its index entry (APKINDEX's one-letter fields).

    Every file belongs to root; modes and symbolic links are kept, hard links become files of their own.
    Raises StandinError for what a package cannot hold (devices, sockets).
    """
    data = out.with_name(f".{out.name}.data")
    try:
        with data.open("wb") as stream:
            datahash, size = _write_data(tree, stream)
        size = max(size, _LEAST_SIZE)
        control = _control(metadata, size, datahash)
        with out.open("wb") as stream, data.open("rb") as content:
            stream.write(_signature(control, key) + control)
            while chunk := content.read(1 << 20):
                stream.write(chunk)
    finally:
        data.unlink(missing_ok=True)
    checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()  # noqa: S324 - apk's identity of a package
    return _entry(metadata, f"Q1{checksum}", out.stat().st_size, size)


def write_index(entries: Iterable[Mapping[str, str]], out: Path, key: SigningKey, description: str) -> None:
    """Write a signed APKINDEX.tar.gz of the entries that `pack` returned."""
    text = "".join("".join(f"{letter}:{value}\n" for letter, value in entry.items()) + "\n" for entry in entries)
    content = _tar([("DESCRIPTION", description.encode(), 0o644), ("APKINDEX", text.encode(), 0o644)], end=True)
    member = _gzip(content)
    write_atomically(out, _signature(member, key) + member)


def _entry(metadata: Metadata, checksum: str, packed: int, installed: int) -> dict[str, str]:
    fields = {
        "C": checksum,
        "P": metadata.name,
        "V": metadata.version,
        "A": metadata.arch,
        "S": str(packed),
        "I": str(installed),
        "T": metadata.description or metadata.name,
        "L": "various",
        "o": metadata.name,
        "t": str(EPOCH),
        "D": " ".join(metadata.depends),
        "p": " ".join(metadata.provides),
    }
    return {letter: value for letter, value in fields.items() if value}


def _control(metadata: Metadata, size: int, datahash: str) -> bytes:
    lines = [
        "# Generated by the stand-in: not an Alpine package",
        f"pkgname = {metadata.name}",
        f"pkgver = {metadata.version}",
        f"pkgdesc = {metadata.description or metadata.name}",
        f"builddate = {EPOCH}",
        "packager = musllinux stand-in",
        f"size = {size}",
        f"arch = {metadata.arch}",
        f"origin = {metadata.name}",
        "license = various",
        *(f"depend = {word}" for word in metadata.depends),
        *(f"provides = {word}" for word in metadata.provides),
        *(f"replaces = {word}" for word in metadata.replaces),
        *([f"triggers = {' '.join(metadata.triggers)}"] if metadata.triggers else []),
        f"datahash = {datahash}",
    ]
    scripts = [(f".{name}", text.encode(), 0o755) for name, text in sorted(metadata.scripts.items())]
    return _gzip(_tar([(".PKGINFO", ("\n".join(lines) + "\n").encode(), 0o644), *scripts], end=False))


def _signature(member: bytes, key: SigningKey) -> bytes:
    return _gzip(_tar([(f".SIGN.RSA.{key.name}", key.sign(member), 0o644)], end=False))


def _tar(files: Iterable[tuple[str, bytes, int]], *, end: bool) -> bytes:
    buffer = io.BytesIO()
    archive = tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closing ends it
    for name, content, mode in files:
        member = _member(name, mode)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    if end:
        archive.close()
    return buffer.getvalue()


def _gzip(content: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return compressor.compress(content) + compressor.flush()


class _Compressed:
    """A write-only stream that gzips into another one and sums what it writes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._put(self._compressor.compress(content))
        return len(content)

    def finish(self) -> str:
        self._put(self._compressor.flush())
        return self.sha256.hexdigest()

    def _put(self, compressed: bytes) -> None:
        self.sha256.update(compressed)
        self._stream.write(compressed)


def _write_data(tree: Path, stream: IO[bytes]) -> tuple[str, int]:
    """Write the data member; its SHA-256 and the sum of the files' sizes."""
    compressed = _Compressed(stream)
    size = 0
    with tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for path in _walk(tree):
            member = _data_member(path, path.relative_to(tree).as_posix())
            size += member.size
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    return compressed.finish(), size


def _walk(tree: Path) -> Iterator[Path]:
    """Every path below `tree`: a folder before its files, its files before its folders."""
    for folder, names, files in os.walk(tree):
        names.sort()
        here = Path(folder)
        if here != tree:
            yield here
        links = [name for name in names if (here / name).is_symlink()]
        yield from (here / name for name in sorted(files + links))


def _data_member(path: Path, name: str) -> tarfile.TarInfo:
    status = path.lstat()
    member = _member(name, stat.S_IMODE(status.st_mode))
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.mode = 0o777
        member.linkname = link_target(path)
        member.pax_headers = _checksum(hashlib.sha1(os.fsencode(member.linkname)).hexdigest())  # noqa: S324
    elif stat.S_ISREG(status.st_mode):
        member.size = status.st_size
        with path.open("rb") as content:
            member.pax_headers = _checksum(hashlib.file_digest(content, "sha1").hexdigest())
    else:
        raise StandinError(f"{path} is neither a file nor a folder nor a link", hint="a package cannot hold it")
    return member


def _checksum(sha1: str) -> dict[str, str]:
    return {"APK-TOOLS.checksum.SHA1": sha1}  # what apk records for each file and `apk audit` compares


def _member(name: str, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = mode
    member.mtime = EPOCH
    member.uname = member.gname = "root"
    return member
