"""scrub.py OUT PREFIX: let no trace of the cross build remain in what builds extensions.

sysconfig's data, the installed Makefile, pkg-config files and python-config must describe the finished image: its own
gcc, no sysroot, no build folder, none of clang's own flags (gcc rejects some on some architectures). Anything left is
an error, so that a new CPython release cannot slip a path through.
"""

import pathlib
import re
import sys

# Flags configure adds because it saw clang; gcc of some architecture refuses each of them.
CLANG_ONLY = ("-mno-omit-leaf-frame-pointer", "-Wno-unknown-warning-option", "-Wunreachable-code")
TRACES = ("/sysroot", "/build-python", "/cross/bin", "/usr/src/python", "--target=", "-fuse-ld", "/b/")
RULES = [
    (re.compile(r"\s*'?--with-build-python=[^\s']*'?"), ""),
    (
        re.compile(r"\s*'?(?:--(?:build|host)|CONFIG_SITE|PKG_CONFIG_LIBDIR|PKG_CONFIG_SYSROOT_DIR)=[^\s']*'?"),
        "",
    ),
    (re.compile(r"\s*'(?:CPPFLAGS|LDFLAGS|build_alias|host_alias)=[^']*'"), ""),
    (re.compile(r"(?:\s|(?<=['\"=]))-(?:I|L|isystem ?)/sysroot[^\s'\"]*"), ""),
    (re.compile(r"(?:" + "|".join(map(re.escape, CLANG_ONLY)) + r")(?=[\s'\"]|$)", re.M), ""),
    (re.compile(r"/build-python/python[0-9.]*"), "python3"),
    (re.compile(r"/build-python[^\s'\"]*"), ""),
    (re.compile(r"/sysroot(?=/)"), ""),
    (re.compile(r"[\w-]+-readelf\b"), "readelf"),
    (re.compile(r"/usr/src/python"), "."),
]
PATTERNS = (
    "lib/python*/_sysconfigdata_*.py",
    "lib/python*/_sysconfig_vars_*.json",
    "lib/python*/build-details.json",
    "lib/python*/config-*/Makefile",
    "lib/python*/config-*/python-config.py",
    "lib/pkgconfig/*.pc",
    "bin/python*-config",
)


def scrub(text):
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return text


def main(out, prefix):
    root = pathlib.Path(out + prefix)
    left = []
    for path in sorted({p for pattern in PATTERNS for p in root.glob(pattern) if not p.is_symlink()}):
        text = scrub(path.read_text())
        path.write_text(text)
        for number, line in enumerate(text.splitlines(), 1):
            left += [f"{path}:{number}: {trace} in: {line.strip()[:160]}" for trace in TRACES if trace in line]
    if left:
        sys.exit("traces of the cross build are left:\n" + "\n".join(left))


if __name__ == "__main__":
    main(*sys.argv[1:])
