"""The stand-in's core for real: packages of Debian and PyPI in, bases and a signed repository out, used by real apk."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from standin import control
from standin.catalogue import Inputs, Recipe, Target
from standin.state import BaseImage, State, load_state

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "apt")]

RECIPES = """
policies: [musllinux_1_2]
recipes:
  - {name: parts, version: 1-r0, builder: trivial, packaged: false}
  - name: trivial
    version: 1.0-r0
    builder: trivial
    needs: [parts]
    description: a test
    depends: [busybox]
    provides: ["cmd:trivial=1.0-r0"]
    scripts: {post-install: "#!/bin/sh\\necho ran > /var/trivial\\n"}
  - name: more
    version: 2-r1
    builder: trivial
    repository: community
    depends: ["trivial=1.0-r0", "cmd:trivial"]
"""
LONG = "usr/share/" + "long/" * 30 + "name"


def build(recipe: Recipe, target: Target, inputs: Inputs, out: Path) -> None:
    """A program, a link, a setuid file, a path longer than old tar headers have room for."""
    del target
    for need in recipe.needs:
        assert inputs.tree(need).is_dir()
    (out / "usr/bin").mkdir(parents=True)
    program = out / "usr/bin" / recipe.name
    program.write_text(f"#!/bin/sh\necho {recipe.name} {recipe.version}\n")
    program.chmod(0o4755)
    (out / f"usr/bin/{recipe.name}-link").symlink_to(f"./{recipe.name}")
    path = out / f"{LONG}-{recipe.name}"
    path.parent.mkdir(parents=True)
    path.write_text("far down")


def register() -> None:
    module = types.ModuleType("standin.builders.trivial")
    module.VERSION, module.build = 1, build  # type: ignore[attr-defined]
    sys.modules["standin.builders.trivial"] = module


@dataclass(frozen=True)
class World:
    root: Path
    recipes: Path
    state: State
    said: list[str]

    def up(self) -> State:
        return control.up(control.Options(cache=self.root, recipes=self.recipes), self.said.append)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("standin")
    recipes = tmp_path_factory.mktemp("recipes")
    (recipes / "test.yaml").write_text(RECIPES)
    register()
    said: list[str] = []
    state = control.up(control.Options(cache=root, recipes=recipes), said.append)
    yield World(root, recipes, state, said)
    for base in state.bases:
        subprocess.run(["docker", "rmi", "--force", base.reference], capture_output=True, check=False)
    control.down(root)


def in_base(base: BaseImage, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", "run", "--rm", *(options or ["--network", "host"]), base.reference, "sh", "-euc", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def alpines(world: World) -> list[BaseImage]:
    return [base for base in world.state.bases if base.role == "trial" and base.origin != "composed"]


def of_origin(world: World, origin: str) -> BaseImage:
    return next(base for base in world.state.bases if base.origin == origin)


def apk(world: World, *words: str) -> str:
    """apk against the stand-in alone: the bases' own repositories are upstream's."""
    release = build_base(world).release
    places = " ".join(f"-X {world.state.mirror}/v{release}/{name}" for name in ("main", "community"))
    return f"apk --repositories-file /dev/null {places} {' '.join(words)}"


def build_base(world: World) -> BaseImage:
    return next(base for base in world.state.bases if base.role == "build")


def key_mount(world: World) -> list[str]:
    key = Path(world.state.key)
    return ["--network", "host", "-v", f"{key}:/etc/apk/keys/{key.name}:ro"]


def test_every_generation_of_apk_installs_the_packages(world: World) -> None:
    script = f"""
        {apk(world, "add", "more")}
        trivial; more-link; cat /var/trivial; cat /{LONG}-more; echo
        stat -c %a /usr/bin/trivial; readlink /usr/bin/more-link
        apk audit --system
        apk info --who-owns /usr/bin/trivial
        {apk(world, "del", "more")} >/dev/null
        test ! -e /usr/bin/trivial
        """
    for base in alpines(world):
        done = in_base(base, textwrap.dedent(script), *key_mount(world))
        assert done.returncode == 0, f"{base.reference}: {done.stdout}{done.stderr}"
        lines = done.stdout.splitlines()
        assert lines[lines.index("trivial 1.0-r0") :] == [
            "trivial 1.0-r0",
            "more 2-r1",
            "ran",
            "far down",
            "4755",
            "./more",
            "/usr/bin/trivial is owned by trivial-1.0-r0",
        ], base.reference


def test_without_the_key_nothing_is_trusted(world: World) -> None:
    for base in alpines(world):
        done = in_base(base, apk(world, "add", "trivial"))
        assert done.returncode != 0, base.reference
        assert "UNTRUSTED" in done.stdout + done.stderr, base.reference


def test_a_tampered_package_is_refused_even_with_the_key(world: World, tmp_path: Path) -> None:
    name = "trivial-1.0-r0.apk"
    url = f"{world.state.mirror}/v{build_base(world).release}/main/x86_64/{name}"
    content = bytearray(requests.get(url, timeout=30).content)
    (tmp_path / name).write_bytes(content)
    add = f"apk --repositories-file /dev/null --no-network add /x/{name}"
    mounts = [*key_mount(world), "-v", f"{tmp_path}:/x:ro"]
    assert in_base(build_base(world), add, *mounts).returncode == 0
    content[-40] ^= 1
    (tmp_path / name).write_bytes(content)
    assert in_base(build_base(world), add, *mounts).returncode != 0


def test_the_base_out_of_the_wheel_is_a_whole_and_bare_alpine(world: World) -> None:
    base = of_origin(world, "quicksand")
    script = """
        cat /etc/alpine-release
        . /etc/os-release; echo $ID $VERSION_ID
        apk audit --system
        apk --no-network --repositories-file /dev/null fix --simulate | tail -n 1
        ls -d /boot/* /lib/modules /etc/init.d /etc/runlevels /etc/cloud 2>/dev/null || true
        grep -c . /etc/apk/repositories
        for applet in $(busybox --list-full | grep -v -e linuxrc -e busybox); do
            test -e /$applet || echo no $applet
        done
        """
    done = in_base(base, textwrap.dedent(script), "--network", "none")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == base.version
    assert lines[1] == f"alpine {base.version}"
    assert lines[2].startswith("OK: ")
    assert lines[3:] == ["2"]


def test_the_floor_base_has_the_oldest_musl(world: World) -> None:
    base = of_origin(world, "composed")
    loader = "/lib/ld-musl-x86_64.so.1"
    done = in_base(base, f"{loader} 2>&1 | head -n 2; echo a | sed s/a/b/; /usr/bin/env true; ls -l /lib | wc -l")
    assert done.stdout.splitlines()[:3] == ["musl libc (x86_64)", f"Version {base.musl}", "b"], done.stderr
    assert base.musl == "1.2.2"


def test_what_is_served_is_what_the_state_says(world: World) -> None:
    state = world.state
    for version, facts in state.archives.items():
        content = requests.get(f"{state.python}/{version}/{facts['file']}", timeout=60).content
        assert hashlib.sha256(content).hexdigest() == facts["sha256"]
    for place, sha256 in state.index.items():
        content = requests.get(f"{state.mirror}/{place}/APKINDEX.tar.gz", timeout=60).content
        assert hashlib.sha256(content).hexdigest() == sha256
    accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
    for base in state.bases:
        name, _, tag = base.reference.removeprefix(f"{state.registry}/").partition(":")
        index = requests.get(f"http://{state.registry}/v2/{name}/manifests/{tag}", headers=accept, timeout=60).json()
        assert base.digest in [entry["digest"] for entry in index["manifests"]]
    assert set(state.lacks["musllinux_1_2/x86_64"]) >= {"gcc", "bash"}
    assert load_state(world.root) == state


def test_a_base_can_be_had_by_digest(world: World) -> None:
    base = build_base(world)
    reference = f"{base.reference.rpartition(':')[0]}@{base.digest}"
    done = subprocess.run(["docker", "pull", "--quiet", reference], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", reference],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "linux/amd64"


def computed() -> float:
    """Seconds of processor time that our children have used: other work on the machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_up_takes_less_than_a_second_and_leaves_the_services_alone(world: World) -> None:
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + textwrap.dedent(
        """
        import types, standin.__main__ as cli
        module = types.ModuleType("standin.builders.trivial")
        module.VERSION, module.build = 1, None
        sys.modules["standin.builders.trivial"] = module
        sys.exit(cli.main(sys.argv[1:]))
        """
    )
    command = [sys.executable, "-c", program, "--cache", str(world.root), "up", "--recipes", str(world.recipes)]
    took = []
    for _ in range(3):
        started = computed()
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
        took.append(computed() - started)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == json.loads(json.dumps(world.state.to_json()))
    assert min(took) < 1, took


def test_a_mirror_that_was_killed_is_back_after_up_with_everything_at_its_place(world: World) -> None:
    before = load_state(world.root)
    assert before is not None
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while control.status(world.root).running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = world.up()
    assert after.pid != before.pid
    assert {**after.to_json(), "pid": None} == {**before.to_json(), "pid": None}
    assert requests.get(f"{after.mirror}/{next(iter(after.index))}/APKINDEX.tar.gz", timeout=5).ok


def test_down_stops_both_and_up_brings_the_same_back(world: World) -> None:
    before = load_state(world.root)
    assert before is not None
    assert control.down(world.root)
    status = control.status(world.root)
    assert (status.mirror_running, status.registry_running) == (False, False)
    with pytest.raises(requests.ConnectionError):
        requests.get(before.mirror, timeout=2)
    assert not control.down(world.root), "there is nothing to stop twice"
    after = world.up()
    assert {**after.to_json(), "pid": None} == {**before.to_json(), "pid": None}
