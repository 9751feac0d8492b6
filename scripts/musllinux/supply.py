"""Where a run's inputs come from: upstream as the lock pins it, or the stand-in as it says of itself."""

import json
import platform
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musllinux.apkindex import Package, parse
from musllinux.errors import FactoryError
from musllinux.lockfile import Lock
from musllinux.model import Archive, Base, Supply
from musllinux.schema import Matrix

PATIENCE = 10  # seconds the stand-in, on this machine, has to answer


def upstream(matrix: Matrix, lock: Lock) -> Supply:
    """Upstream's hosts (or mirrors of them, from an overlay), with the archives and bases that lock.yaml pins.

    A base whose digest is not locked yet can be rendered, but `build` refuses it.
    Raises FactoryError for an interpreter whose archive is not locked: no image may lack it without a word.
    """
    section = matrix.sources.upstream
    locked = lock.upstream
    unlocked = [tag for tag, python in matrix.interpreters.items() if python.series not in locked.cpython]
    if unlocked:
        raise FactoryError(
            f"lock.yaml has no CPython archive for {', '.join(unlocked)}",
            hint="`musllinux lock` with the same --matrix records it; `<name>: null` in an overlay drops it",
        )
    bases = {
        (release, arch): Base(
            reference=section.base.format(alpine=release) + (f"@{base.digest}" if base.digest else ""),
            release=release,
            version=base.version,
            digest=base.digest,
        )
        for release, base in locked.bases.items()
        for arch in matrix.architectures
    }
    archives = {
        series: Archive(version=a.version, file=a.file, sha256=a.sha256) for series, a in locked.cpython.items()
    }
    return Supply(
        name="upstream",
        publishable=section.publishable,
        mirror=section.mirror,
        python=section.python,
        archives=archives,
        bases=bases,
        lacks={},
        rust=section.rust,
        rust_releases=dict.fromkeys(matrix.architectures, matrix.rust.alpine),
        crates=section.crates or "",
    )


def standin(matrix: Matrix, state_file: Path) -> Supply:
    """The stand-in that runs now, from its state file.

    Raises FactoryError when it is not up, or its state is of another format.
    """
    hint = "`musllinux standin up` starts it"
    try:
        state = json.loads(state_file.read_text())
    except FileNotFoundError as error:
        raise FactoryError("the stand-in is not up", hint=hint) from error
    except ValueError as error:
        raise FactoryError(f"{state_file}: not readable: {error}", hint=hint) from error
    said = state.get("format") if isinstance(state, dict) else None
    if said != 1:
        raise FactoryError(f"{state_file}: format {said!r}, this version reads 1", hint=hint)
    try:
        return _from_state(matrix, state)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FactoryError(f"{state_file}: damaged: {type(error).__name__} {error}", hint=hint) from error


def _from_state(matrix: Matrix, state: Mapping[str, Any]) -> Supply:
    packages = _packages(state)
    return Supply(
        name="standin",
        publishable=matrix.sources.standin.publishable,
        mirror=state["mirror"],
        python=state["python"],
        archives={
            version.rpartition(".")[0]: Archive(version=version, file=a["file"], sha256=a["sha256"])
            for version, a in state["archives"].items()
        },
        bases=_standin_bases(matrix, state),
        lacks={
            (policy, arch): frozenset(state["lacks"].get(f"{policy}/{section.apk}", ()))
            for policy in matrix.policies
            for arch, section in matrix.architectures.items()
        },
        without=frozenset(matrix.sources.standin.without),
        apk_key=state["key"],
        network="host",  # it serves on loopback
        packages=packages,
        machine=_building_machine(matrix),
        rust=matrix.sources.standin.rust,
        rust_releases=_rust_releases(matrix, packages),
    )


def _building_machine(matrix: Matrix) -> str:
    """This machine as apk calls it: what serves on loopback also builds. Kernels name 64-bit machines as wheels do."""
    section = matrix.architectures.get(platform.machine())
    return section.apk if section else ""


def _rust_releases(matrix: Matrix, packages: Mapping[tuple[str, str], tuple[Package, ...]]) -> dict[str, str]:
    """By wheel architecture: the release that has Rust's packages, whichever policy's it is; the builder's for this
    machine."""
    names = {place: {package.name for package in each} for place, each in packages.items()}
    builder, machine = set(matrix.rust.builder), _building_machine(matrix)
    arches = {section.apk: name for name, section in matrix.architectures.items()}
    return {
        arches[apk]: release
        for (release, apk), there in names.items()
        if apk in arches and set(matrix.rust.packages) <= there and builder <= names.get((release, machine), set())
    }


def _standin_bases(matrix: Matrix, state: Mapping[str, Any]) -> dict[tuple[str, str], Base]:
    """Bases by what the matrix calls them: its own release in place of a policy's, trials by release or by musl."""
    found: dict[tuple[str, str], Base] = {}
    for entry in state["bases"]:
        base = Base(
            reference=entry["reference"],  # a tag over all architectures: native stages and the base share it
            release=entry["release"],
            version=entry["version"],
            digest=entry["digest"],
        )
        for arch, section in matrix.architectures.items():
            if section.apk != entry["apk_arch"]:
                continue
            key = entry["musl"] if entry["origin"] == "composed" else entry["release"]
            found.setdefault((key, arch), base)
            if entry["role"] == "build" and entry["policy"] in matrix.policies:
                found[matrix.policies[entry["policy"]].alpine, arch] = base
    return found


def _packages(state: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Package, ...]]:
    """What its repositories serve, from the indexes themselves (places are v3.20/main/x86_64)."""
    found: dict[tuple[str, str], tuple[Package, ...]] = {}
    for place in sorted(state["index"]):
        release, _, arch = place.removeprefix("v").split("/")
        url = f"{state['mirror']}/{place}/APKINDEX.tar.gz"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - the stand-in's own, http
                packages = parse(answer.read())
        except OSError as error:
            raise FactoryError(
                f"the stand-in does not answer: {url}", hint="`musllinux standin up` starts it"
            ) from error
        found[release, arch] = (*found.get((release, arch), ()), *packages)
    return found
