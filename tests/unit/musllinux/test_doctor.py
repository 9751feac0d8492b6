from pathlib import Path

import pytest

from musllinux import doctor
from musllinux.doctor import Verdict
from musllinux.engine import Candidate

MEMINFO = "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:   {} kB\n"


def candidate(path: str, version: str, buildx: str = "") -> Candidate:
    return Candidate(path=Path(path), version=version, buildx=buildx, verdict=f"Docker {version}")


def test_the_docker_that_builds_is_marked_and_the_others_are_not_hidden() -> None:
    found = list(doctor.docker_commands([candidate("/a/docker", "28.2.2"), candidate("/b/docker", "20.10.24")]))
    assert [(f.verdict, f.seen) for f in found[:2]] == [
        (Verdict.NOTE, "/a/docker: Docker 28.2.2 (not used)"),
        (Verdict.OK, "/b/docker: Docker 20.10.24 (builds with it)"),
    ]
    assert (found[2].name, found[2].verdict) == ("buildx", Verdict.NOTE)


def test_no_docker_that_builds_is_lacking_with_its_remedy() -> None:
    last = list(doctor.docker_commands([candidate("/a/docker", "28.2.2")]))[-1]
    assert (last.verdict, last.seen) == (Verdict.LACKS, "no docker command that can use BuildKit")
    assert "docker.io" in last.remedy


def handler(folder: Path, text: str) -> None:
    (folder / "qemu-aarch64").write_text(text)


def test_a_registered_emulator_is_shown_with_its_version(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'qemu-aarch64 version 7.2.22 (Debian 1:7.2)'\n")
    program.chmod(0o755)
    handler(tmp_path, f"enabled\ninterpreter {program}\nflags: OPF\n")
    found = doctor.emulator("aarch64", tmp_path)
    assert (found.verdict, found.seen) == (Verdict.OK, f"{program}, qemu-aarch64 version 7.2.22")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("disabled\ninterpreter /q\nflags: F\n", "disabled"),
        ("enabled\ninterpreter /q\nflags: OP\n", "without the F flag"),
        ("enabled\ninterpreter /no/such/qemu\nflags: OPF\n", "version unknown"),
    ],
)
def test_an_emulator_that_will_not_do_says_why(tmp_path: Path, text: str, said: str) -> None:
    handler(tmp_path, text)
    assert said in doctor.emulator("aarch64", tmp_path).seen


def test_an_emulator_that_is_not_registered_names_the_remedy(tmp_path: Path) -> None:
    found = doctor.emulator("aarch64", tmp_path)
    assert (found.verdict, found.seen) == (Verdict.NOTE, "not registered")
    assert "make emulators" in found.remedy


def test_what_the_processor_runs_itself_needs_no_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = [f.name for f in doctor.emulators({"x86_64", "i386", "s390x"}, "x86_64", tmp_path)]
    assert found == ["emulator s390x"]


def test_uses_on_one_disk_are_one_line(tmp_path: Path) -> None:
    found = list(doctor.disks({"downloads": tmp_path / "not" / "yet", "records": tmp_path}))
    assert len(found) == 1
    assert "downloads, records" in found[0].seen


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000, Verdict.LACKS), (8_000_000, Verdict.OK)])
def test_memory_is_what_is_available(free: int, verdict: Verdict) -> None:
    assert doctor.memory(MEMINFO.format(free)).verdict is verdict


def test_a_certificate_bundle_is_looked_into(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    assert doctor.certificates({}).verdict is Verdict.OK
    assert doctor.certificates({"SSL_CERT_FILE": str(bundle)}).seen.endswith("no certificates in PEM form")
    bundle.write_text("-----BEGIN CERTIFICATE-----\n" * 2)
    assert doctor.certificates({"SSL_CERT_FILE": str(bundle)}).seen == f"SSL_CERT_FILE={bundle}, 2 certificates"


def test_a_remedy_stands_under_what_it_is_for() -> None:
    shown = list(doctor.lines([doctor.Finding(name="x", verdict=Verdict.LACKS, seen="nothing", remedy="get it")]))
    assert shown == ["lacks  x: nothing", "       -> get it"]
