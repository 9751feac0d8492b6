"""Rust as projects use it: without settings, offline, as any user, and in wheels that run where their tag says."""

from collections.abc import Sequence

from musllinux.model import Image, Interpreter
from musllinux.smoke import cratesconfig, pipconfig
from musllinux.smoke.checks import wheels
from musllinux.smoke.containers import Container
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import LeftOut, check, interpreters, require, same

GROUP = "rust"
PROBES = f"{HOME}/probes"
SAMPLE = "rust_ext"
USERS = ("", "1000")
WORK = "/tmp/rust"  # noqa: S108 - in a container


def _users(_: Image) -> Sequence[tuple[str, str]]:
    return [(f"uid {user or 0}", user) for user in USERS]


def _target(context: Context) -> str:
    """What the image's cargo compiles for. Raises LeftOut where the image was made without Rust."""
    if context.image.rust is None:
        raise LeftOut(f"source {context.image.supply.name!r} has no Rust for {context.image.arch.name}")
    return context.image.rust.target


@check(GROUP, "rustc and cargo start, and compile for the image")
def versions(context: Context) -> str:
    """The configuration that makes them do so is the image's own, without any variable or file of the user's."""
    target = _target(context)
    cargo, rustc = (context.run(name, "--version").last for name in ("cargo", "rustc"))
    require(target in context.run("rustc", "--print", "target-list").out.split(), f"rustc does not know {target}")
    same("versions of cargo and rustc", cargo.split()[1], rustc.split()[1])
    return f"{rustc}, for {target}"


@check(GROUP, "a new project builds, offline, in a login shell", each=_users, weight=12)
def new_project(context: Context, user: str) -> str:
    script = (
        "cd /tmp && cargo new --quiet --lib x && cd x && cargo build --quiet --release && find target -name '*.rlib'"
    )
    command = ["env", "HOME=/tmp", "bash", "-lc", script]
    _target(context)
    container = context.containers.create(
        context.facts.id,
        command,
        context.image.arch.platform,
        entry=context.facts.entrypoint,
        network="none",
        user=user,
        keep=True,
    )
    try:
        result = context.containers.attach(container, stdin=b"", log=context.log, seconds=240)
    finally:
        container.remove()
    require(not result.code, f"exit code {result.code}: {result.err.strip()}")
    require("libx.rlib" in result.out, f"no library came out: {result.out}")
    return next(line for line in result.out.splitlines() if "libx.rlib" in line)


@check(GROUP, "proc-macro, build script with C, panic across threads, LTO", weight=25)
def program(context: Context) -> str:
    target = _target(context)
    script = (
        f"rm -rf {HOME}/rust; cp -r {PROBES}/rust {HOME}/rust; cd {HOME}/rust; "
        "cargo run --quiet --release --offline --locked; readelf -dW $(find target -name app -type f | head -n 1)"
    )
    said = context.bash(script, seconds=900).out
    same("the target", said.splitlines()[0], target)
    require(
        f"[{context.image.arch.libc}]" in said, f"the program is not linked with {context.image.arch.libc}:\n{said}"
    )
    return said.splitlines()[0]


@check(GROUP, "a static program", weight=20)
def static(context: Context) -> str:
    _target(context)
    script = (
        f"rm -rf {HOME}/rust-static; cp -r {PROBES}/rust {HOME}/rust-static; cd {HOME}/rust-static; "
        "RUSTFLAGS=-Ctarget-feature=+crt-static cargo run --quiet --release --offline --locked; "
        "readelf -lW $(find target -name app -type f | head -n 1) | grep -c INTERP || true"
    )
    said = context.bash(script, seconds=900).out.splitlines()
    same("interpreters that a static program asks for", said[-1], "0")
    return said[0]


