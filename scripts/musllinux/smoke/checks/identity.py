"""The image is what it says, and starts the way clients start it (docs/contents.md; cibuildwheel/oci_container.py)."""

from musllinux.model import LABELS
from musllinux.smoke.containers import pack
from musllinux.smoke.context import Context
from musllinux.smoke.registry import check, require, same

GROUP = "identity"
# Labels that the build adds to those of the model.
BUILT = (
    "org.opencontainers.image.revision",
    "org.opencontainers.image.created",
    "org.opencontainers.image.version",
)


@check(GROUP, "platform, as cibuildwheel compares it")
def platform(context: Context) -> str:
    wanted = context.image.arch.platform
    # it asks for the variant only where its own name of the platform has one
    found = "/".join(context.facts.platform.split("/")[: wanted.count("/") + 1])
    same("the image's platform", found, wanted)
    return f"{context.facts.platform}, {context.facts.size / 1e6:.0f} MB"


@check(GROUP, "uname names the architecture")
def uname(context: Context) -> str:
    machine = context.run("uname", "-m").out.strip()
    require(machine in context.image.arch.uname, f"uname -m says {machine}, not {context.image.arch.uname[0]}")
    return machine


@check(GROUP, "environment")
def environment(context: Context) -> str:
    said = dict(line.partition("=")[::2] for line in context.run("env").out.splitlines())
    wrong = [
        f"{name} is {said.get(name)!r}, not {value!r}"
        for name, value in context.image.environment.items()
        if said.get(name) != value
    ]
    if context.image.supply.publishable and "MUSLLINUX_STANDIN" in said:
        wrong.append("it carries the stand-in's mark without being from the stand-in")
    require(not wrong, "\n".join(wrong))
    return f"AUDITWHEEL_PLAT={said['AUDITWHEEL_PLAT']}"


@check(GROUP, "labels")
def labels(context: Context) -> str:
    said = context.facts.labels
    wrong = [
        f"{name} is {said.get(name)!r}, not {value!r}"
        for name, value in context.image.labels.items()
        if said.get(name) != value
    ]
    wrong += [f"{name} is absent" for name in BUILT if not said.get(name)]
    marked = f"{LABELS}.standin" in said
    if marked == context.image.supply.publishable:
        wrong.append(f"the stand-in's label is {'there' if marked else 'absent'}")
    require(not wrong, "\n".join(wrong))
    return f"version {said['org.opencontainers.image.version']}"


@check(GROUP, "entrypoint passes commands and input through, silently")
def entrypoint(context: Context) -> str:
    """As cibuildwheel does: bash reads its commands from standard input."""
    require(context.facts.entrypoint, "the image has no entrypoint")
    same("the default command", context.facts.command, ("/bin/bash",))
    container = context.containers.create(context.facts.id, ["/bin/bash"], context.image.arch.platform, keep=True)
    script = b"echo one\nuname -m\nread line\nanother line\nprintf '%s' \"$line\"\nexit 3\n"
    try:
        result = context.containers.attach(container, stdin=script, log=context.log)
    finally:
        container.remove()
    lines = result.out.splitlines()
    require(len(lines) == 3, f"three lines should come out, not {lines}")  # noqa: PLR2004
    same("what came out", (lines[0], lines[2]), ("one", "another line"))
    require(lines[1] in context.image.arch.uname, f"uname -m says {lines[1]} there")
    same("standard error", result.err, "")
    same("the exit code", result.code, 3)
    return "bash on standard input, exit code kept"


@check(GROUP, "GNU tar unpacks through docker exec")
def tar(context: Context) -> str:
    """cibuildwheel's way of copying a project in: exec, which bypasses the entrypoint."""
    project = pack({"project/file.txt": b"content\n"})
    with context.fresh() as container:
        container.run("mkdir", "/there", log=context.log)
        argv = ["tar", "--no-same-owner", "-xC", "/there", "-f", "-"]
        container.run(*argv, log=context.log, stdin=project, bypass=True)
        same("the file", container.run("cat", "/there/project/file.txt", log=context.log).out, "content\n")
        version = container.run("tar", "--version", log=context.log, bypass=True).out.splitlines()[0]
    require("GNU tar" in version, f"tar is {version}")
    return version


@check(GROUP, "an ordinary user compiles and runs Python")
def user(context: Context) -> str:
    tag = context.image.interpreters[-1].tag
    script = (
        'test "$(id -u)" = 1000; export HOME=$(mktemp -d); cd "$HOME"; '
        'gcc -Wall -O2 -pthread /smoke/probes/c.c -o c; ./c; "$1" -m venv --without-pip v; v/bin/python -V'
    )
    result = context.bash(script, f"/opt/python/{tag}/bin/python", user="1000:1000")
    plain = context.containers.create(
        context.facts.id, ["id", "-u"], context.image.arch.platform, user="1000", keep=True
    )
    try:
        same(
            "`docker run --user 1000 IMAGE id -u`",
            context.containers.attach(plain, stdin=b"", log=context.log).out,
            "1000\n",
        )
    finally:
        plain.remove()
    return result.last


@check(GROUP, "a login shell finds everything")
def login(context: Context) -> str:
    names = ["gcc", "auditwheel", "manylinux-interpreters", context.image.interpreters[0].executable]
    result = context.run("bash", "-lc", f"command -v {' '.join(names)}", check=False)
    found = result.out.split()
    same("what `bash -lc` finds", [path.rpartition("/")[2] for path in found], names)
    shell = context.run("sh", "-c", "grep ^root: /etc/passwd").out.strip().rpartition(":")[2]
    same("root's shell", shell, "/bin/bash")
    return "PATH kept, root's shell is bash"
