"""scripts/setup decides what a machine lacks. Here the machine is a folder of made-up commands."""

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TOOLS = "bash cat chmod cmp dirname env find flock grep id mkdir mv rm sed sh sleep stat tail timeout touch"
OLD = "Docker version 20.10.24+dfsg1, build 297e128"
NEW = "Docker version 28.2.2, build e6534b4"


@dataclass(frozen=True)
class Machine:
    """A checkout and the only commands on its PATH."""

    checkout: Path
    bin: Path
    binfmt: Path

    def command(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)  # never write through a link to a real program
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def environ(self, extra: Mapping[str, str]) -> dict[str, str]:
        here = {
            "PATH": str(self.bin),
            "HOME": str(self.checkout),
            "BINFMT_MISC": str(self.binfmt),
            "BINFMT_D": str(self.bin / "binfmt.d"),
        }
        return {**here, **extra}

    def setup(self, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "scripts" / "setup", *args],
            env=self.environ(extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def did(self) -> list[str]:
        """What the stand-in commands were asked to do, in order."""
        record = self.checkout / "did"
        return record.read_text().splitlines() if record.exists() else []


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A new Debian as root: no docker, no Python, no virtual environment."""
    machine = Machine(tmp_path / "checkout", tmp_path / "bin", tmp_path / "binfmt")
    (machine.checkout / "scripts").mkdir(parents=True)
    for name in ("scripts/setup", "matrix.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, machine.checkout / name)
    (machine.checkout / "templates").mkdir()  # without which it is no repository to the driver
    machine.bin.mkdir()
    machine.binfmt.mkdir()
    (machine.binfmt / "register").touch()
    for name in TOOLS.split():
        found = shutil.which(name)
        assert found, name
        (machine.bin / name).symlink_to(found)
    machine.command("id", "echo 0")
    machine.command("uname", "echo x86_64")
    machine.command("apt-cache", "exit 1")
    return machine


def docker(machine: Machine, version: str = OLD, *, answers: str = "echo 20.10.24", buildx: bool = False) -> None:
    machine.command(
        "docker",
        f"""case "$*" in
        --version) echo "{version}" ;;
        "buildx version") {"echo v0.11.2" if buildx else "exit 1"} ;;
        version*) {answers} ;;
        *) exit 1 ;;
        esac""",
    )


def installs(machine: Machine, script: str) -> None:
    """apt-get, which leaves behind what `script` makes."""
    machine.command("apt-get", f'echo "apt-get ${{*: -1}}" >>did\ncase "$*" in *install*) {script} ;; esac')


def with_venv(machine: Machine) -> Machine:
    """A virtual environment with the real driver, which records what it is asked."""
    programs = machine.checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to("/bin/sh")
    driver = programs / "musllinux"
    driver.write_text(f'#!/bin/bash\necho "musllinux $*" >>did\nexec {sys.executable} -m musllinux "$@"\n')
    driver.chmod(0o755)
    state = f"{machine.checkout}\n" + "".join(
        (machine.checkout / name).read_text() for name in ("requirements.lock", "pyproject.toml")
    )
    (machine.checkout / ".venv" / ".made-from").write_text(state)
    return machine


def register(machine: Machine, *names: str, flags: str = "OPF") -> None:
    for name in names:
        (machine.binfmt / f"qemu-{name}").write_text(f"enabled\ninterpreter /usr/bin/qemu\nflags: {flags}\n")


def test_where_all_is_there_nothing_is_said_or_done(bare: Machine) -> None:
    docker(bare)
    with_venv(bare)
    register(bare, "aarch64", "arm", "ppc64le", "s390x")
    done = bare.setup("python", "engine", "emulators")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_setup_names_what_is_missing_and_how_to_get_it(bare: Machine) -> None:
    installs(bare, "true")
    done = bare.setup("python", "engine", "emulators", NO_SETUP="1")
    assert done.returncode == 1
    assert "NO_SETUP forbids" in done.stderr
    assert "a virtual environment (.venv): make .venv from requirements.lock" in done.stderr
    assert "a docker command that can use BuildKit: install docker.io" in done.stderr
    assert "emulators, perhaps: which the asked architectures need is looked up once .venv is there: " in done.stderr
    assert "install qemu-user-static" in done.stderr
    assert bare.did() == []
    assert not (bare.checkout / ".venv").exists()


def test_no_setup_0_does_not_forbid(bare: Machine) -> None:
    docker(bare, answers="[ -e up ] && echo 20.10.24")
    bare.command("setsid", 'touch up; echo "started $1" >>did')
    assert bare.setup("engine", NO_SETUP="0").returncode == 0
    assert bare.did() == ["started dockerd"]


def test_what_is_optional_is_named_but_no_error(bare: Machine) -> None:
    done = bare.setup("--optional", "engine", NO_SETUP="1")
    assert done.returncode == 0
    assert "a docker command that can use BuildKit" in done.stderr


def test_check_changes_nothing_and_prints_the_plan(bare: Machine) -> None:
    installs(bare, "true")
    done = bare.setup("--check", "engine")
    assert (done.returncode, bare.did()) == (1, [])
    assert done.stdout.startswith("  a docker command that can use BuildKit: install docker.io")


def test_a_client_without_buildx_is_not_enough(bare: Machine) -> None:
    docker(bare, NEW)
    assert "a docker command that can use BuildKit" in bare.setup("--check", "engine").stdout
    docker(bare, NEW, buildx=True)
    assert bare.setup("--check", "engine").returncode == 0


def test_an_older_client_behind_one_without_buildx_is_enough(bare: Machine, tmp_path: Path) -> None:
    docker(bare, NEW)
    behind = Machine(bare.checkout, tmp_path / "behind", bare.binfmt)
    behind.bin.mkdir()
    docker(behind, OLD)
    assert bare.setup("--check", "engine", PATH=f"{bare.bin}:{behind.bin}").returncode == 0


def test_the_engine_is_installed_and_started(bare: Machine) -> None:
    installs(
        bare,
        f"""cat >{bare.bin}/docker <<'END'
