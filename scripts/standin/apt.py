"""Debian's packages for any suite and architecture, through apt itself against private state folders.

apt checks what it downloads against the suite's signed index. Nothing on the machine changes: no foreign
architecture is added, no system list is touched. The mirror and all of apt's transport settings (proxies,
certificates, credentials) are the machine's own.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, cmp_to_key
from pathlib import Path

from standin.cache import Cache, digest_of, sha256_file, write_atomically
from standin.errors import StandinError
from standin.process import run

MIRROR_ENVIRONMENT = "MUSLLINUX_DEBIAN_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # Debian's package debian-archive-keyring
_HELPER = "/usr/lib/apt/apt-helper"  # downloads with apt's own settings
_NOT_FOUND = "404  Not Found"  # apt's words for HTTP's answer
_LAYOUT = 1  # bump when what lies under a product's folder changes
_UPSTREAM_TARBALL = re.compile(r"\.orig(-[\w-]+)?\.tar\.\w+$")  # dpkg-source(1): .orig.tar.xz, .orig-component.tar.xz


class GoneError(StandinError):
    """The mirror's index names a version that its pool has no longer (or not yet)."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a suite's index says about one binary package, or upstream's part of a source package.

    Sums are SHA-256 by file name.
    """

    package: str
    version: str
    files: Mapping[str, str]

    @property
    def identity(self) -> str:
        """A sum over everything that makes the files what they are."""
        return digest_of([_LAYOUT, self.package, self.version, dict(self.files)])


class Apt:
    """Binary and source packages as cached, unpacked products."""

    def __init__(
        self, cache: Cache, report: Callable[[str], None], *, refresh: bool = False, mirror: str | None = None
    ) -> None:
        self._cache = cache
        self._report = report
        self._refresh = refresh
        self._mirror = mirror or os.environ.get(MIRROR_ENVIRONMENT)
        self._fresh: set[tuple[str, str]] = set()
        self._records: dict[tuple[str, str, str, str], Record] = {}

    def debs(self, suite: str, arch: str, packages: Sequence[str]) -> list[tuple[Record, Path]]:
        """The unpacked trees of binary packages, in the order asked for."""
        records = self.binaries(suite, arch, packages)
        missing = [record for record in records if self._cache.find(_key("deb", arch, record)) is None]
        if missing:
            self._download(suite, arch, missing)
        return [(record, self._cache.product(_key("deb", arch, record), _never(record)) / "tree") for record in records]

    def source(self, suite: str, package: str) -> tuple[Record, list[Path]]:
        """Upstream's tarballs in a source package, sorted by name.

        Debian's own part (.dsc, .debian.tar.*) is not fetched: nothing here is built with it, and a mirror that lags
        behind a new revision still has upstream's, which stays the same.
        """
        record = self.sources(suite, package)

        def build(folder: Path) -> None:
            self._report(f"downloading source {package} {record.version} ({suite})")
            wanted = f"{package}={record.version}"
            self._run(
                "apt-get",
                suite,
                self.native,
                ["source", "--download-only", "--tar-only", "--only-source", wanted],
                cwd=folder,
            )
            _verify(folder, record.files)

        folder = self._cache.product(_key("source", "", record), build)
        return record, sorted(folder / name for name in record.files)

    def pool(self, path: str, sha256: str) -> Path:
        """A file of the mirror's pool that no index names any more, by its path below pool/ and its sum.

        Raises GoneError where the mirror does not keep it, StandinError if it is another file.
        """
        name = path.rpartition("/")[2]

        def build(folder: Path) -> None:
            self._report(f"downloading {name} from Debian's pool")
            url = f"{self.mirror.rstrip('/')}/pool/{path}"
            try:
                run([_HELPER, "download-file", url, folder / name])
            except StandinError as error:
                raise GoneError(f"the mirror's pool does not have {name}", hint="name another mirror") from error
            _verify(folder, {name: sha256}, "the pinned file: do not use it before you know why")

        return self._cache.product(f"pool-{digest_of([_LAYOUT, path, sha256])[:32]}", build) / name

    def binaries(self, suite: str, arch: str, packages: Sequence[str]) -> list[Record]:
        """The index's records of binary packages. Raises StandinError for one that the suite lacks."""
        unknown = [name for name in packages if (suite, arch, "", name) not in self._records]
        if unknown:
            for record in self._show(suite, arch, unknown):
                self._records[suite, arch, "", record.package] = record
        for name in packages:
            if (suite, arch, "", name) not in self._records:
                raise StandinError(
                    f"Debian {suite} has no package {name} for {arch}",
                    hint="mend the recipe; `up --refresh` reads the mirror's index again",
                )
        return [self._records[suite, arch, "", name] for name in packages]

    def sources(self, suite: str, package: str) -> Record:
        """The index's record of a source package, the newest if there are several."""
        key = (suite, self.native, "source", package)
        if key not in self._records:
            text = self._run("apt-cache", suite, self.native, ["showsrc", "--only-source", package])
            stanzas = [stanza for stanza in _stanzas(text) if stanza.get("Package") == package]
            if not stanzas:
                raise StandinError(f"Debian {suite} has no source package {package}", hint="mend the recipe")
            self._records[key] = _source_record(max(stanzas, key=cmp_to_key(_by_version)))
        return self._records[key]

    def _show(self, suite: str, arch: str, packages: Sequence[str]) -> Iterable[Record]:
        try:
            text = self._run("apt-cache", suite, arch, ["show", "--no-all-versions", *packages])
        except StandinError as error:
            if "No packages found" not in error.message:
                raise
            return
        for stanza in _stanzas(text):
            files = {Path(stanza["Filename"]).name: stanza["SHA256"]}
            yield Record(package=stanza["Package"], version=stanza["Version"], files=files)

    def _download(self, suite: str, arch: str, records: Sequence[Record]) -> None:
        names = ", ".join(record.package for record in records)
        self._report(f"downloading {len(records)} package(s) of Debian {suite}/{arch}: {names}")
        with self._cache.scratch(f"download-{suite}-{arch}") as folder:
            wanted = [f"{record.package}={record.version}" for record in records]
            self._run("apt-get", suite, arch, ["download", *wanted], cwd=folder)
            for record in records:
                name, expected = next(iter(record.files.items()))
                deb = next((path for path in folder.iterdir() if sha256_file(path) == expected), None)
                if deb is None:
                    raise StandinError(f"the mirror's {name} is not what its index says", hint="try again later")
                self._cache.product(_key("deb", arch, record), _unpacker(deb))

    def _run(self, tool: str, suite: str, arch: str, arguments: list[str], cwd: Path | None = None) -> str:
        state = self._state(suite, arch)
        self._update(suite, arch, state)
        try:
            return _apt(tool, state, arguments, cwd)
        except StandinError as error:
            if _NOT_FOUND in error.message:
                missing = re.findall(rf"Failed to fetch \S+/(\S+)\s+{_NOT_FOUND}", error.message)
                raise GoneError(
                    f"the mirror names {', '.join(missing)} in its index of {suite}, but does not have it",
                    hint="`up --refresh` reads the index again; a mirror that lags may need a day, "
                    f"or name another one (a snapshot, say) in {MIRROR_ENVIRONMENT}",
                ) from error
            raise

    def _state(self, suite: str, arch: str) -> Path:
        state = self._cache.root / "apt" / f"{suite}-{arch}"
        for name in ("lists/partial", "cache/archives/partial", "empty"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        return state

    def _update(self, suite: str, arch: str, state: Path) -> None:
        if (suite, arch) in self._fresh:
            return
        stamp = state / "updated"
        with self._cache.lock(f"apt-{suite}-{arch}"):
            _configure(state, self.mirror, suite, arch)
            if self._refresh or not stamp.exists() or stamp.read_text() != self.mirror:
                self._report(f"reading the index of Debian {suite}/{arch}")
                try:
                    # Without this option apt-get update ends with 0 although nothing could be fetched.
                    _apt("apt-get", state, ["update", "-qq", "-o", "APT::Update::Error-Mode=any"], None)
                except StandinError as error:
                    raise StandinError(
                        f"Debian's index of {suite}/{arch} cannot be read: {error.message}",
                        hint=f"check the network and the mirror, or name another one in {MIRROR_ENVIRONMENT}",
                    ) from error
                write_atomically(stamp, self.mirror.encode())
            self._fresh.add((suite, arch))

    @cached_property
    def native(self) -> str:
        """This machine's architecture as Debian calls it."""
        return run(["dpkg", "--print-architecture"]).strip()

    @cached_property
    def mirror(self) -> str:
        """The Debian archive's base URL as this machine's apt is configured."""
        if self._mirror:
            return self._mirror
        if shutil.which("apt-get") is None:
            raise StandinError(
                "there is no apt on this machine: the stand-in is made of Debian's packages",
                hint="run it on Debian or a derivative (a container will do)",
            )
        text = run(["apt-get", "indextargets", "--format", "$(CREATED_BY)|$(LABEL)|$(REPO_URI)"])
        lines = [line.split("|") for line in text.splitlines()]
        archives = [uri for kind, label, uri in lines if kind == "Packages" and label == "Debian"]
        # Before the first `apt-get update` no label is known: the path tells it from the security archive.
        archives += [uri for kind, label, uri in lines if kind == "Packages" and uri.rstrip("/").endswith("/debian")]
        if not archives:
            raise StandinError(
                "this machine's apt names no Debian mirror",
                hint=f"name one in {MIRROR_ENVIRONMENT}, as it would stand in sources.list",
            )
        return archives[0]


def _configure(state: Path, mirror: str, suite: str, arch: str) -> None:
    if not KEYRING.exists():
        raise StandinError(f"{KEYRING} is missing", hint="install the package debian-archive-keyring")
    lines = [f"{kind} [signed-by={KEYRING}] {mirror} {suite} main\n" for kind in ("deb", "deb-src")]
    write_atomically(state / "sources.list", "".join(lines).encode())
    settings = {
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::main": state / "no-such-file",
        "Dir::Etc::parts": state / "empty",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": state / "empty",
        "Dir::Etc::preferences": state / "no-such-file",
        "Dir::Etc::preferencesparts": state / "empty",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    text = "".join(f'{key} "{value}";\n' for key, value in settings.items())
    # The machine's own transport settings and nothing else: its hooks must not run for our private lists.
    lines = run(["apt-config", "dump", "Acquire"]).splitlines(keepends=True)
    transport = "".join(line for line in lines if not line.startswith("Acquire::IndexTargets"))
    write_atomically(state / "apt.conf", (transport + text).encode(), mode=0o600)


def _apt(tool: str, state: Path, arguments: list[str], cwd: Path | None) -> str:
    # APT_CONFIG is read first and says where everything else would be read from: nowhere.
    environment = {"APT_CONFIG": str(state / "apt.conf"), "LC_ALL": "C.UTF-8"}
    return run([tool, "-q", *arguments] if tool == "apt-get" else [tool, *arguments], cwd=cwd, env=environment)


def _key(kind: str, arch: str, record: Record) -> str:
    return f"{kind}-{digest_of([arch, record.identity])[:40]}"


def _unpacker(deb: Path) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        run(["dpkg-deb", "-x", deb, folder / "tree"])

    return build


def _never(record: Record) -> Callable[[Path], None]:
    def build(_: Path) -> None:
        raise StandinError(f"{record.package} vanished from the cache while it was used", hint="run it again")

    return build


def _verify(folder: Path, files: Mapping[str, str], what: str = "what its index says") -> None:
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise StandinError(f"the mirror's {name} is not {what}", hint="try again later, or name another mirror")


def _stanzas(text: str) -> list[dict[str, str]]:
    """The fields of each stanza of a Debian control file; continuation lines keep their line breaks."""
    stanzas: list[dict[str, str]] = []
    current: dict[str, str] = {}
    field = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if current:
                stanzas.append(current)
            current = {}
        elif line[0] in " \t":
            current[field] = f"{current.get(field, '')}\n{line.strip()}"
        else:
            field, _, value = line.partition(":")
            current[field] = value.strip()
    return stanzas


def _by_version(left: Mapping[str, str], right: Mapping[str, str]) -> int:
    """Debian's own ordering of versions, asked of dpkg."""
    if left["Version"] == right["Version"]:
        return 0
    try:
        run(["dpkg", "--compare-versions", left["Version"], "lt", right["Version"]])
    except StandinError:
        return 1
    return -1


def _source_record(stanza: Mapping[str, str]) -> Record:
    lines = [line.split() for line in stanza["Checksums-Sha256"].splitlines() if line.strip()]
    files = {name: sha256 for sha256, _, name in lines if _UPSTREAM_TARBALL.search(name)}
    return Record(package=stanza["Package"], version=stanza["Version"], files=files)
