"""The compilers and tools do what a project asks of them, and what they make runs."""

from musllinux.model import Image
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import check, require, same

GROUP = "toolchain"
PROBES = f"{HOME}/probes"
PROGRAMS = """
    ar as autoconf autoheader automake bash bison bzip2 c++ cat cc curl diff env file find g++ gcc git ld libtoolize
    m4 make mkdir mktemp mv nm objcopy objdump patch pkg-config ranlib readelf rm sh strip tar test uname unzip
    which xz zstd
""".split()  # noqa: SIM905


def _work(name: str) -> str:
    """The start of a script: an empty folder of its own."""
    return f"rm -rf {HOME}/{name}; mkdir -p {HOME}/{name}; cd {HOME}/{name}; export TMPDIR=$PWD; "


def _tools(image: Image) -> list[tuple[str, str]]:
    return [(command, command) for tool in image.tools for command in tool.commands]


@check(GROUP, "starts", each=_tools)
def tool(context: Context, command: str) -> str:
    result = context.run(command, "--version" if command != "swig" else "-version")
    path = context.run("readlink", "-f", f"/usr/local/bin/{command}").out.strip()
    require(path.startswith("/opt/_internal/"), f"{command} is {path}, outside of its environment")
    return next((line for line in (result.out + result.err).splitlines() if line.strip()), "")


@check(GROUP, "programs that projects expect")
def programs(context: Context) -> str:
    script = 'for name; do command -v "$name" >/dev/null || echo "$name"; done'
    absent = context.bash(script, *PROGRAMS).out.split()
    require(not absent, f"not found: {', '.join(absent)}")
    return f"{len(PROGRAMS)} programs"


@check(GROUP, "gcc: C")
def c(context: Context) -> str:
    script = _work("c") + f"gcc -O2 -Wall -Werror -pthread {PROBES}/c.c -o c; ./c; gcc -dumpfullversion"
    lines = context.bash(script).out.splitlines()
    triple = context.run("gcc", "-dumpmachine").out.strip()
    require(triple.endswith(context.image.arch.triple.split("-", 1)[1]), f"gcc makes programs for {triple}")
    return f"GCC {lines[1]}: {lines[0]}"


@check(GROUP, "g++: C++20, exceptions through a shared library, threads", weight=4)
def cxx(context: Context) -> str:
    script = _work("cxx") + (
        # 2a and not 20: GCC 9 knows no other name
        f"g++ -std=c++2a -O2 -Wall -fPIC -shared {PROBES}/cxx_throw.cpp -o libthrow.so; "
        f"g++ -std=c++2a -O2 -Wall -pthread {PROBES}/cxx.cpp -L. -lthrow -Wl,-rpath,$PWD -o cxx; ./cxx"
    )
    return context.bash(script).last


@check(GROUP, "link-time optimisation", weight=4)
def lto(context: Context) -> str:
    script = _work("lto") + (
        f"g++ -std=c++2a -O2 -flto -fPIC -c {PROBES}/cxx_throw.cpp -o throw.o; gcc-ar rc libthrow.a throw.o; "
        f"g++ -std=c++2a -O2 -flto -pthread {PROBES}/cxx.cpp -L. -lthrow -o cxx; ./cxx"
    )
    return context.bash(script).last


@check(GROUP, "static programs")
def static(context: Context) -> str:
    script = (
        _work("static") + f"gcc -O2 -static -pthread {PROBES}/c.c -o c; ./c; readelf -lW c | grep -c INTERP || true"
    )
    lines = context.bash(script).out.splitlines()
    same("interpreters that a static program asks for", lines[-1], "0")
    return lines[0]


@check(GROUP, "floating point")
def floating_point(context: Context) -> str:
    """Without and with optimisation: both the compiler's arithmetic and the processor's (or emulator's)."""
    build = f"gcc -std=gnu11 -frounding-math {PROBES}/fp.c -lm"
    script = _work("fp") + "".join(f"{build} {level} -o fp{level}; ./fp{level}; " for level in ("-O0", "-O2", "-O3"))
    return context.bash(script).last


@check(GROUP, "autotools and libtool", weight=6)
def autotools(context: Context) -> str:
    script = _work("autotools") + (
        f"cp {PROBES}/hello/* .; mkdir m4; autoreconf --install; ./configure --prefix=$PWD/out; "
        "make -j2; make install; out/bin/hello"
    )
    return context.bash(script).last


@check(GROUP, "CMake with Ninja, and with make", weight=4)
def cmake(context: Context) -> str:
    script = _work("cmake") + "".join(
        f"cmake -S {PROBES}/hello -B {name} -G '{generator}'; cmake --build {name}; ctest --test-dir {name}; "
        for name, generator in (("ninja", "Ninja"), ("make", "Unix Makefiles"))
    )
    return context.bash(script + "make/main").last


@check(GROUP, "pkg-config")
def pkg_config(context: Context) -> str:
    script = "pkg-config --modversion zlib; pkg-config --libs zlib"
    version, libraries = context.bash(script).out.splitlines()
    same("pkg-config --libs zlib", libraries.split(), ["-lz"])
    return f"zlib {version}"


@check(GROUP, "git")
def git(context: Context) -> str:
    script = _work("git") + (
        "export HOME=$PWD; git init -q .; git config user.name smoke; git config user.email smoke@localhost; "
        "echo 1 >file; git add file; git commit -qm one; git describe --always >/dev/null; git clone -q . ../git/copy; "
        "cat copy/file; git --version"
    )
    return context.bash(script).last