#!/bin/bash
case "$*" in --version) echo "{OLD}" ;; version*) [ -e up ] && echo 20.10.24 ;; *) exit 1 ;; esac
END
chmod +x {bare.bin}/docker""",
    )
    bare.command("setsid", 'echo "started $1" >>did; touch up')
    done = bare.setup("engine")
    assert done.returncode == 0
    assert bare.did()[-2:] == ["apt-get docker.io", "started dockerd"]  # before them, where lists are old, an update
    assert "setup: apt-get install docker.io" in done.stderr
    assert "dockerd.log" in done.stderr


def test_an_engine_of_another_host_is_not_started_here(bare: Machine) -> None:
    docker(bare, answers="exit 1")
    done = bare.setup("engine", DOCKER_HOST="tcp://builder:2375")
    assert done.returncode == 1
    assert "DOCKER_HOST=tcp://builder:2375 does not answer" in done.stderr


def test_an_engine_that_refuses_this_user_is_not_installed_again(bare: Machine) -> None:
    docker(bare, answers='echo "permission denied while trying to connect" >&2; exit 1')
    shown = bare.setup("--check", "engine").stdout
    assert "permission to use the container engine: run as root, or `usermod -aG docker" in shown


def test_who_is_not_root_is_told_what_to_install(bare: Machine) -> None:
    bare.command("id", "echo 1000")
    done = bare.setup("engine")
    assert done.returncode == 1
    assert "as root on Debian this would be: apt-get install docker.io" in done.stderr


def packaged(machine: Machine, *names: str) -> None:
    """What qemu-user-static brings."""
    folder = machine.bin / "binfmt.d"
    folder.mkdir()
    for name in names:
        (folder / f"qemu-{name}.conf").write_text(f":qemu-{name}:M::magic:mask:/usr/bin/qemu-{name}-static:OP\n")


def test_an_emulator_without_the_f_flag_is_registered_anew(bare: Machine) -> None:
    with_venv(bare)
    register(bare, "aarch64", flags="OP")
    packaged(bare, "aarch64")
    done = bare.setup("emulators", ARCH="aarch64")
    assert "registering the emulator for aarch64 anew: it lacks the F flag" in done.stderr
    assert (bare.binfmt / "register").read_text().endswith("/usr/bin/qemu-aarch64-static:OPF")


def test_a_registered_emulator_is_registered_again_only_where_that_is_asked_for(bare: Machine) -> None:
    """One that does not work, which `musllinux doctor` finds: its file may be gone, or too old."""
    with_venv(bare)
    register(bare, "aarch64", "s390x")
    packaged(bare, "aarch64", "s390x")
    assert bare.setup("emulators", ARCH="aarch64").stderr == ""
    done = bare.setup("--again", "emulators", ARCH="aarch64")
    assert "emulators registered anew for aarch64:" in done.stderr
    assert "setup: registering the emulator for aarch64 anew\n" in done.stderr
    assert (bare.binfmt / "qemu-aarch64").read_text() == "-1\n"  # which removes it (binfmt_misc)
    assert (bare.binfmt / "register").read_text().endswith("/usr/bin/qemu-aarch64-static:OPF")
    assert (bare.binfmt / "qemu-s390x").read_text().startswith("enabled")


def test_after_registering_again_the_machine_is_ready(bare: Machine) -> None:
    with_venv(bare)
    register(bare, "aarch64")
    packaged(bare, "aarch64")
    bare.command("grep", GREP_THAT_SEES_A_REGISTERED_ONE)
    done = bare.setup("--again", "emulators", ARCH="aarch64")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "setup: ready")


# A plain file keeps the -1 that is written to it; the kernel's would show the new registration.
GREP_THAT_SEES_A_REGISTERED_ONE = f"""
case "$*" in *binfmt/qemu-*) exit 0 ;; *) exec {shutil.which("grep")} "$@" ;; esac
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("given", "does"), [("", "scripts/setup emulators"), ("1", "scripts/setup --again emulators")])
def test_the_make_target_that_the_doctor_names_is_this(given: str, does: str) -> None:
    argv = ["make", "-n", "emulators", "ARCH=aarch64", f"AGAIN={given}"]
    # without what a `make test` around this has set
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert " ".join(shown.splitlines()[0].split()) == does


