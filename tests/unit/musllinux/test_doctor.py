import datetime as dt
import email.utils
import io
import platform
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from elftools.elf.elffile import ELFFile

from musllinux import doctor, emulation, engine, reachable, realrun, web
from musllinux.doctor import Verdict
from musllinux.engine import Candidate
from musllinux.settings import from_args

from .factory import shipped
from .server import Answer, free_port, serving

REGISTERS = "make emulators ARCH=aarch64"
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


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'qemu-aarch64 version 7.2.22 (Debian 1:7.2)'\n")
    program.chmod(0o755)
    handler(tmp_path, f"enabled\ninterpreter {program}\nflags: OPF\n")
    return program


def test_a_registered_emulator_is_shown_with_its_version_after_a_real_run(
    registered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realrun, "run", lambda _: "")
    found = doctor.emulator("aarch64", REGISTERS, binfmt=registered.parent)
    assert (found.verdict, found.seen) == (Verdict.OK, f"{registered}, qemu-aarch64 version 7.2.22, runs a program")


def test_an_emulator_that_runs_nothing_is_no_emulator(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realrun, "run", lambda _: "a program of it does not start: Exec format error")
    found = doctor.emulator("aarch64", REGISTERS, binfmt=registered.parent)
    assert found.verdict is Verdict.NOTE
    assert found.seen.endswith("but a program of it does not start: Exec format error")
    assert found.remedy == "`make emulators ARCH=aarch64 AGAIN=1` registers it anew"


@pytest.mark.parametrize(("since", "verdict"), [("7.3", Verdict.NOTE), ("7.2", Verdict.OK), (None, Verdict.OK)])
def test_an_emulator_that_computes_wrong_is_told_by_its_version(
    registered: Path, monkeypatch: pytest.MonkeyPatch, since: str | None, verdict: Verdict
) -> None:
    monkeypatch.setattr(realrun, "run", lambda _: "")
    found = doctor.emulator("aarch64", REGISTERS, since, registered.parent)
    assert found.verdict is verdict
    if since == "7.3":
        assert "7.2.22, which computes wrong there: 7.3 is the first that does not" in found.seen
        assert "qemu-user 7.3 or newer, then `make emulators ARCH=aarch64 AGAIN=1`" in found.remedy


def test_the_matrixs_version_is_what_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(realrun, "run", lambda _: "")
    monkeypatch.setattr(emulation, "qemu_version", lambda _: "qemu-ppc64le version 6.2.0")
    (tmp_path / "qemu-ppc64le").write_text("enabled\ninterpreter /q\nflags: OPF\n")
    found = {f.name: f for f in doctor.emulators(shipped().architectures, "x86_64", binfmt=tmp_path)}
    assert "computes wrong there: 7.0 is" in found["emulator ppc64le"].seen


def test_the_command_of_a_remedy_names_the_overlays_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    overlays = [Path("/my/a.yaml"), Path("/b.yaml")]
    found = list(doctor.emulators(shipped().architectures, "x86_64", overlays, tmp_path))
    assert "`make emulators MATRIX='/my/a.yaml /b.yaml' ARCH=armv7l` registers it" in found[1].remedy


@pytest.mark.parametrize("name", sorted({arch.qemu for arch in shipped().architectures.values()} | {"riscv64"}))
def test_every_architectures_program_is_an_executable_of_it_and_runs_where_this_machine_can(name: str) -> None:
    facts = yaml.safe_load((Path(realrun.__file__).with_name("exits.yaml")).read_text())[name]
    elf = ELFFile(io.BytesIO(realrun.executable(facts)))
    assert (elf.elfclass, elf.little_endian) == (facts["bits"], facts["endian"] == "little")
    (segment,) = elf.iter_segments()
    start = elf.header["e_entry"] - segment["p_vaddr"]
    assert segment.data()[start:].hex() == facts["code"].replace(" ", "")
    if name == platform.machine() or not emulation.handler(name).problem:
        assert realrun.run(name) == ""


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
    assert said in doctor.emulator("aarch64", REGISTERS, binfmt=tmp_path).seen


def test_an_emulator_that_is_not_registered_names_the_remedy(tmp_path: Path) -> None:
    found = doctor.emulator("aarch64", REGISTERS, binfmt=tmp_path)
    assert (found.verdict, found.seen) == (Verdict.NOTE, "not registered")
    assert "make emulators" in found.remedy


def test_what_the_processor_runs_itself_needs_no_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = [f.name for f in doctor.emulators(shipped().architectures, "x86_64", binfmt=tmp_path)]
    assert found == [f"emulator {name}" for name in ("aarch64", "arm", "ppc64le", "s390x")]


def test_uses_on_one_disk_are_one_line(tmp_path: Path) -> None:
    found = list(doctor.disks({"downloads": tmp_path / "not" / "yet", "records": tmp_path}))
    assert len(found) == 1
    assert "downloads, records" in found[0].seen


