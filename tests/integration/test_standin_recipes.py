"""The stand-in's packages in real containers: installed by real apk, then used for what the images use them for."""

import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from musllinux.matrix import load
from standin import control
from standin.catalogue import load_data
from standin.state import BaseImage, State

pytestmark = [pytest.mark.integration, pytest.mark.needs("engine", "apt"), pytest.mark.timeout(2400)]

# Where each program must be found; Alpine's own places, so that busybox's are covered.
PROGRAMS = {
    "ls --version": "/bin/ls",
    "uname -a": "/bin/uname",
    "sort --version": "/usr/bin/sort",
    "sha256sum --version": "/usr/bin/sha256sum",
    "find --version": "/usr/bin/find",
    "xargs --version": "/usr/bin/xargs",
    "diff --version": "/usr/bin/diff",
    "patch --version": "/usr/bin/patch",
    "file --version": "/usr/bin/file",
    "git --version": "/usr/bin/git",
    "curl --version": "/usr/bin/curl",
    "unzip -v": "/usr/bin/unzip",
    "zstd --version": "/usr/bin/zstd",
    "bzip2 -ck /etc/passwd": "/usr/bin/bzip2",
    "m4 --version": "/usr/bin/m4",
    "perl -MPOSIX -MFile::Copy -MData::Dumper -we 1": "/usr/bin/perl",
    "autoconf --version": "/usr/bin/autoconf",
    "automake --version": "/usr/bin/automake",
    "libtoolize --version": "/usr/bin/libtoolize",
    "bison --version": "/usr/bin/bison",
    "make --version": "/usr/bin/make",
    "bash --version": "/bin/bash",
    "tar --version": "/bin/tar",
    "xz --version": "/usr/bin/xz",
    "gcc --version": "/usr/bin/gcc",
    "g++ --version": "/usr/bin/g++",
    "ld --version": "/usr/bin/ld",
    "readelf --version": "/usr/bin/readelf",
    "clang --version": "/usr/bin/clang",
    "ld.lld --version": "/usr/bin/ld.lld",
    "llvm-ar --version": "/usr/bin/llvm-ar",
    "llvm-strip --version": "/usr/bin/llvm-strip",
    "pkg-config --version": "/usr/bin/pkg-config",
}
RUNTIME = (
    "libbz2 gdbm libffi libgfortran libformw libmenuw mpdecimal ncurses-libs libpanelw readline sqlite-libs"
    " libstdc++ libuuid xz-libs zstd-libs"
)


