"""What images cost: against each other, against other ways of compiling, and when nothing or little has changed.

    python tests/bench/bench_images.py [--arch aarch64,armv7l] [--only NAME] [--json FILE] [--sources standin]

Ratios are between numbers of one run on one machine. BuildKit's cache is shared and stays: what is measured is made
anew by a salt, a file that only the measured stages read. Before anything is measured the images are built, so that
downloads, native stages and build Pythons are there.
"""

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from musllinux import build, certificates, console, engine, handover, indexes, record, render, secretfile, sources
from musllinux.alone import alone
from musllinux.buildkit_log import State, Step, parse
from musllinux.complaint import show
from musllinux.emulation import emulated
from musllinux.errors import EXIT_INTERRUPTED, EXIT_OK, FactoryError
from musllinux.model import Image, Selection, resolve
from musllinux.run import interruptible, run
from musllinux.settings import Settings, Source, from_args

WAYS = Path(__file__).parent / "ways"
HOME = "x86_64"  # what the others are compared with
SERIES = "3.11"  # of the CPython that is compiled three ways
FOREIGN = "aarch64"  # where it is cross-compiled, and where it is compiled as the peer does
# Stages that every image shares: whichever is built first would pay for all of them.
WARM = re.compile(r"^(base|native|rust-builder|installer|build-python-.*)$")
_FROM = re.compile(r"^FROM (?:--platform=\S+ )?\S+ AS (?P<name>\S+)$")


@dataclass(frozen=True)
class Bench:
    """One run's tools. `salt` makes stages new that were built by an earlier run."""

    settings: Settings
    images: Mapping[str, Image]  # by architecture
    shop: build.Workshop
    salt: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def make(
        self, image: Image, text: str, *, target: str = "", platform: str = "", salt: str = ""
    ) -> tuple[float, tuple[Step, ...]]:
        """Build a Dockerfile in the image's context; (seconds, steps)."""
        place = self.shop.place(image)
        with alone(place):
            return self._make(image, text, target, platform or image.arch.platform, salt or self.salt)

    def _make(self, image: Image, text: str, target: str, platform: str, salt: str) -> tuple[float, tuple[Step, ...]]:
        place = self.shop.place(image)
        shutil.copytree(WAYS, place / "context/build", dirs_exist_ok=True)
        (place / "context/build/salt").write_text(salt)
        dockerfile = place / "Dockerfile.bench"
        dockerfile.write_text(text)
        proxies = handover.proxies()
        with secretfile.held(handover.secrets(image, proxies, self.shop.ca_bundle)) as secrets:
            argv = self.shop.client.build_argv(
                context=place / "context",
                dockerfile=dockerfile,
                tag=_tag(image.arch.name),
                platform=platform,
                target=target,
                args=image.contents,
                secrets=secrets.paths,
                network=handover.network(image, proxies),
            )
            started = time.monotonic()
            try:
                output = run(argv, env=self.shop.client.env, log=place / "bench.log", pass_fds=secrets.fds).output
            finally:
                seconds = time.monotonic() - started
                dockerfile.unlink(missing_ok=True)
        return seconds, parse(output.splitlines())

    def dockerfile(self, image: Image) -> str:
        return render.dockerfile(image, self.settings.root / "templates")


def _tag(arch: str) -> str:
    return f"musllinux-bench:{arch}"


def salted(text: str, wanted: Callable[[str], bool]) -> str:
    """The Dockerfile with a step of its own at the start of each wanted stage."""
    lines = []
    for line in text.splitlines():
        lines.append(line)
        stage = _FROM.match(line)
        if stage and wanted(stage["name"]):
            lines.append("COPY build/salt /.salt")
    return "\n".join(lines) + "\n"


def done(steps: Iterable[Step], *, command: str = "") -> dict[str, float]:
    """Seconds by stage of what was really made; with `command` of the lines that begin with it."""
    total: dict[str, float] = {}
    for step in steps:
        if step.own and step.state is State.DONE and step.command.startswith(command):
            total[step.stage] = round(total.get(step.stage, 0) + step.seconds, 1)
    return total


def images(bench: Bench) -> dict[str, Any]:
    """Each image with everything made anew but the native packages and the build Pythons."""
    found: dict[str, dict[str, Any]] = {}
    for arch, image in bench.images.items():
        text = salted(bench.dockerfile(image), lambda name: not WARM.match(name))
        seconds, steps = bench.make(image, text)
        scripts = done(steps, command="RUN").get("configured", 0.0)  # its COPY is BuildKit's own
        found[arch] = {
            "seconds": round(seconds, 1),
            "emulated": scripts if emulated(image.arch) else 0.0,
            "stages": done(steps),
        }
    home = found.get(HOME, {}).get("seconds")
    for values in found.values():
        values["ratio"] = round(values["seconds"] / home, 2) if home else None
        values["emulated_share"] = round(values["emulated"] / values["seconds"], 3)
    return found


