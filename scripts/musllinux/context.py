"""A build's context: the folder BuildKit gets, assembled from the repository and from checked downloads."""

import hashlib
import json
import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from muslabi import database
from musllinux import inputs, toollock
from musllinux.inputs import Report
from musllinux.model import OPT, Image, Interpreter, Tool
from musllinux.run import run

_COMPILED = ("__pycache__",)
# What `pip install ./scripts/muslabi` leaves in the sources. setuptools packs again whatever it finds in build/.
_LEFT_BY_BUILDS = (*_COMPILED, "build", "*.egg-info")


@dataclass(frozen=True, kw_only=True)
class Stock:
    """Where an image's inputs are taken from on this machine, and who is told about downloads."""

    root: Path  # the repository
    cache: Path
    ca_bundle: Path | None
    report: Report
    locks: Path | None = None  # whose lock/ has the tools, where an overlay has locked its own


@dataclass(frozen=True, kw_only=True)
class Context:
    """A context on disk and the hash of everything in it (names, modes, contents)."""

    path: Path
    digest: str


def assemble(image: Image, stock: Stock, place: Path) -> Context:
    """Make the context of an image at `place`, replacing what stands there.

    Raises FactoryError for inputs that cannot be had or are not what is locked.
    """
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _fill(_Layout(fresh), image, stock)
        _set_modes(fresh)
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Context(path=place, digest=tree_digest(place))


@dataclass(frozen=True)
class _Layout:
    """A context that is being made. Files of the cache stand in it as second names, which nothing writes to.

    Most are archives that do not change from one build to the next: hundreds of megabytes would be written each time.
    BuildKit takes a file with another time for another file, which the engine must be sent: so they keep theirs.
    """

    root: Path
    _linked: set[Path] = field(default_factory=set)

    def place(self, files: Iterable[Path], folder: str) -> None:
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            target = self.root / folder / file.name
            # there already: a wheel that two tools need
            if not target.exists() and not self._link(target, file):
                shutil.copy2(file, target)

    def _link(self, target: Path, file: Path) -> bool:
        """False where a link cannot be, or there is one: BuildKit treats two names of a file in one context apart."""
        if file in self._linked:
            return False
        try:
            target.hardlink_to(file)
        except OSError:  # the cache is on another disk, or somebody else's
            return False
        self._linked.add(file)
        return True


def _fill(layout: _Layout, image: Image, stock: Stock) -> None:
    fresh = layout.root
    shutil.copytree(stock.root / "images/files", fresh, ignore=shutil.ignore_patterns(*_COMPILED))
    (fresh / "floor").mkdir()
    (fresh / "floor/symbols").write_text(floor_symbols(image))
    for series in image.series:
        archive = image.archive(series)
        layout.place(
            [inputs.cpython_archive(stock.cache, image.supply, archive, stock.report, stock.ca_bundle)], "archives"
        )
    _place_installer(image, stock, fresh / "installer")
    for python in image.interpreters:
        _place_tools(layout, f"tools/{python.tag}", [_interpreter_spec(image, python, stock)])
    isolated = [_isolated_spec(image, tool, stock) for tool in image.tools]
    _place_tools(layout, "tools/isolated", isolated)


def _set_modes(root: Path) -> None:
    """0755 and 0644, as git has them: COPY keeps modes, and the umask of whoever cloned must not reach an image.

    A file that has its mode is left alone: it may be a second name of the cache's.
    """
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            there = stat.S_IMODE(path.stat().st_mode)
            mode = 0o755 if path.is_dir() or there & 0o100 else 0o644
            if there != mode:
                path.chmod(mode)


def floor_symbols(image: Image) -> str:
    """What the policy's oldest musl exports on this architecture, one name a line, sorted."""
    names = database.load().exports(image.arch.name, image.policy.floor)
    return "".join(f"{name}\n" for name in sorted(names))