@dataclass(frozen=True)
class Box:
    """A running container with every package in it."""

    name: str
    state: State

    def run(self, script: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        command = ["docker", "exec", self.name, "sh", "-euc", textwrap.dedent(script)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)

    def says(self, script: str, timeout: int = 600) -> str:
        done = self.run(script, timeout)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def state() -> Iterator[State]:
    """The stand-in as the user has it; stopped afterwards unless it ran before."""
    ran = control.status().running
    yield control.up(control.Options(), print)
    if not ran:
        control.down()


def alpine(state: State, role: str, origin: str) -> BaseImage:
    return next(base for base in state.bases if (base.role, base.origin) == (role, origin))


def started(state: State, base: BaseImage, packages: str) -> Iterator[Box]:
    key = Path(state.key)
    release = next(each for each in state.bases if each.role == "build").release
    options = ["--network", "host", "-v", f"{key}:/etc/apk/keys/{key.name}:ro"]
    command = ["docker", "run", "--rm", "--detach", *options, base.reference, "sleep", "3600"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    box = Box(name, state)
    places = " ".join(f"-X {state.mirror}/v{release}/{name}" for name in ("main", "community"))
    try:
        box.says(f"apk --repositories-file /dev/null {places} --no-progress add {packages}")
        yield box
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@pytest.fixture(scope="module", params=["build", "quicksand"])
def box(request: pytest.FixtureRequest, state: State) -> Iterator[Box]:
    """Everything the images ask for, on the base that images are built on and on the newest one (apk 3)."""
    build = next(base for base in state.bases if base.role == "build")
    base = build if request.param == "build" else alpine(state, "trial", "quicksand")
    matrix = load(Path(__file__).resolve().parents[2] / "matrix.yaml")
    # Rust's packages go into a root of their own, another release's (templates/stages/rust.j2)
    apart = {*matrix.rust.packages, *matrix.rust.builder} - {*matrix.packages.system, *matrix.packages.native}
    wanted = set(load_data("wanted.yaml")["packages"]) - set(state.lacks["musllinux_1_2/x86_64"]) - apart
    yield from started(state, base, " ".join(sorted(wanted | {"libpanelw"})))


@pytest.fixture(scope="module")
def floor(state: State) -> Iterator[Box]:
    """The oldest Alpine of the policy (musl 1.2.2), with the run-time libraries alone."""
    base = next((each for each in state.bases if each.version.startswith("3.13.")), None)
    if base is None:
        pytest.skip("no minirootfs of Alpine 3.13 here (see shared/minirootfs)")
    yield from started(state, base, RUNTIME)


def test_every_program_starts_from_alpines_place_in_any_environment(box: Box) -> None:
    for command, place in PROGRAMS.items():
        program = command.split()[0]
        assert box.says(f"command -v {program}").strip() == place
        box.says(f"env -i {place}{command.removeprefix(program)} </dev/null >/dev/null")
        said = box.run(f"LC_ALL=en_US.UTF-8 LD_LIBRARY_PATH=/usr/lib:/lib {command} </dev/null >/dev/null")
        assert (said.returncode, said.stderr) == (0, ""), command


def test_c_is_compiled_in_every_way(box: Box) -> None:
    said = box.says("""
        cd "$(mktemp -d)"
        cat >a.c <<'END'
        #include <limits.h>
        #include <linux/version.h>
        #include <pthread.h>
        #include <stdatomic.h>
        #include <stdio.h>
        int main(void) { puts("hello"); return 0; }
        END
        for how in -O2 -flto -static -static-pie -no-pie "-flto -static" "-O3 -g3 -fopenmp-simd"; do
          gcc $how a.c -o a 2>/dev/null
          ./a
        done
        gcc -flto -c a.c && gcc-ar rcs liba.a a.o && gcc-nm a.o | grep -q ' T main' && gcc -flto -Wl,-u,main liba.a -o b
        ./b
        gcc -dumpmachine
        gcc -print-multiarch
        """)
    assert said == "hello\n" * 8 + "x86_64-alpine-linux-musl\n\n"


CXX = """
cat >a.cc <<'END'
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <format>
#include <fstream>
#include <iostream>
#include <locale>
#include <mutex>
#include <random>
#include <ranges>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <thread>
int main() {
  try { throw std::runtime_error("thrown"); } catch (const std::exception &e) { std::cout << e.what() << "\\n"; }
  std::thread([] { std::cout << std::format("thread {}\\n", 42); }).join();
  std::condition_variable cv; std::mutex m; std::unique_lock lock(m); cv.wait_for(lock, std::chrono::milliseconds(2));
  std::timed_mutex timed; (void)timed.try_lock_for(std::chrono::milliseconds(1));
  std::ostringstream text; text.imbue(std::locale::classic()); text << 1.5; std::cout << text.str() << "\\n";
  std::cout << std::filesystem::exists("/etc/alpine-release") << std::regex_match("aab", std::regex("a+b")) << "\\n";
  std::random_device device; return device() == device() && device() == device();
}
END
"""
CXX_SAYS = "thrown\nthread 42\n1.5\n11\n"


@pytest.mark.parametrize("how", ["g++ -O2", "g++ -O2 -flto", "g++ -static-libgcc", "clang++ -O1 -fuse-ld=lld"])
def test_cxx20_with_exceptions_threads_locales_and_files(box: Box, how: str) -> None:
    said = box.says(f'cd "$(mktemp -d)"{CXX}{how} -std=c++20 a.cc -o a 2>/dev/null && ./a')
    assert said == CXX_SAYS


@pytest.mark.parametrize("compiler", ["gcc", "clang", "clang -fuse-ld=lld -flto=thin"])
def test_binaries_ask_for_alpines_libc_and_loader_and_nothing_else(box: Box, compiler: str) -> None:
    said = box.says(f"""
        cd "$(mktemp -d)"; echo 'int main(void) {{ return 0; }}' >a.c
        {compiler} a.c -o a && ./a
        readelf -d a | grep -E 'NEEDED|RPATH|RUNPATH'
        readelf -l a | grep interpreter
        """)
    assert [line.split("[")[1] for line in said.splitlines()] == [
        "libc.musl-x86_64.so.1]",
        "Requesting program interpreter: /lib/ld-musl-x86_64.so.1]",
    ]


def test_clang_compiles_against_a_sysroot_with_everything_from_it(box: Box) -> None:
    said = box.says(f"""
        mkdir -p /sysroot && tar -C / -cf - bin lib usr | tar -C /sysroot -xf -
        cd "$(mktemp -d)"{CXX}
        cross="clang++ --target=x86_64-alpine-linux-musl --sysroot=/sysroot -fuse-ld=lld -std=c++20"
        $cross -M a.cc | tr ' ' '\\n' | grep '^/' | grep -v -e '^/sysroot/' -e '^/opt/standin/zig/lib/include/' || true
        $cross a.cc -o a -lz -lssl -lncursesw
        rm -rf /sysroot
        ./a
        """)
    assert said == CXX_SAYS


def test_git_commits_clones_and_reaches_for_https(box: Box) -> None:
    said = box.run("""
        cd "$(mktemp -d)"; export HOME=$PWD
        git init -q one; cd one; git config user.email a@example.org; git config user.name A
        echo text >file; git add file; git commit -qm first; cd ..
        git clone -q "file://$PWD/one" two; cat two/file
        git -C two log --format=%s
        git ls-remote https://127.0.0.1:1/none.git
        """)
    assert said.stdout == "text\nfirst\n"
    assert "onnect" in said.stderr  # git-remote-https ran and found nobody there


def test_update_ca_certificates_adds_a_local_authority_and_leaves_out_an_unwanted_one(box: Box) -> None:
    said = box.says("""
        before=$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)
        mkdir -p /usr/local/share/ca-certificates
        printf -- '-----BEGIN CERTIFICATE-----\\nlocal\\n' >/usr/local/share/ca-certificates/local.crt
        unwanted=$(cd /usr/share/ca-certificates && echo mozilla/*.crt | cut -d' ' -f1)
        update-ca-certificates; all=$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)
        echo "!$unwanted" >/etc/ca-certificates.conf
        update-ca-certificates; less=$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)
        rm /etc/ca-certificates.conf /usr/local/share/ca-certificates/local.crt; update-ca-certificates
        grep -c local /usr/local/share/ca-certificates/* || true
        echo $((all - less)) $((before > 100)); ls /etc/ssl/certs/*.crt
        """)
    assert said.splitlines()[-2:] == ["1 1", "/etc/ssl/certs/ca-certificates.crt"]


SAMPLE = """
cat >configure.ac <<'END'
AC_INIT([sample], [1.0])
AC_CONFIG_AUX_DIR([build-aux])
AC_CONFIG_MACRO_DIRS([m4])
AM_INIT_AUTOMAKE([foreign])
LT_INIT
AC_PROG_CC
AC_PROG_YACC
PKG_CHECK_MODULES([ALL], [libffi liblzma sqlite3 zlib openssl ncursesw readline libmpdec uuid libzstd bzip2])
AC_CHECK_FUNC([statx])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
END
cat >Makefile.am <<'END'
ACLOCAL_AMFLAGS = -I m4
AM_CFLAGS = $(ALL_CFLAGS)
lib_LTLIBRARIES = libsample.la
libsample_la_SOURCES = sample.c grammar.y
libsample_la_LIBADD = $(ALL_LIBS) -lgdbm -lffi
bin_PROGRAMS = program
program_SOURCES = program.c
program_LDADD = libsample.la
END
cat >sample.c <<'END'
#include <stdio.h>
#include <bzlib.h>
#include <curses.h>
#include <term.h>
#include <ffi.h>
#include <gdbm.h>
#include <lzma.h>
#include <mpdecimal.h>
#include <openssl/ssl.h>
#include <readline/readline.h>
#include <sqlite3.h>
#include <uuid/uuid.h>
#include <zlib.h>
#include <zstd.h>
static void twice(ffi_cif *cif, void *result, void **arguments, void *data) {
  *(ffi_arg *)result = 2 * *(int *)arguments[0];
}
static int through_ffi(void) {
  ffi_cif cif; ffi_type *types[] = {&ffi_type_sint}; void *code;
  ffi_closure *closure = ffi_closure_alloc(sizeof *closure, &code);
  if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 1, &ffi_type_sint, types) != FFI_OK) return 0;
  if (ffi_prep_closure_loc(closure, &cif, twice, NULL, code) != FFI_OK) return 0;
  return ((int (*)(int))code)(21);
}
int sample(void) {
  sqlite3 *db; uuid_t id; char text[64];
  uuid_generate(id);
  GDBM_FILE dbm = gdbm_open("/tmp/sample.gdbm", 0, GDBM_NEWDB, 0600, NULL);
  int bad = !dbm || sqlite3_open(":memory:", &db)
    || sqlite3_exec(db, "create virtual table t using fts5(x); create table r(x)", NULL, NULL, NULL)
    || !SSL_CTX_new(TLS_client_method()) || !BZ2_bzlibVersion() || !lzma_version_number() || !ZSTD_versionNumber()
    || !zlibVersion() || !curses_version() || !rl_library_version || !mpd_version() || setupterm("xterm", 1, NULL);
  printf("%s %d\\n", bad ? "bad" : "good", through_ffi());
  (void)text;
  return bad;
}
END
cat >grammar.y <<'END'
%{
int yylex(void);
void yyerror(const char *);
%}
%token A
%%
s: A;
%%
int yylex(void) { return 0; }
void yyerror(const char *text) { (void)text; }
END
printf 'int sample(void);\\nint main(void) { return sample(); }\\n' >program.c
autoreconf -fi >log 2>&1 || { cat log; exit 1; }
./configure --prefix=/usr >log 2>&1 || { tail -n 30 log config.log; exit 1; }
make -j2 >log 2>&1 || { tail -n 30 log; exit 1; }
make install DESTDIR=/tmp/sample >log 2>&1
"""


def test_an_autotools_project_with_a_library_finds_every_package_and_runs(box: Box) -> None:
    said = box.says(f"""cd "$(mktemp -d)"{SAMPLE}
        cp -a /tmp/sample/usr/lib/libsample.so* /usr/lib/
        /tmp/sample/usr/bin/program
        readelf -d /tmp/sample/usr/lib/libsample.so | grep -cE 'RPATH|RUNPATH' || true
        """)
    assert said == "good 42\n0\n"


def test_the_run_time_libraries_resolve_on_the_oldest_alpine(floor: Box) -> None:
    said = floor.says("""
        for package in $(cat /etc/apk/world); do apk info -qL "$package"; done \
            | sed -n 's,^usr/lib/lib.*[.]so[.].*,/&,p' | sort -u >/tmp/libraries
        while read -r file; do ldd "$file"; done </tmp/libraries 2>&1 | grep -i error || true
        wc -l </tmp/libraries
        """)
    assert int(said) > len(RUNTIME.split())


FORTRAN = """
cat >a.f90 <<'END'
program a
  use, intrinsic :: ieee_arithmetic
  real(16) :: wide
  wide = sqrt(2.0_16)
  if (ieee_is_finite(wide)) write (*, '(f12.8, 1x, a)') real(wide, 8), trim("quad")
end program
END
"""


def test_fortran_with_quadruple_precision(box: Box) -> None:
    assert box.says(f'cd "$(mktemp -d)"{FORTRAN}gfortran -O2 a.f90 -o a\n./a') == "  1.41421356 quad\n"


def test_no_package_has_a_path_of_this_machine_or_an_undefined_newer_symbol(box: Box) -> None:
    said = box.says(f"""
        newer='preadv2|pwritev2|statx|qsort_r|pthread_getname_np'
        # the base's own libraries may need what its own musl has (libapk of 3.23 does)
        for package in {RUNTIME}; do apk info -qL "$package"; done | sed -n 's,^usr/lib/.*[.]so[.].*,/&,p' >/tmp/ours
        for file in $(cat /tmp/ours); do
          if readelf --dyn-syms -W "$file" | grep -E "UND +($newer)"; then echo "$file"; fi
        done
        test "$(wc -l </tmp/ours)" -ge 20
        grep -rlE '/(root|tmp|work)/' /usr/lib/pkgconfig /usr/bin/*-config || true
        """)
    assert said == ""


@pytest.mark.slow
def test_cpythons_configure_finds_every_library(box: Box) -> None:
    version = max(box.state.archives, key=lambda text: [int(part) for part in text.split(".")])
    archive = f"{box.state.python}/{version}/{box.state.archives[version]['file']}"
    said = box.says(
        f"""
        cd "$(mktemp -d)"; curl -sSf {archive} | tar -xJf - --strip-components=1
        ./configure --with-dbmliborder=gdbm:ndbm --with-system-libmpdec >log 2>&1 || {{ tail -n 30 log; exit 1; }}
        sed -n 's/^checking for stdlib extension module \\(.*\\)\\.\\.\\. /\\1 /p' log
        """,
        timeout=1800,
    )
    found = dict(line.rsplit(" ", 1) for line in said.splitlines())
    modules = "_bz2 _ctypes _curses _curses_panel _dbm _decimal _gdbm _hashlib _lzma _sqlite3 _ssl _uuid readline zlib"
    assert {name: found.get(name) for name in modules.split()} == dict.fromkeys(modules.split(), "yes")