def ways(bench: Bench) -> dict[str, Any]:
    """One CPython cross-compiled, compiled natively, and compiled by a native compiler in an emulated userland."""
    foreign, home = bench.images[FOREIGN], bench.images[HOME]
    python = next(one for one in foreign.interpreters if one.series == SERIES)
    text = salted(bench.dockerfile(foreign), lambda name: name == python.tag)
    _, steps = bench.make(foreign, text, target=python.tag)
    found: dict[str, Any] = {"cross": {"seconds": done(steps)[python.tag]}}
    plain = {
        "native": (home, home.arch.platform, "FROM native AS plain", "clang"),
        "peer": (foreign, foreign.arch.platform, "FROM base AS plain", "gcc"),
    }
    for name, (image, where, start, compiler) in plain.items():
        stage = "\n".join(
            [
                start,
                "COPY build/sources.sh build/apk-native.sh /b/",
                "RUN --mount=type=secret,id=sources --mount=type=secret,id=apk-key --mount=type=secret,id=ca-bundle \\",
                f"    /b/apk-native.sh {' '.join(sorted({*image.sysroot_packages, 'make', 'tar', 'xz'}))}",
                "COPY build/plain.sh build/salt /b/",
                f"RUN --mount=type=bind,source=archives/{python.archive.file},target=/archive "
                f"/b/plain.sh /archive {compiler}",
            ]
        )
        _, steps = bench.make(image, bench.dockerfile(image) + "\n" + stage + "\n", target="plain", platform=where)
        compiled = next(step for step in steps if "plain.sh /archive" in step.command)
        log = (bench.shop.place(image) / "bench.log").read_text()
        parts = {part: int(seconds) for part, seconds in re.findall(r" part (\w+) (\d+)$", log, re.MULTILINE)}
        found[name] = {"seconds": compiled.seconds, "parts": parts}
    cross = found["cross"]["seconds"]
    found["cross_to_native"] = round(cross / found["native"]["seconds"], 2)
    found["peer_to_cross"] = round(found["peer"]["seconds"] / cross, 2)
    return found


def unchanged(bench: Bench) -> dict[str, Any]:
    """`musllinux build` for all of them again."""
    ids = [image.id for image in bench.images.values()]
    some = next(iter(bench.images.values()))
    argv = [sys.executable, "-m", "musllinux", "build", f"--sources={some.supply.name}", *ids]
    argv += ["--interpreters", ",".join(one.tag for one in some.interpreters)]
    seconds = min(run(argv, cwd=bench.settings.root).seconds for _ in range(2))
    return {"images": len(ids), "seconds": round(seconds, 1)}


def one_changed(bench: Bench) -> dict[str, Any]:
    """An image of which one interpreter's stage is new: which stages are made."""
    image = bench.images[FOREIGN]
    tag = next(one.tag for one in image.interpreters if one.series == SERIES)
    text = salted(bench.dockerfile(image), lambda name: name == tag)
    seconds, steps = bench.make(image, text, salt=f"{bench.salt} one changed")
    made = [stage for stage in done(steps) if stage in {one.tag for one in image.interpreters}]
    return {"changed": tag, "made": sorted(made), "seconds": round(seconds, 1)}


def sizes(bench: Bench) -> dict[str, Any]:
    """Compressed (gzip -6, as `docker push` does it) and plain bytes of each layer."""
    return {arch: _layers(image.tag) for arch, image in bench.images.items()}


def _layers(tag: str) -> dict[str, Any]:
    with closing(engine.connect(timeout=600)) as client, tempfile.TemporaryFile() as file:
        found = client.images.get(tag)
        history = [one["CreatedBy"] for one in reversed(found.history()) if one["Size"]]
        for chunk in found.save():
            file.write(chunk)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
            counted = [_compressed(archive.extractfile(name)) for name in manifest[0]["Layers"]]
    named = [{"layer": _short(by), **sizes} for by, sizes in zip(history, counted, strict=False)]
    return {"compressed": sum(one["compressed"] for one in counted), "layers": named}