@check(GROUP, "without crates: built, repaired, tagged, audited, run", each=interpreters, weight=20)
def extension(context: Context, python: Interpreter) -> str:
    """2050 and waits with a timeout, asked from Rust and from C in one wheel: their time_t must be the same."""
    _target(context)
    wheel = wheels.make(context, python, SAMPLE)
    same("libraries put into it", wheels.grafted(wheel), ["libgcc_s"])
    musl = wheels.audited(context, python, wheel, SAMPLE)
    strict = context.run(
        "muslabi", "--strict-time64", f"{wheels.stem(python.tag, SAMPLE)}/repaired/{wheel.name}", check=False
    )
    require(not strict.code, f"muslabi --strict-time64 objects:\n{strict.out}{strict.err}")
    return f"from musl {musl} on: {wheels.tried(context, python.tag, SAMPLE, wheel)}"


@check(GROUP, "setuptools-rust builds a project", weight=40)
def setuptools_rust(context: Context) -> str:
    return _from_index(context, "rust_setuptools", context.image.interpreters[0])


@check(GROUP, "maturin builds a project with pyo3", weight=90)
def maturin(context: Context) -> str:
    """Left out where pip would have to compile maturin itself: hours under an emulator, and not of this image."""
    if context.image.rust and "maturin" in context.image.rust.uncompiled:
        raise LeftOut(f"the package index has no maturin for {context.image.plat}: pip would compile it first")
    plain = [one for one in context.image.interpreters if not one.free_threaded]
    return _from_index(context, "rust_maturin", plain[-1])


def pyo3_settings(context: Context, python: Interpreter) -> dict[str, str]:
    """What pyo3's build script is told where rustc is a program of another architecture (the stand-in's).

    It takes that for cross-compiling, and must know for which Python.
    """
    said = context.run("rustc", "--version", "--verbose").out.splitlines()
    host = next(line.removeprefix("host: ") for line in said if line.startswith("host: "))
    own = host.partition("-")[0] == _target(context).partition("-")[0]
    return {} if own else {"PYO3_CROSS_PYTHON_VERSION": python.series}


def _from_index(context: Context, sample: str, python: Interpreter) -> str:
    """Build a sample whose backend comes from the package index, and whose crates may come from cargo's registry."""
    _target(context)
    problem = context.shared.get("index", pipconfig.reachable)
    if problem:
        raise LeftOut(f"pip on this machine reaches no package index: {problem}")
    with cratesconfig.prepared() as mounts, context.fresh(mounts=mounts, network=cratesconfig.network()) as container:
        container.run("mkdir", "-p", WORK, log=context.log)
        container.put({f"{WORK.strip('/')}/project": context.samples / sample})
        _fetch(context, container)
        argv = ["bash", "-euo", "pipefail", "-c", _BUILD, "bash", python.tag]
        said = container.run(*argv, log=context.log, seconds=900, env=pyo3_settings(context, python))
    wheel, ran = said.out.splitlines()[-2:]
    same("the repaired wheel", wheel, f"smoke_{sample}-1.0-{python.tag}-{context.image.plat}.whl")
    return ran


_BUILD = f"""
cd {WORK}
export PATH="/opt/python/$1/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1
python -m build --wheel --outdir built project >&2
auditwheel repair -w repaired built/*.whl >&2
muslabi repaired/*.whl >&2
python -m pip install -q --no-index --no-deps --no-compile --root-user-action=ignore --target site repaired/*.whl >&2
ls repaired
wheel=$(ls repaired)
PYTHONPATH=site python -m "${{wheel%%-*}}"
"""


def _fetch(context: Context, container: Container) -> None:
    """The project's crates. Raises LeftOut where cargo's registry is out of reach."""
    manifest = container.run(
        "sh", "-c", f"ls {WORK}/project/Cargo.toml {WORK}/project/rust/Cargo.toml", log=context.log, check=False
    )
    result = container.run(
        "cargo", "fetch", "--quiet", "--locked", f"--manifest-path={manifest.last}", log=context.log, check=False
    )
    if result.code and cratesconfig.UNREACHABLE.search(result.err):
        raise LeftOut(f"cargo reaches no registry of crates: {result.err.strip().splitlines()[-1].strip()}")
    require(not result.code, f"cargo fetch: {result.err}")
