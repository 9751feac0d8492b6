"""The floor by construction (docs/floor.md): what the linker sees, what the interpreters need, what projects get."""

from collections.abc import Collection

from muslabi import database
from musllinux.model import Interpreter
from musllinux.smoke.containers import Container
from musllinux.smoke.context import HOME, Context
from musllinux.smoke.registry import check, interpreters, require, same

GROUP = "floor"
FALLBACK = f"{HOME}/fallback"  # the sample project, built: a folder for each build system
STUB = "/usr/lib/musllinux/floor/libc.so"
NEWEST = "/usr/lib/musllinux/newest"
# Functions whose absence projects know how to live with; which of them a libc is too old for, the libcs say.
TELLING = {"statx": "sys/stat.h", "qsort_r": "stdlib.h", "preadv2": "sys/uio.h", "pwritev2": "sys/uio.h"}


def _exports(context: Context, library: str) -> set[str]:
    lines = context.run("nm", "-D", "--defined-only", "--format=posix", library).out.splitlines()
    return {line.split()[0].partition("@")[0] for line in lines if line}


def _floor(context: Context) -> Collection[str]:
    """What the policy's oldest musl exports, by the symbol database: not by what is in the image."""
    return database.load().exports(context.image.arch.name, context.image.policy.floor)


def newer(context: Context) -> set[str]:
    """Names that the image's own libc exports and its floor does not."""

    def find() -> set[str]:
        return _exports(context, f"{NEWEST}/libc.so") - _exports(context, STUB)

    return context.shared.get("newer than the floor", find)


def _telling(context: Context) -> list[str]:
    return sorted(newer(context) & set(TELLING))


@check(GROUP, "the linker sees the floor's libc")
def stub(context: Context) -> str:
    status = context.run("musllinux-floor", "status").out.strip()
    require(status.startswith("on:"), f"musllinux-floor says {status}")
    same("the floor's version", status.rsplit(" ", 1)[1], context.image.policy.floor)
    same("/usr/lib/libc.so", context.run("readlink", "/usr/lib/libc.so").out.strip(), STUB)
    dynamic = context.run("readelf", "-dW", STUB).out
    require(f"[{context.image.arch.libc}]" in dynamic, f"the stub's SONAME is not {context.image.arch.libc}")
    seen, real = _exports(context, STUB), _exports(context, f"{NEWEST}/libc.so")
    require(not seen - real, f"the stub has names that no libc here has: {', '.join(sorted(seen - real)[:9])}")
    beyond = seen.difference(_floor(context))
    require(
        not beyond, f"the stub has names newer than musl {context.image.policy.floor}: {', '.join(sorted(beyond)[:9])}"
    )
    return f"{len(seen)} of {len(real)} names; newer: {', '.join(_telling(context)) or 'none that matters'}"


def _links(container: Container, context: Context, name: str, env: dict[str, str] | None = None) -> bool:
    """Whether a program that declares and calls `name` links: what Meson and autoconf do to find out."""
    source = f"char {name}(void); int main(void) {{ return {name}(); }}\n"
    argv = ["gcc", "-fno-builtin", "-w", "-x", "c", "-", "-o", f"/root/links-{name}"]
    return not container.run(*argv, stdin=source.encode(), log=context.log, env=env, check=False).code


@check(GROUP, "newer functions do not link; the switch brings them back", weight=3)
def switch(context: Context) -> str:
    names = _telling(context)
    with context.fresh() as container:
        results = []
        for state in ("on", "off", "on"):
            container.run("musllinux-floor", state, log=context.log)
            results.append([name for name in [*names, "qsort"] if _links(container, context, name)])
        own = {"LIBRARY_PATH": NEWEST}
        one = [name for name in names if _links(container, context, name, env=own)]
        heeded = NEWEST in container.run("gcc", "-print-search-dirs", log=context.log, env=own).out
    same("what links with the floor on, off, on again", results, [["qsort"], [*names, "qsort"], ["qsort"]])
    # GCC reads LIBRARY_PATH where it is a native compiler: in foreign images the stand-in has a cross compiler
    require(heeded or not context.image.supply.publishable, "gcc does not read LIBRARY_PATH")
    same("what links with LIBRARY_PATH (for one command)", one, names if heeded else [])
    if not names:
        return "the image's libc is the floor's own"
    return f"{', '.join(names)} refused; found with the floor off; refused again"


def _fallback(context: Context, system: str, build: str) -> str:
    folder = f"{FALLBACK}-{system}"
    script = f'rm -rf "$1"; cp -r {HOME}/wheels/fallback "$1"; cd "$1"; {build}; ./fallback'
    said = context.bash(script, folder).last
    same("what the program was built with", said, fallback_says(_floor(context)))
    return said


def fallback_says(libc: Collection[str]) -> str:
    """What the sample project's program prints where libc has these names: whether it found each that it asks for."""
    return " ".join(f"{name}={'yes' if name in libc else 'no'}" for name in ("statx", "qsort_r", "preadv2"))


@check(GROUP, "configure finds what the floor has, and the fallback is compiled", weight=5)
def configure(context: Context) -> str:
    return _fallback(context, "configure", "autoreconf --install; ./configure; make")


@check(GROUP, "CMake likewise", weight=4)
def cmake(context: Context) -> str:
    return _fallback(context, "cmake", "cmake -S . -B b -G Ninja; cmake --build b; cp b/fallback .")


@check(GROUP, "every file of it needs no newer libc", each=interpreters, weight=3)
def files(context: Context, python: Interpreter) -> str:
    """Against the two libcs themselves: a strong undefined name that only the image's own libc has is a fault."""
    script = """cd "$1"; find . -type f \\( -name "*.so*" -o -perm -100 -path "./bin/*" \\) | while read -r file; do
        if [ "$(head -c 4 "$file" | tail -c 3)" = ELF ]; then
            echo "$file:"; nm -D --undefined-only --format=posix "$file"
        fi
    done"""
    wrong, count, file = [], 0, ""
    for line in context.bash(script, python.prefix).out.splitlines():
        words = line.split()
        if len(words) == 1 and line.endswith(":"):
            file, count = line[:-1], count + 1
        elif len(words) > 1 and words[1] == "U" and words[0] in newer(context):  # lower-case w: weak, optional
            wrong.append(f"{file} needs {words[0]}")
    require(count > 10, f"only {count} ELF files were found")  # noqa: PLR2004
    require(not wrong, "\n".join(wrong))
    return f"{count} files"