def test_only_the_asked_architectures_need_emulators(bare: Machine) -> None:
    with_venv(bare)
    assert bare.setup("--check", "emulators", ARCH="x86_64 i686").returncode == 0
    assert "emulators for s390x:" in bare.setup("--check", "emulators", ARCH="s390x x86_64").stdout
    assert "for x86_64 i386 arm ppc64le s390x:" in on(bare, "aarch64").setup("--check", "emulators").stdout


def test_what_root_leaves_belongs_to_whoever_has_the_checkout(bare: Machine) -> None:
    """`sudo scripts/setup emulators`, then `make images` without: it writes to .mk/ as well."""
    bare.command("chown", 'echo "chown $*" >>did')
    with_venv(bare)
    installs(bare, "true")
    assert bare.setup("emulators", ARCH="s390x").returncode == 1
    assert bare.did()[-1] == "chown -Rh --reference=. .mk"
    bare.command("id", "echo 1000")
    (bare.checkout / "did").unlink()
    assert bare.setup("emulators", ARCH="s390x").returncode == 1
    assert bare.did() == []


@pytest.mark.parametrize("asked", ["x86_64,armv7l", "armv7l, x86_64", " armv7l", ",armv7l,"])
def test_architectures_are_separated_as_the_driver_does_it(bare: Machine, asked: str) -> None:
    assert "emulators for arm:" in with_venv(bare).setup("--check", "emulators", ARCH=asked).stdout


def test_an_unknown_architecture_is_one_line_with_those_there_are(bare: Machine) -> None:
    done = with_venv(bare).setup("emulators", ARCH="aarch64,sparc")
    assert (done.returncode, done.stdout, bare.binfmt.joinpath("register").read_text()) == (2, "", "")
    known = "x86_64 i686 aarch64 armv7l ppc64le s390x"
    overlay = "MATRIX=FILE names an overlay that has more"
    assert done.stderr == f"setup: no architecture sparc in the matrix; one of: {known} ({overlay})\n"


RISCV64 = """\
extends: default
architectures:
  s390x: null
  riscv64: {apk: riscv64, platform: linux/riscv64, bits: 64, triple: riscv64-alpine-linux-musl, endian: little,
    loader: ld-musl-riscv64.so.1, rust: riscv64gc-unknown-linux-musl, march: [], uname: [riscv64], entry: [],
    qemu: riscv64, relative: 3}
"""


def test_an_overlays_architecture_gets_its_emulator(bare: Machine) -> None:
    with_venv(bare)
    packaged(bare, "riscv64")
    (bare.checkout / "mine.yaml").write_text(RISCV64)
    assert "no architecture riscv64" in bare.setup("emulators", ARCH="riscv64").stderr
    shown = bare.setup("--check", "emulators", MATRIX="mine.yaml").stdout
    assert "emulators for aarch64 arm ppc64le riscv64:" in shown
    done = bare.setup("emulators", ARCH="riscv64", MATRIX="mine.yaml")
    assert "setup: registering the emulator for riscv64" in done.stderr
    assert "/usr/bin/qemu-riscv64-static:OPF" in (bare.binfmt / "register").read_text()


