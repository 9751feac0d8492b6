"""What must not be in a finished image: leftovers of the build, of the stand-in, of CPython's own tests."""

from musllinux.model import OPT, Interpreter
from musllinux.smoke.containers import Container
from musllinux.smoke.context import Context
from musllinux.smoke.registry import check, interpreters, require, same

GROUP = "contents"
# Words in what tells extensions how to be built that only the cross build can have left (images/files/build).
TRACES = (
    r"/sysroot|/build-python|/usr/src/python|/b/|/out/|[^/[:alnum:]_-]clang|"
    r"mno-omit-leaf-frame-pointer|--target=|-fuse-ld="
)
CONFIGURATION = (
    "lib/python*/_sysconfigdata_*.py",
    "lib/python*/_sysconfig_vars_*.json",
    "lib/python*/build-details.json",
    "lib/python*/config-*/Makefile",
    "lib/pkgconfig/*.pc",
    "bin/python*-config",
)


def _none(context: Context, kind: str, *tests: str) -> str:
    """No path may match any of these tests of find, in a container in which nothing else has run."""
    wanted = " -o ".join(f"\\( {test} \\)" for test in tests)
    with context.fresh() as container:
        command = f"find / -xdev \\( -path /proc -o -path /sys \\) -prune -o \\( {wanted} \\) -print"
        found = container.run("sh", "-c", command, log=context.log).out.splitlines()
    shown = found[:20] + ([f"… and {len(found) - 20} more"] if len(found) > 20 else [])  # noqa: PLR2004
    require(not found, "\n".join([f"{kind}: {len(found)}", *shown]))
    return "none"


@check(GROUP, "no bytecode, no caches")
def caches(context: Context) -> str:
    names = ("*.pyc", "__pycache__", ".wh.*")
    places = ("/root/.cache", "/var/cache/apk/?*")
    tests = [*(f"-name '{name}'" for name in names), *(f"-path '{place}'" for place in places)]
    return _none(context, "bytecode and caches", *tests)


@check(GROUP, "no tests of CPython")
def tests(context: Context) -> str:
    names = "-type d -name test", "-name '_testcapi*.so'", "-name 'xxlimited*.so'"
    library = f"-path '{OPT}/cpython-*/lib/python*' ! -path '*/site-packages/*'"
    return _none(context, "tests", *(f"{library} {name}" for name in names))


@check(GROUP, "no leftovers of the build")
def leftovers(context: Context) -> str:
    places = ("/tmp/?*", "/b", "/out", "/pending", "/sysroot", "/rootfs", "/run/secrets")  # noqa: S108
    return _none(context, "leftovers", "-name 'libpython*.a'", *(f"-path '{place}'" for place in places))


@check(GROUP, "no trace of the cross build", each=interpreters)
def traces(context: Context, python: Interpreter) -> str:
    prefix = python.prefix
    files = " ".join(f"{prefix}/{pattern}" for pattern in CONFIGURATION)
    # comments of CPython's own Makefile speak of clang and are no trace, nor is emscripten's own …/clang in its rules
    comment = r"^[^:]*:[0-9]+:\s*#"
    script = f"grep -HnE '{TRACES}' {files} 2>/dev/null | grep -vE '{comment}' | cut -c1-300 | head -n 40 || true"
    found = context.run("sh", "-c", script).out.splitlines()
    require(not found, "\n".join(found))
    return "sysconfig, Makefile, pkg-config, python-config"


@check(GROUP, "apk's repositories and keys are the base's own")
def supply(context: Context) -> str:
    """Users' `apk add` must reach Alpine; no key of a stand-in may be trusted, no URL of a build remain."""
    base = context.image.base.reference
    script = (
        "cat /etc/apk/repositories; cd /etc/apk/keys && sha256sum * | sort; ls -A /etc/apk/repositories.d 2>/dev/null"
    )
    with context.fresh(image=base) as plain, context.fresh() as ours:
        expected, found = (c.run("sh", "-c", script, log=context.log, check=False).out for c in (plain, ours))
    same("repositories and keys", found.splitlines(), expected.splitlines())
    return f"{sum('.rsa.pub' in line for line in found.splitlines())} keys"


@check(GROUP, "installed packages are consistent")
def installed(context: Context) -> str:
    """apk's own database: nothing broken, every wanted package there."""
    with context.fresh() as container:
        _audit(context, container)
        names = container.run("apk", "info", log=context.log).out.split()
    absent = sorted(set(context.image.system_packages) - set(names) - _provided(context, names))
    require(not absent, f"not installed: {', '.join(absent)}")
    return f"{len(names)} packages"


def _audit(context: Context, container: Container) -> None:
    # a simulated upgrade of nothing makes apk check its whole dependency graph, without any repository
    argv = ["apk", "add", "--simulate", "--no-network", "--repositories-file", "/dev/null"]
    container.run(*argv, log=context.log)


def _provided(context: Context, names: list[str]) -> set[str]:
    """Wanted names that another package provides (ninja by samurai, for one)."""
    wanted = [name for name in context.image.system_packages if name not in names]
    found = set()
    for name in wanted:
        if context.run("apk", "info", "--installed", name, check=False).code == 0:
            found.add(name)
    return found
