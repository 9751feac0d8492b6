"""`musllinux smoke` on the built image, and on images spoilt on purpose: each check must see what it is there for."""

import json
import subprocess
import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from tests.integration.conftest import LABEL

from musllinux.engine import find_client
from musllinux.errors import FactoryError
from musllinux.model import Image
from musllinux.run import run
from musllinux.settings import from_args
from musllinux.smoke import record, runner, verb
from musllinux.smoke.record import CheckResult, SmokeRecord
from musllinux.smoke.registry import Check

ID = "musllinux_1_2_x86_64"
pytestmark = [pytest.mark.integration, pytest.mark.needs("engine")]


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> Image:
    """The built image as its source describes it; the stand-in need not run for what is tried here."""
    if not client.images.list(filters={"reference": f"{ID}:latest"}):
        pytest.skip(f"no image {ID}: `make images ARCH=x86_64 POLICY=musllinux_1_2` builds it")
    (found,) = verb.chosen_images(from_args(Namespace(ids=[ID])))
    return found


class Silent:
    def started(self, check: Check) -> None: ...
    def ended(self, check: Check, result: CheckResult) -> None: ...


@dataclass(frozen=True)
class Spoiler:
    """Makes an image FROM the built one, and tries chosen checks on it."""

    image: Image
    root: Path
    folder: Path

    def tried(self, lines: str, wanted: Callable[[Check], bool]) -> SmokeRecord:
        tag = f"musllinux-tests/spoilt:{uuid.uuid4().hex[:12]}"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "Dockerfile").write_text(f"FROM {self.image.tag}\n{lines}\n")
        client = find_client()
        argv = client.build_argv(
            context=self.folder,
            dockerfile=self.folder / "Dockerfile",
            tag=tag,
            platform=self.image.arch.platform,
            labels={LABEL: "spoilt"},
        )
        run(argv, env=client.env)
        try:
            return runner.smoke(
                self.image, root=self.root, work=self.folder, progress=Silent(), reference=tag, wanted=wanted
            )
        finally:
            run([client.path, "image", "rm", "--force", tag])


@pytest.fixture
def spoiler(image: Image, root: Path, tmp_path: Path) -> Spoiler:
    return Spoiler(image, root, tmp_path / "spoilt")


def failed(found: SmokeRecord) -> dict[str, str]:
    return {one.name: one.detail for one in found.checks if one.status == "failed"}