def test_a_bad_overlay_is_told_with_its_line_and_nothing_is_done(bare: Machine) -> None:
    with_venv(bare)
    (bare.checkout / "mine.yaml").write_text("extends: default\nimage: {x: 1}\n")
    done = bare.setup("emulators", MATRIX="mine.yaml")
    assert done.returncode == 2
    assert "mine.yaml:2: image.x: unknown key" in done.stderr


def test_the_shipped_matrix_is_asked_about_once_until_it_changes(bare: Machine) -> None:
    with_venv(bare)
    for _ in range(2):
        assert "for arm:" in bare.setup("--check", "emulators", ARCH="armv7l").stdout
        assert "for aarch64:" in bare.setup("--check", "emulators", ARCH="aarch64").stdout
    assert bare.did() == ["musllinux list --format emulators"]
    matrix = bare.checkout / "matrix.yaml"
    matrix.write_text(matrix.read_text().replace("qemu: arm\n", "qemu: armeb\n"))
    assert "for armeb:" in bare.setup("--check", "emulators", ARCH="armv7l").stdout


def test_emulators_alone_set_up_first_what_knows_the_matrix(bare: Machine) -> None:
    """`make emulators` on a new machine."""
    packaged(bare, "s390x")
    with_venv(bare)
    venv = bare.checkout / ".venv"
    (venv / ".made-from").unlink()  # setup makes it, once pip has done its work
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").write_text("#!/bin/sh\necho python >>did\n")
    (venv / "bin" / "python").chmod(0o755)
    bare.command("python3", "exit 0")
    done = bare.setup("emulators", ARCH="s390x")
    assert bare.did() == ["python"] * 3 + ["musllinux list --format emulators"]
    assert "setup: registering the emulator for s390x" in done.stderr


def on(machine: Machine, processor: str) -> Machine:
    machine.command("uname", f"echo {processor}")
    return machine


def test_every_architecture_of_the_matrix_has_its_emulator_asked_for(bare: Machine) -> None:
    matrix = yaml.safe_load((ROOT / "matrix.yaml").read_text())
    shown = on(with_venv(bare), "riscv64").setup("--check", "emulators").stdout
    names = shown.partition("for ")[2].partition(":")[0].split()
    assert names == [arch["qemu"] for arch in matrix["architectures"].values()]


def test_a_changed_lock_asks_for_a_new_virtual_environment(bare: Machine) -> None:
    with_venv(bare)
    with (bare.checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert "an up-to-date virtual environment" in bare.setup("--check", "python").stdout


def test_a_moved_checkout_asks_for_a_new_virtual_environment(bare: Machine, tmp_path: Path) -> None:
    with_venv(bare)
    bare.checkout.rename(tmp_path / "moved")
    moved = Machine(tmp_path / "moved", bare.bin, bare.binfmt)
    assert "an up-to-date virtual environment" in moved.setup("--check", "python").stdout


def test_without_a_python_one_is_installed_or_its_absence_told(bare: Machine) -> None:
    installs(bare, "true")
    done = bare.setup("python")
    assert done.returncode == 1
    assert bare.did()[-1] == "apt-get python3-venv"
    assert "Python 3.11 or newer with venv is needed" in done.stderr


def test_compose_is_found_in_either_form(bare: Machine) -> None:
    assert "a compose command" in bare.setup("--check", "compose").stdout
    bare.command("docker-compose", "true")
    assert bare.setup("--check", "compose").returncode == 0


def test_on_a_terminal_it_asks_and_no_means_no(bare: Machine) -> None:
    installs(bare, "true")
    code, shown = on_terminal(bare, "n\n", "engine")
    assert code == 1
    assert "do that now? [Y/n]" in shown
    assert "nothing changed" in shown
    assert bare.did() == []


def test_on_a_terminal_return_means_yes(bare: Machine) -> None:
    docker(bare, answers="[ -e up ] && echo 20.10.24")
    bare.command("setsid", 'echo "started $1" >>did; touch up')
    _, shown = on_terminal(bare, "\n", "engine")
    assert "a container engine that answers: start the engine" in shown
    assert bare.did() == ["started dockerd"]


def test_what_it_does_not_know_is_bad_usage(bare: Machine) -> None:
    done = bare.setup("--everything")
    assert done.returncode == 2
    assert "--optional" in done.stderr


def on_terminal(machine: Machine, answer: str, *args: str) -> tuple[int, str]:
    """Run setup with a terminal on all three streams; its exit code and what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [machine.checkout / "scripts" / "setup", *args],
        env=machine.environ({}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # how Linux says that the other end of a terminal is closed
    finally:
        os.close(ours)
    return process.wait(60), shown.decode()