@pytest.mark.parametrize(("free", "verdict"), [(1_000_000, Verdict.LACKS), (8_000_000, Verdict.OK)])
def test_memory_is_what_is_available(free: int, verdict: Verdict) -> None:
    assert doctor.memory(MEMINFO.format(free)).verdict is verdict


def test_a_certificate_bundle_is_looked_into(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    pem = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    assert doctor.certificates({"SSL_CERT_FILE": str(bundle)}).seen == f"SSL_CERT_FILE={bundle}: no such file"
    bundle.write_text("nothing")
    assert doctor.certificates({"SSL_CERT_FILE": str(bundle)}).verdict is Verdict.LACKS
    bundle.write_text(pem.format("A") + pem.format("B"))
    assert doctor.certificates({"SSL_CERT_FILE": str(bundle)}).seen == f"SSL_CERT_FILE={bundle}, 2 certificates"
    assert doctor.certificates({}).verdict in (Verdict.OK, Verdict.NOTE)


# --- the sources ----------------------------------------------------------------------------------------------------


def asked(monkeypatch: pytest.MonkeyPatch, *urls: str) -> dict[str, doctor.Finding]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    wanted = [reachable.Source(name=str(number), url=url) for number, url in enumerate(urls)]
    monkeypatch.setattr(reachable, "sources", lambda _: wanted)
    return {f.name: f for f in doctor.network(from_args(Namespace()))}


def test_a_source_that_answers_is_shown_with_its_time_and_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        server.answers["/x"] = Answer()
        server.answers["/v2/"] = Answer(status=401)
        with_password = server.url.replace("://", "://me:s3cret@")
        found = asked(monkeypatch, f"{with_password}/x", f"{server.url}/v2/")
    assert [f.verdict for f in found.values()] == [Verdict.OK, Verdict.OK]
    assert "s3cret" not in found["source of 0"].seen
    assert "answers in" in found["source of 0"].seen


def test_a_source_that_cannot_be_had_is_noted_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:
        server.answers["/503"] = Answer(status=503)
        found = asked(monkeypatch, f"http://127.0.0.1:{free_port()}/", f"{server.url}/gone", f"{server.url}/503")
    assert {f.verdict for f in found.values()} == {Verdict.NOTE}
    assert "not reachable" in found["source of 0"].seen
    assert found["source of 1"].seen == "the server answers 404"
    assert found["source of 2"].seen == "the server answers 503"
    assert all(f.remedy for f in found.values())


@pytest.mark.parametrize(("hours", "said"), [(-3, "3.0 hours ahead of"), (3, "3.0 hours behind"), (0.1, "")])
def test_a_clock_that_is_wrong_is_seen_by_the_servers_dates(
    monkeypatch: pytest.MonkeyPatch, hours: float, said: str
) -> None:
    there = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours))
    with serving() as server:
        server.answers["/"] = Answer(headers={"Date": there})
        monkeypatch.setattr(web, "_answer", dated(there))
        found = asked(monkeypatch, f"{server.url}/")
    assert ("clock" in found) == bool(said)
    if said:
        assert said in found["clock"].seen
        assert found["clock"].verdict is Verdict.LACKS


def dated(date: str) -> Callable[..., Any]:
    """http.server writes a Date of its own before the answer's: this one says only the one given."""

    @contextmanager
    def answer(*_: object, **__: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(status_code=200, headers={"Date": date})

    return answer


def test_the_sources_are_the_matrixs_and_pips() -> None:
    found = {s.name: s.url for s in reachable.sources(shipped(), {"PIP_INDEX_URL": "https://index.example/simple/"})}
    assert found == {
        "packages": "https://dl-cdn.alpinelinux.org/alpine/v3.22/main/x86_64/APKINDEX.tar.gz",
        "CPython": "https://www.python.org/ftp/python/",
        "base images": "https://registry-1.docker.io/v2/",
        "Python tools": "https://index.example/simple/pip/",
    }


def test_what_is_not_locked_is_noted_with_the_command_that_locks_it() -> None:
    found = doctor.locked(from_args(Namespace()))
    assert found.verdict in (Verdict.OK, Verdict.NOTE)
    assert found.verdict is Verdict.OK or "musllinux lock" in found.remedy


def test_an_engine_without_buildkit_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> engine.Client:
        raise engine.EngineError("no docker command on PATH", hint="x")

    monkeypatch.setattr(engine, "find_client", none)
    found = doctor.buildkit()
    assert (found.verdict, found.seen) == (Verdict.LACKS, "no docker command on PATH")


def test_a_remedy_stands_under_what_it_is_for() -> None:
    shown = list(doctor.lines([doctor.Finding(name="x", verdict=Verdict.LACKS, seen="nothing", remedy="get it")]))
    assert shown == ["lacks  x: nothing", "       -> get it"]
