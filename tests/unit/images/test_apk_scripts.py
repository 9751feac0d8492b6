"""apk-pending.sh and apk-scripts.sh: what `apk --no-scripts` left undone is found, on made-up databases, and done."""

import base64
import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from . import scripts


def sha1(package: str) -> bytes:
    """A package's identity. That of "slash" has a slash in base64, as a third of all have."""
    digest = hashlib.sha1(package.encode(), usedforsecurity=False).digest()
    return b"\xff\xff\xff" + digest[3:] if package.startswith("slash") else digest.replace(b"\xff", b"\x00")


def base64_name(package: str) -> str:
    return f"Q1{base64.b64encode(sha1(package)).decode()}"


def hex_name(package: str) -> str:
    return f"X1{sha1(package).hex()}"


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a version of apk keeps its database."""

    folder: str = "lib/apk/db"
    archive: str = "scripts.tar"
    hexadecimal: bool = False


APK2 = Style()
APK3 = Style(archive="scripts.tar.gz", hexadecimal=True)
MERGED = Style(folder="usr/lib/apk/db", archive="scripts.tar.gz", hexadecimal=True)
STYLES = [pytest.param(APK2, id="apk2"), pytest.param(APK3, id="apk3"), pytest.param(MERGED, id="merged-usr")]


@dataclass(kw_only=True)
class Package:
    """name-version, its scripts by kind, and the directories it watches."""

    id: str
    scripts: Mapping[str, str] = field(default_factory=dict)
    watches: str = ""


def root_with(place: Path, style: Style, *packages: Package, end: str = "\n") -> Path:
    """A root with a database of these packages."""
    folder = place / style.folder
    folder.mkdir(parents=True)
    (folder / "installed").write_text("".join(f"P:{p.id}\n\n" for p in packages))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for package in packages:
            for kind, text in package.scripts.items():
                checksum = hex_name(package.id) if style.hexadecimal else base64_name(package.id)
                info = tarfile.TarInfo(f"{package.id}.{checksum}.{kind}")
                info.size, info.mode = len(text), 0o755
                tar.addfile(info, io.BytesIO(text.encode()))
    content = buffer.getvalue()
    (folder / style.archive).write_bytes(gzip.compress(content) if style.archive.endswith("gz") else content)
    lines = [f"{base64_name(p.id)} {p.watches}" for p in packages if p.watches]
    (folder / "triggers").write_text("\n".join(lines) + (end if lines else ""))
    return place


def sh(script: str, *args: Path | str) -> subprocess.CompletedProcess[str]:
    return scripts.sh(scripts.BUILD / script, *args)


def pending(root: Path, base: Path, out: Path) -> dict[str, str]:
    """The names and texts of what is pending."""
    done = sh("apk-pending.sh", root, base, out)
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name: path.read_text() for path in sorted(out.iterdir())}


OLD = Package(
    id="busybox-1.36.1-r29", scripts={"post-install": "old", "trigger": "links"}, watches="/bin /lib/modules/*"
)
NEW = Package(
    id="ca-certificates-20240705-r0", scripts={"trigger": "bundle", "post-deinstall": "x"}, watches="/etc/ssl"
)
BASH = Package(id="bash-5.2.37-r0", scripts={"pre-install": "before", "post-install": "after", "post-upgrade": "x"})
SLASH = Package(id="slash-1.0-r0", scripts={"post-install": "nested", "trigger": "slashed"}, watches="/usr/share/x")


def test_the_made_up_package_has_a_slash_in_its_checksum() -> None:
    assert "/" in base64_name(SLASH.id)
    assert "/" not in base64_name(BASH.id)


@pytest.mark.parametrize("style", STYLES)
def test_scripts_of_new_packages_and_every_trigger_with_its_directories_are_pending(
    tmp_path: Path, style: Style
) -> None:
    base = root_with(tmp_path / "base", style, OLD)
    root = root_with(tmp_path / "root", style, OLD, NEW, BASH, SLASH)
    assert pending(root, base, tmp_path / "out") == {
        "bash-5.2.37-r0.post-install": "after",
        "bash-5.2.37-r0.pre-install": "before",
        "busybox-1.36.1-r29.dirs": "/bin /lib/modules/*\n",
        "busybox-1.36.1-r29.trigger": "links",
        "ca-certificates-20240705-r0.dirs": "/etc/ssl\n",
        "ca-certificates-20240705-r0.trigger": "bundle",
        "slash-1.0-r0.dirs": "/usr/share/x\n",
        "slash-1.0-r0.post-install": "nested",
        "slash-1.0-r0.trigger": "slashed",
    }


@pytest.mark.parametrize("style", STYLES)
def test_a_package_in_a_newer_version_is_a_new_one(tmp_path: Path, style: Style) -> None:
    newer = Package(id="busybox-1.36.1-r30", scripts=OLD.scripts)
    base, root = root_with(tmp_path / "base", style, OLD), root_with(tmp_path / "root", style, newer)
    assert pending(root, base, tmp_path / "out") == {"busybox-1.36.1-r30.post-install": "old"}


def test_an_apk_that_changes_its_database_on_the_way_is_understood(tmp_path: Path) -> None:
    """The base is as Alpine's builders left it; its own apk may write the newer form."""
    base, root = root_with(tmp_path / "base", APK2, OLD), root_with(tmp_path / "root", APK3, BASH)
    assert set(pending(root, base, tmp_path / "out")) == {"bash-5.2.37-r0.pre-install", "bash-5.2.37-r0.post-install"}