SPOILT: Mapping[str, tuple[str, str]] = {
    # lines of a Dockerfile, with {tag} {prefix} {series} {arch} of the oldest interpreter: (lines, name of the check)
    "a talking entrypoint": (
        "RUN printf '#!/bin/sh\\necho hello\\nexec \"$@\"\\n' > /usr/local/bin/musllinux-entrypoint",
        "entrypoint passes commands and input through, silently",
    ),
    "an entrypoint that loses input": (
        "RUN printf '#!/bin/sh\\nexec \"$@\" </dev/null\\n' > /usr/local/bin/musllinux-entrypoint",
        "entrypoint passes commands and input through, silently",
    ),
    "no GNU tar": ("RUN rm -f $(command -v tar) && ln -s /bin/busybox /bin/tar", "GNU tar unpacks through docker exec"),
    "a lost label": ('LABEL org.opencontainers.image.licenses=""', "labels"),
    "a changed variable": ("ENV AUDITWHEEL_PLAT=musllinux_1_0_x86_64", "environment"),
    "no login shell": ("RUN sed -i '/^root:/s#:[^:]*$#:/bin/ash#' /etc/passwd", "a login shell finds everything"),
    "bytecode": ("RUN touch {prefix}/lib/python{series}/json.pyc", "no bytecode, no caches"),
    "pip's cache": ("RUN mkdir -p /root/.cache/pip", "no bytecode, no caches"),
    "CPython's tests": ("RUN mkdir -p {prefix}/lib/python{series}/test", "no tests of CPython"),
    "a build folder": ("RUN mkdir /sysroot", "no leftovers of the build"),
    "a compiler's path of the build": (
        "RUN echo 'BLDSHARED= gcc -shared --sysroot=/sysroot' >> $(ls {prefix}/lib/python{series}/config-*/Makefile)",
        "no trace of the cross build",
    ),
    "another compiler's name": (
        "RUN echo 'CC= clang' >> $(ls {prefix}/lib/python{series}/config-*/Makefile)",
        "no trace of the cross build",
    ),
    "a key too many": ("RUN touch /etc/apk/keys/other.rsa.pub", "apk's repositories and keys are the base's own"),
    "a mirror of the build": (
        "RUN echo http://127.0.0.1:1/alpine/v3.20/main >> /etc/apk/repositories",
        "apk's repositories and keys are the base's own",
    ),
    "a lost module": ("RUN rm {prefix}/lib/python{series}/lib-dynload/_ssl.*.so", "standard library"),
    "decimal in Python": ("RUN rm {prefix}/lib/python{series}/lib-dynload/_decimal.*.so", "standard library"),
    "certificates that are not there": (
        "RUN : > /etc/ssl/certs/ca-certificates.crt",
        "TLS: trusts its bundle and nothing else",
    ),
    "a missing dependency of pip": ("RUN rm -rf {prefix}/lib/python{series}/site-packages/packaging*", "pip and build"),
    "no build": ("RUN rm -rf {prefix}/lib/python{series}/site-packages/build", "pip and build"),
    "a pip elsewhere": ("RUN rm {prefix}/bin/pip", "pip and build"),
    "another interpreter on PATH": ("RUN ln -sf /bin/true /usr/local/bin/python{series}", "commands on PATH"),
    "an interpreter that is not offered": ("RUN rm /opt/python/{tag}", "manylinux-interpreters lists and ensures them"),
    "no libstdc++": ("RUN rm /usr/lib/libstdc++.so*", "g++: C++20, exceptions through a shared library, threads"),
    "no C library to link statically": ("RUN rm /usr/lib/libc.a", "static programs"),
    "no zlib.pc": ("RUN find / -xdev -name zlib.pc -delete", "pkg-config"),
    "a compiler that rounds wrongly": (
        "RUN cd /usr/bin && mv gcc real-gcc && chmod +x real-gcc && "
        "printf '#!/bin/sh\\nexec real-gcc \"$@\" -ffast-math\\n' > gcc && chmod +x gcc",
        "floating point",
    ),
    "the floor switched off": ("RUN musllinux-floor off", "the linker sees the floor's libc"),
    "a floor that hides nothing": (
        "RUN cp --remove-destination /lib/ld-musl-{arch}.so.1 /usr/lib/musllinux/floor/libc.so",
        "the linker sees the floor's libc",
    ),
    "a tool outside of its environment": ("RUN ln -sf /bin/true /usr/local/bin/ninja", "starts"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", SPOILT)
def test_a_defect_is_seen_by_the_check_that_is_there_for_it(spoiler: Spoiler, defect: str) -> None:
    lines, name = SPOILT[defect]
    python = spoiler.image.interpreters[0]
    lines = lines.format(tag=python.tag, prefix=python.prefix, series=python.series, arch=spoiler.image.arch.name)

    def wanted(check: Check) -> bool:
        return check.name == name and check.subject in ("", python.tag, "ninja")

    found = spoiler.tried(lines, wanted)
    assert set(failed(found)) == {name}, [one.text for one in found.checks]


@pytest.mark.slow
def test_wheels_of_an_image_without_a_floor_are_refused(spoiler: Spoiler) -> None:
    """With the floor off configure finds the newer functions, and the fallback does not come out."""
    found = spoiler.tried("RUN musllinux-floor off", lambda one: one.name.startswith("configure finds"))
    assert "statx=yes" in next(iter(failed(found).values()))


@pytest.mark.slow
def test_an_image_that_does_not_start_is_one_clear_line(spoiler: Spoiler) -> None:
    with pytest.raises(FactoryError, match=f"^{ID}: a container of it does not start"):
        spoiler.tried('ENTRYPOINT ["/no/such/program"]', lambda _: True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_built_image_is_all_green_and_not_tried_twice(image: Image, root: Path) -> None:
    work = root / "build"
    command = [sys.executable, "-m", "musllinux", "smoke", image.id, "--json", "--sources", image.supply.name]
    first = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    (said,) = json.loads(first.stdout)
    assert (first.returncode, [one for one in said["checks"] if one["status"] == "failed"]) == (0, []), first.stderr
    assert {one["group"] for one in said["checks"]} >= {"identity", "interpreters", "wheels", "trials", "clients"}
    found = record.read(work, image.id)
    assert found is not None
    assert found.green
    (again,) = json.loads(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
    assert again["reused"] is True
    assert again["started"] == said["started"]


def test_an_image_that_is_not_built_is_an_error_with_a_remedy(root: Path, client: docker.DockerClient) -> None:
    absent = "musllinux_1_1_s390x"
    if client.images.list(filters={"reference": f"{absent}:latest"}):
        pytest.skip(f"{absent} is built here")
    command = [sys.executable, "-m", "musllinux", "smoke", absent, "--sources", "upstream"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "musllinux build" in done.stderr or "musllinux lock" in done.stderr