def _compressed(stream: Any) -> dict[str, int]:
    packer, plain, compressed = zlib.compressobj(6, wbits=31), 0, 0
    while block := stream.read(1 << 20):
        plain += len(block)
        compressed += len(packer.compress(block))
    return {"plain": plain, "compressed": compressed + len(packer.flush())}


def _short(created_by: str) -> str:
    return " ".join(created_by.split())[:60]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """`arches` and `series` that it cannot be taken without."""

    take: Callable[[Bench], dict[str, Any]]
    arches: frozenset[str] = frozenset()
    series: str = ""

    def missing(self, bench: Bench) -> list[str]:
        has = {one.series for image in bench.images.values() for one in image.interpreters}
        return [*sorted(self.arches - bench.images.keys()), *([self.series] if self.series not in {"", *has} else [])]


MEASURES: dict[str, Measure] = {
    "images": Measure(take=images, arches=frozenset({HOME})),
    "ways": Measure(take=ways, arches=frozenset({HOME, FOREIGN}), series=SERIES),
    "unchanged": Measure(take=unchanged),
    "one_changed": Measure(take=one_changed, arches=frozenset({FOREIGN}), series=SERIES),
    "sizes": Measure(take=sizes),
}


def prepared(args: Namespace) -> Bench:
    """The images built as usual, so that everything that is not measured is there."""
    settings = from_args(args)
    matrix = settings.matrix()
    source = sources.choose(settings, matrix, sources.say)
    supply, selection = sources.ready(settings, matrix, source, sources.say)
    if source is Source.UPSTREAM:
        reader = indexes.Reader(cache=settings.cache, ca=certificates.bundle(), report=sources.say)
        supply = indexes.known(supply, matrix, selection, engine.whereabouts().platform, reader)
    chosen = resolve(matrix, supply, Selection(ids=selection.ids, interpreters=settings.interpreters))
    shop = build.Workshop(
        root=settings.root,
        work=settings.work,
        cache=settings.cache,
        client=engine.find_client(),
        ca_bundle=certificates.bundle(),
    )
    with console.progress([image.id for image in chosen]) as board:
        for image in chosen:
            build.build(image, shop, board)
    return Bench(settings, {image.arch.name: image for image in chosen}, shop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print what was found, write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--arch", default=f"{HOME},{FOREIGN}", help=f"by default {HOME},{FOREIGN}; {HOME} is what is compared with")
    add("--policy", default="musllinux_1_2")
    add("--interpreters", default="", help="by default every one that the source has")
    add("--sources", default="", help="as `musllinux build` takes it")
    add("--only", action="append", choices=MEASURES, help="measure only this; repeatable")
    add("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    for name in ("arch", "policy", "interpreters"):
        setattr(given, name, [word for word in getattr(given, name).split(",") if word])
    json_file, given.json = given.json, False
    try:
        with interruptible():
            result = measured(prepared(given), given.only or list(MEASURES), json_file)
    except FactoryError as error:
        show(error)
        return error.exit_code
    except KeyboardInterrupt:
        show(FactoryError("interrupted"))
        return EXIT_INTERRUPTED
    print(json.dumps(result, indent=1))
    return EXIT_OK


def measured(bench: Bench, names: Iterable[str], json_file: Path | None) -> dict[str, Any]:
    """Take the measures one after the other; each is said, and written to the file, as soon as it is there."""
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} processors, {platform.platform()}",
        "load_before": os.getloadavg()[0],
        "source": next(iter(bench.images.values())).supply.name,
        "interpreters": [one.tag for one in next(iter(bench.images.values())).interpreters],
        "built": {arch: _recorded(bench, image) for arch, image in bench.images.items()},
    }
    try:
        for name in names:
            missing = MEASURES[name].missing(bench)
            result[name] = {"left_out": f"without {', '.join(missing)}"} if missing else MEASURES[name].take(bench)
            print(f"{name}: {json.dumps(result[name])}", file=sys.stderr, flush=True)
            if json_file:
                json_file.write_text(json.dumps(result, indent=1) + "\n")
    finally:
        forget(bench)
    return result


def forget(bench: Bench) -> None:
    """Remove the images that were made to be measured."""
    from docker.errors import ImageNotFound  # noqa: PLC0415 - with a measurement only

    with closing(engine.connect()) as client:
        for arch in bench.images:
            with suppress(ImageNotFound):
                client.images.remove(_tag(arch), force=True)


def _recorded(bench: Bench, image: Image) -> float | None:
    known = record.read(bench.settings.work, image.id)
    return known.seconds if known else None


if __name__ == "__main__":
    sys.exit(main())
