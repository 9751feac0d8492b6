"""A PEP 517 backend small enough to travel inside a project: extension modules, no dependency, no network.

Describes itself in extension.json beside pyproject.toml: name, version, package, module, sources, language (c or c++),
flags. The compiler and its options are the interpreter's own (sysconfig), as setuptools would take them. With `crate`,
a folder with a Cargo.toml, cargo's cdylib becomes a second module of the package. CPython 3.9+.
"""

import base64
import hashlib
import json
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

Settings = "dict[str, object] | None"


def get_requires_for_build_wheel(config_settings: Settings = None) -> "list[str]":  # noqa: ARG001
    return []


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    raise NotImplementedError("this sample is built from its folder: python -m build --wheel")


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,  # noqa: ARG001
    metadata_directory: "str | None" = None,  # noqa: ARG001
) -> str:
    project = json.loads(Path("extension.json").read_text())
    stem = f"{project['package']}-{project['version']}"
    name = f"{stem}-{_tag()}.whl"
    with tempfile.TemporaryDirectory() as folder:
        binaries = [_compile(project, Path(folder))]
        if "crate" in project:
            binaries.append(_cargo(project["crate"], Path(folder)))
        files = {f"{project['package']}/{p.name}": p.read_bytes() for p in [*_modules(project), *binaries]}
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    files[f"{stem}.dist-info/METADATA"] = metadata.encode()
    wheel = f"Wheel-Version: 1.0\nGenerator: extension_backend\nRoot-Is-Purelib: false\nTag: {_tag()}\n"
    files[f"{stem}.dist-info/WHEEL"] = wheel.encode()
    record = [f"{path},{_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{stem}.dist-info/RECORD"] = "\n".join([*record, f"{stem}.dist-info/RECORD,,", ""]).encode()
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return name


def _tag() -> str:
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"{version}-{version}{threaded}-{platform}"


def _modules(project: "dict[str, str]") -> "list[Path]":
    return sorted(Path("src", project["package"]).glob("*.py"))


def _words(*variables: str) -> "list[str]":
    return [word for name in variables for word in shlex.split(sysconfig.get_config_var(name) or "")]


def _compile(project: "dict[str, object]", folder: Path) -> Path:
    plus = project["language"] == "c++"
    include = f"-I{sysconfig.get_path('include')}"
    target = folder / f"{project['module']}{sysconfig.get_config_var('EXT_SUFFIX')}"
    objects = []
    for source in project["sources"]:  # type: ignore[attr-defined]
        objects.append(str(folder / (Path(source).name + ".o")))
        compiler = _words("CXX" if plus else "CC")
        options = [*_words("CFLAGS", "CCSHARED"), *project["flags"]]  # type: ignore[misc]
        # C-only warnings of the interpreter's own flags would be noise in C++
        options = [o for o in options if not (plus and o in ("-Wstrict-prototypes", "-std=c99", "-std=c11"))]
        _run([*compiler, *options, include, "-c", source, "-o", objects[-1]])
    linker = _words("LDCXXSHARED" if plus and sysconfig.get_config_var("LDCXXSHARED") else "LDSHARED")
    if plus:
        linker = [*_words("CXX"), *linker[len(_words("CC")) :]]
    _run([*linker, *objects, "-o", str(target), *(["-pthread"])])
    return target


def _cargo(crate: str, folder: Path) -> Path:
    """The crate's cdylib, named as an extension module of this interpreter."""
    threaded = ["--cfg=free_threaded"] if sysconfig.get_config_var("Py_GIL_DISABLED") else []
    command = ["cargo", "rustc", "--release", "--offline", f"--manifest-path={crate}/Cargo.toml"]
    command += [f"--target-dir={folder / 'target'}", "--message-format=json-render-diagnostics", "--", *threaded]
    print("+", " ".join(map(shlex.quote, command)), flush=True)
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = [json.loads(line) for line in said.splitlines() if '"compiler-artifact"' in line]
    made = next(Path(each["filenames"][0]) for each in artifacts if "cdylib" in each["target"]["kind"])
    return made.rename(folder / f"{made.stem.removeprefix('lib')}{sysconfig.get_config_var('EXT_SUFFIX')}")


def _run(command: "list[str]") -> None:
    print("+", " ".join(map(shlex.quote, command)), flush=True)
    subprocess.run(command, check=True)


def _digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