def secrets(image: Image, proxies: Mapping[str, str]) -> str:
    """The `sources` secret: assignments that images/files/build/sources.sh reads.

    Proxies are there twice where a password needs more than a URL: as the user wrote them, for most programs (cargo),
    and, as `APK_<NAME>`, as every version of apk understands them.
    """
    mirror = _plain(image.supply.mirror)

    def plain(repositories: Iterable[str]) -> str:
        return " ".join(url.replace(image.supply.mirror, mirror.url, 1) for url in repositories)

    values = {
        "APK_REPOSITORIES": plain(image.repositories),
        "RUST_REPOSITORIES": plain(image.rust_repositories),
        "CRATES_INDEX": image.supply.crates,
        "APK_KEY_NAME": Path(image.supply.apk_key).name,
        "HTTP_AUTH": mirror.auth,
        **proxies,
        **_apks_proxies(proxies),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _apks_proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    """Proxies that apk understands and the password it is given apart; empty where it understands the user's own."""
    through = {name: _plain(value) for name, value in sorted(proxies.items(), key=_https_first)}
    auth = next((proxy.auth for proxy in through.values() if proxy.auth), "")
    if not auth:
        return {}
    # lower-case spellings last: they go first
    plain = {f"APK_{name.upper()}": proxy.url for name, proxy in reversed(through.items())}
    return {**plain, "APK_PROXY_AUTH": auth}


@dataclass(frozen=True, kw_only=True)
class _Plain:
    """A URL that every apk understands, and the user and password that were taken out of it (fetch(3)'s HTTP_AUTH)."""

    url: str
    auth: str = ""


def _plain(url: str) -> _Plain:
    """apk 2.10 (Alpine 3.12) does not decode the user and password of a URL: escaped ones are given apart from it."""
    try:
        # a proxy may be written without http:// (curl and apk understand that)
        known, at, host = urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")
    except ValueError:  # no URL: whoever reads it says so
        return _Plain(url=url)
    if not at or "%" not in known:
        return _Plain(url=url)
    return _Plain(url=url.replace(f"{known}@{host}", host, 1), auth=f"basic:*:{unquote(known)}")


def _https_first(item: tuple[str, str]) -> tuple[bool, bool, str]:
    """The proxy for https is the one whose password counts; lower-case spellings before upper-case ones."""
    name = item[0]
    return not name.lower().startswith("https"), name.isupper(), name


def tree_digest(root: Path, ignored: tuple[str, ...] = _COMPILED) -> str:
    """SHA-256 over every file's path, executable bit and content, every link's target; not over times and owners.

    Files and folders whose name matches a pattern of `ignored` do not count.
    """
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if any(fnmatchcase(part, pattern) for part in path.relative_to(root).parts for pattern in ignored):
            continue
        if path.is_symlink():
            kind, content = b"l", hashlib.sha256(os.fsencode(path.readlink()))
        elif path.is_file():
            kind = b"x" if path.stat().st_mode & 0o100 else b"-"
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
        else:
            continue
        total.update(os.fsencode(path.relative_to(root)) + b"\0" + kind + b"\0" + content.digest())
    return total.hexdigest()


def _place_tools(layout: _Layout, folder: str, specs: list[tuple[dict[str, Any], list[Path]]]) -> None:
    for _, wheels in specs:
        layout.place(wheels, f"{folder}/wheels")
    (layout.root / folder / "spec.json").write_text(json.dumps([spec for spec, _ in specs], indent=1))


def _wheels(lock: str, image: Image, interpreter: Interpreter, stock: Stock) -> list[Path]:
    wanted = toollock.select(stock.locks or stock.root, lock, image, interpreter)
    return inputs.wheels(stock.cache, image, interpreter, wanted, stock.report)


def _place_installer(image: Image, stock: Stock, folder: Path) -> None:
    """PyPA's installer, unpacked: the build Python imports it from the context."""
    host = image.tool_host
    for wheel in _wheels(toollock.INSTALLER, image, host, stock):
        shutil.unpack_archive(wheel, folder, "zip")


def _interpreter_spec(image: Image, python: Interpreter, stock: Stock) -> tuple[dict[str, Any], list[Path]]:
    wheels = _wheels("interpreter", image, python, stock)
    spec = {
        "prefix": python.prefix,
        "python": f"{python.prefix}/bin/{python.executable}",
        "library": python.executable,
        "wheels": [w.name for w in wheels],
        "requested": list(image.interpreter_tools),
        "commands": [],
        "venv": None,
    }
    return spec, wheels


def _isolated_spec(image: Image, tool: Tool, stock: Stock) -> tuple[dict[str, Any], list[Path]]:
    host = image.tool_host
    wheels = _wheels(tool.lock, image, host, stock) if tool.lock else []
    if tool.project:
        wheels.append(project_wheel(stock.root / "scripts" / tool.project, stock.cache))
    prefix = f"{OPT}/tools/{tool.name}"
    spec = {
        "prefix": prefix,
        "python": f"{prefix}/bin/python",
        "library": host.executable,
        "wheels": [w.name for w in wheels],
        "requested": [tool.name],
        "commands": list(tool.commands),
        "venv": {"executable": f"{host.prefix}/bin/{host.executable}", "version": host.version},
    }
    return spec, wheels


def project_wheel(source: Path, cache: Path) -> Path:
    """A wheel of one of this repository's own packages, made once for each state of its sources.

    Raises FactoryError where pip cannot make it or the cache cannot be written.
    """
    digest = tree_digest(source, _LEFT_BY_BUILDS)
    folder = cache / "projects" / digest
    found = list(folder.glob("*.whl"))
    if found:
        return found[0]
    with inputs.scratch(cache, "project-") as work:
        copy = work / source.name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*_LEFT_BY_BUILDS))
        argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        run([*argv, f"--wheel-dir={work}/out", str(copy)], env={"SOURCE_DATE_EPOCH": "315532800"})
        made = next((work / "out").glob("*.whl"))
        folder.mkdir(parents=True, exist_ok=True)
        return made.replace(folder / made.name)