def test_a_list_of_triggers_without_a_last_newline_is_read_to_its_end(tmp_path: Path) -> None:
    base = root_with(tmp_path / "base", APK2)
    root = root_with(tmp_path / "root", APK2, NEW, end="")
    assert "ca-certificates-20240705-r0.trigger" in pending(root, base, tmp_path / "out")


def test_a_root_without_scripts_or_triggers_has_nothing_pending(tmp_path: Path) -> None:
    base, root = root_with(tmp_path / "base", APK2, OLD), root_with(tmp_path / "root", APK2, OLD)
    (root / "lib/apk/db/scripts.tar").unlink()
    assert pending(root, base, tmp_path / "out") == {}
    again = root_with(tmp_path / "again", APK2, BASH)
    (again / "lib/apk/db/triggers").unlink()
    assert len(pending(again, base, tmp_path / "more")) == 2


def test_a_root_without_a_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    done = sh("apk-pending.sh", tmp_path / "root", tmp_path / "root", tmp_path / "out")
    assert done.returncode == 1
    assert f"no apk database below {tmp_path}/root" in done.stderr


def test_what_is_pending_can_be_run_and_read_by_everybody(tmp_path: Path) -> None:
    base, root = root_with(tmp_path / "base", APK2), root_with(tmp_path / "root", APK2, BASH, NEW)
    pending(root, base, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert path.stat().st_mode & 0o555 == 0o555


# --- running them ---------------------------------------------------------------------------------------------------


def scripted(folder: Path, **scripts: str) -> Path:
    """A folder of pending scripts; each says its name, its arguments and where it runs."""
    folder.mkdir()
    for name, more in scripts.items():
        path = folder / name
        path.write_text(more if name.endswith(".dirs") else f'#!/bin/sh\necho "${{0##*/}} ran: $* in $(pwd)"\n{more}\n')
        path.chmod(0o755)
    return folder


def test_install_scripts_are_run_in_the_root_with_the_packages_version(tmp_path: Path) -> None:
    names = ["bash-5.2.37-r0", "ca-certificates-20240705-r12", "libstdc++-14.2.0-r4", "re2-2024.07.02-r0"]
    done = sh("apk-scripts.sh", scripted(tmp_path / "p", **{f"{name}.post-install": "" for name in names}))
    assert done.returncode == 0
    for name, version in zip(names, ["5.2.37-r0", "20240705-r12", "14.2.0-r4", "2024.07.02-r0"], strict=True):
        assert f"{name}.post-install ran: {version} in /\n" in done.stdout


def test_pre_install_comes_before_post_install_and_triggers_last(tmp_path: Path) -> None:
    folder = scripted(
        tmp_path / "p",
        **{
            "a-1-r0.post-install": "",
            "z-1-r0.pre-install": "",
            "a-1-r0.trigger": "",
            "a-1-r0.dirs": str(tmp_path),
        },
    )
    done = sh("apk-scripts.sh", folder)
    ran = [line.split()[0] for line in done.stdout.splitlines() if " ran: " in line]
    assert ran == ["z-1-r0.pre-install", "a-1-r0.post-install", "a-1-r0.trigger"]


def test_a_trigger_gets_the_directories_that_are_there(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "modules" / name).mkdir(parents=True)
    (tmp_path / "modules/file").write_text("")
    dirs = f"{tmp_path}/modules {tmp_path}/gone {tmp_path}/modules/*\n"
    done = sh("apk-scripts.sh", scripted(tmp_path / "p", **{"a-1-r0.trigger": "", "a-1-r0.dirs": dirs}))
    there = " ".join(f"{tmp_path}/{name}" for name in ("modules", "modules/one", "modules/two"))
    assert f"a-1-r0.trigger ran: {there} in /\n" in done.stdout


def test_a_trigger_whose_directories_are_all_missing_is_not_run(tmp_path: Path) -> None:
    dirs = f"{tmp_path}/gone\n"
    done = sh("apk-scripts.sh", scripted(tmp_path / "p", **{"a-1-r0.trigger": "", "a-1-r0.dirs": dirs}))
    assert (done.returncode, done.stdout) == (0, "")


def test_a_script_that_fails_is_warned_of_and_the_others_still_run(tmp_path: Path) -> None:
    folder = scripted(
        tmp_path / "p",
        **{
            "a-1-r0.post-install": "exit 3",
            "b-1-r0.post-install": "",
            "c-1-r0.trigger": "exit 4",
            "c-1-r0.dirs": str(tmp_path),
        },
    )
    done = sh("apk-scripts.sh", folder)
    assert done.returncode == 0
    assert "b-1-r0.post-install ran" in done.stdout
    assert done.stderr == "warning: a-1-r0.post-install exited 3\nwarning: c-1-r0.trigger exited 4\n"


def test_nothing_pending_is_nothing_done(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    done = sh("apk-scripts.sh", tmp_path / "p")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
