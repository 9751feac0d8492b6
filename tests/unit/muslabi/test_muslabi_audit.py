"""The verdicts: each rule with a file that breaks it and one that does not."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.unit.muslabi.elfmaker import MACHINES, Recipe, extension, make, wheel

from muslabi import Terms, WheelReport, audit_wheel
from muslabi.terms import Ignore, TermsError

TERMS = Terms(today=date(2026, 11, 1), standin=False)
EXT = "thing/x.so"


def audited(folder: Path, tag: str = "cp313-cp313-musllinux_1_2_x86_64", **properties: Any) -> WheelReport:
    """The report on a wheel of one extension module."""
    properties.setdefault("arch", tag.partition("musllinux_")[2][4:] or "x86_64")
    return audit_wheel(wheel(folder, {EXT: extension(**properties)}, tag), TERMS)


def codes(report: WheelReport) -> dict[str, str]:
    """Code -> severity, the offer of an older tag left out."""
    return {finding.code: finding.severity for finding in report.findings if finding.code != "retag"}


@pytest.mark.parametrize(
    ("name", "musl", "broken"),
    [
        ("statx", "1.2.5", ["3.13", "3.14", "3.15", "3.16", "3.17", "3.18", "3.19"]),
        ("qsort_r", "1.2.3", ["3.13", "3.14"]),
        ("posix_getdents", "1.2.6", [f"3.{minor}" for minor in range(13, 23)]),
    ],
)
def test_a_function_newer_than_the_floor_is_refused_with_the_releases_it_breaks_on(
    tmp_path: Path, name: str, musl: str, broken: list[str]
) -> None:
    report = audited(tmp_path, required=["malloc", name])
    assert report.verdict == "fail"
    assert report.needs_musl == musl
    finding = report.findings[0]
    assert (finding.code, finding.symbols) == ("symbol-too-new", (name,))
    assert list(finding.breaks_on) == [f"Alpine {version}" for version in broken]
    assert f"Alpine {broken[0]} - {broken[-1]}" in finding.message
    assert finding.remedy


def test_without_such_a_function_the_wheel_passes(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["malloc", "PyModule_Create2"])
    assert report.verdict == "pass"
    assert codes(report) == {}


def test_weak_undefined_symbols_set_no_requirement(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["malloc"], weak=["statx", "__cxa_thread_atexit_impl"])
    assert report.verdict == "pass"


def test_a_newer_floor_accepts_what_it_has(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension(required=["statx"])})
    assert audit_wheel(path, replace(TERMS, floor="1.2.5")).verdict == "pass"
    assert audit_wheel(path, replace(TERMS, floor="1.2.4")).verdict == "fail"


def test_a_floor_is_upstreams_release_not_a_distributions_backport(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension(required=["posix_getdents"])})
    report = audit_wheel(path, replace(TERMS, floor="1.2.5"))
    assert report.findings[0].breaks_on[0] == "musl 1.2.5"
    assert "Alpine 3.23" not in report.findings[0].breaks_on


def test_a_policy_can_be_asked_for_instead_of_the_tags(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension(required=["gettid"])})
    assert audit_wheel(path, TERMS).verdict == "pass"
    assert audit_wheel(path, replace(TERMS, policy="musllinux_1_1")).verdict == "fail"


def test_unknown_policies_floors_and_codes_are_named(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension()})
    with pytest.raises(TermsError, match="musllinux_1_1, musllinux_1_2"):
        audit_wheel(path, replace(TERMS, policy="musllinux_9_9"))
    with pytest.raises(TermsError, match=r"1\.1\.0 to"):
        audit_wheel(path, replace(TERMS, floor="1.2"))
    with pytest.raises(TermsError, match="time-mix"):
        Ignore.parse("nonsense")


def test_a_policy_of_the_tag_that_is_not_known_is_a_warning(tmp_path: Path) -> None:
    assert codes(audited(tmp_path, "cp313-cp313-musllinux_1_9_x86_64")) == {"unknown-policy": "warning"}


def test_a_withdrawn_lfs64_name_breaks_on_the_releases_that_cannot_resolve_it(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["posix_fallocate64", "open64"])
    finding = report.findings[0]
    assert (finding.code, finding.symbols) == ("symbol-withdrawn", ("posix_fallocate64",))
    assert finding.breaks_on == tuple(f"Alpine 3.{minor}" for minor in range(19, 24))


def test_glibc_names_are_refused_with_their_reason(tmp_path: Path) -> None:
    names = ["__cxa_thread_atexit_impl", "__memcpy_chk", "__isoc23_strtol"]
    report = audited(tmp_path, required=names)
    assert codes(report) == {"glibc-symbol": "error"}
    assert report.findings[0].symbols == tuple(sorted(names))
    assert "_FORTIFY_SOURCE" in report.findings[0].message
    assert (report.needs_musl, report.runs_on, report.files[0].alpine) == (None, (), ())
    assert "runs on no musl release" in report.to_text()


def test_a_glibc_name_that_a_library_of_the_wheel_gives_is_fine(tmp_path: Path) -> None:
    files = {
        EXT: extension(required=["__memcpy_chk"], needed=["libcompat.so"], rpath="$ORIGIN/../thing.libs"),
        "thing.libs/libcompat.so": make(Recipe(defined=["__memcpy_chk"], soname="libcompat.so")),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


def test_a_grafted_library_that_gives_a_new_function_lowers_the_need(tmp_path: Path) -> None:
    files = {
        EXT: extension(required=["qsort_r"], needed=["libq.so"], rpath="$ORIGIN"),
        "thing/libq.so": make(Recipe(defined=["qsort_r"])),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).needs_musl == "1.1.0"


def test_a_name_that_nothing_gives_is_refused(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["frobnicate"])
    assert codes(report) == {"unresolved-symbol": "error"}
    assert (report.needs_musl, report.runs_on) == (None, ())


def test_the_extension_gives_symbols_to_the_library_that_it_loads(tmp_path: Path) -> None:
    files = {
        EXT: extension(defined=["callback"], needed=["liba.so"], rpath="$ORIGIN"),
        "thing/liba.so": make(Recipe(required=["callback"])),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


def test_a_symbol_of_a_file_that_is_not_loaded_along_is_a_warning(tmp_path: Path) -> None:
    files = {EXT: extension(required=["helper"]), "thing/other.so": extension(defined=["helper"])}
    assert codes(audit_wheel(wheel(tmp_path, files), TERMS)) == {"symbol-elsewhere": "warning"}


def test_a_library_that_is_nowhere_is_refused_and_its_symbols_are_not_listed_twice(tmp_path: Path) -> None:
    report = audited(tmp_path, needed=["libgcc_s.so.1"], required=["_Unwind_Resume"])
    assert codes(report) == {"missing-library": "error"}
    assert report.findings[0].symbols == ("libgcc_s.so.1",)
    assert report.needs_musl == "1.1.0", "once the library is there"


def test_libz_comes_from_the_platform_as_the_policies_say(tmp_path: Path) -> None:
    assert audited(tmp_path, needed=["libz.so.1"], required=["inflate", "malloc"]).verdict == "pass"
    assert codes(audited(tmp_path, needed=["libz.so.1"], required=["ZSTD_compress"])) == {"unresolved-symbol": "error"}


def test_a_library_that_no_rpath_leads_to_is_a_warning(tmp_path: Path) -> None:
    files = {EXT: extension(needed=["liba.so"]), "thing.libs/liba.so": make(Recipe())}
    assert codes(audit_wheel(wheel(tmp_path, files), TERMS)) == {"unreachable-library": "warning"}


def test_an_rpath_serves_the_libraries_of_the_libraries_too(tmp_path: Path) -> None:
    files = {
        EXT: extension(needed=["liba.so"], rpath="${ORIGIN}/../thing.libs"),
        "thing.libs/liba.so": make(Recipe(needed=["libb.so"])),
        "thing.libs/libb.so": make(Recipe()),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


def test_files_of_the_data_folder_lie_beside_the_others_once_installed(tmp_path: Path) -> None:
    files = {
        "thing-1.0.data/platlib/thing/x.so": extension(needed=["liba.so"], rpath="$ORIGIN/../thing.libs"),
        "thing.libs/liba.so": make(Recipe()),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


def test_libpython_must_not_be_linked(tmp_path: Path) -> None:
    assert codes(audited(tmp_path, needed=["libpython3.13.so.1.0"])) == {"needs-libpython": "error"}


def test_glibc_linked_files_are_refused(tmp_path: Path) -> None:
    report = audited(tmp_path, needed=["libc.so.6"], versions={"libc.so.6": "GLIBC_2.17"})
    assert codes(report) == {"glibc-linked": "error"}
    assert "GLIBC_2.17" in report.findings[0].message


def test_libgccs_own_version_names_are_no_sign_of_glibc(tmp_path: Path) -> None:
    files = {
        EXT: extension(needed=["libgcc_s-1.so"], rpath="$ORIGIN", versions={"libgcc_s-1.so": "GLIBC_2.0"}),
        "thing/libgcc_s-1.so": make(Recipe()),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


def test_a_program_must_ask_for_musls_loader(tmp_path: Path) -> None:
    report = audit_wheel(wheel(tmp_path, {"thing/run": make(Recipe(interpreter="/lib64/ld-linux-x86-64.so.2"))}), TERMS)
    assert codes(report) == {"wrong-loader": "error"}


def test_a_libc_inside_a_library_is_refused_but_not_in_a_program(tmp_path: Path) -> None:
    musl = b"Illegal byte sequence\0Domain error\0Result not representable\0"
    report = audited(tmp_path, needed=[], text=musl)
    assert codes(report) == {"static-libc": "error"}
    files = {"thing/run": make(Recipe(needed=[], executable=True, text=musl))}
    program = audit_wheel(wheel(tmp_path, files), TERMS)
    assert program.verdict == "pass"
    assert (program.files[0].libc, program.needs_musl) == ("static-musl", None)


@pytest.mark.parametrize("arch", ["i686", "aarch64", "s390x"])
def test_a_file_for_another_processor_or_word_size_is_refused(tmp_path: Path, arch: str) -> None:
    report = audited(tmp_path, arch=arch)
    assert codes(report) == {"wrong-architecture": "error"}
    assert arch in report.findings[0].message


def test_a_file_for_a_processor_without_wheels_is_refused(tmp_path: Path) -> None:
    assert codes(audited(tmp_path, machine=258)) == {"wrong-architecture": "error"}


def test_soft_float_arm_is_refused(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_2_armv7l", flags=0x05000200)
    assert codes(report) == {"wrong-architecture": "error"}
    assert "soft-float" in report.findings[0].message


def test_relr_breaks_where_it_was_not_backported(tmp_path: Path) -> None:
    report = audited(tmp_path, relr=True)
    assert codes(report) == {"feature-relr": "error"}
    assert report.findings[0].breaks_on == ("Alpine 3.13", "Alpine 3.14")
    assert (report.needs_musl, report.because) == ("1.2.4", ("relr",))


def test_ifunc_runs_on_no_musl(tmp_path: Path) -> None:
    report = audited(tmp_path, relocations=[(37, "")])
    assert codes(report) == {"feature-ifunc": "error"}
    assert report.needs_musl is None


def test_tls_descriptors_depend_on_the_architecture(tmp_path: Path) -> None:
    aarch64 = [(min(MACHINES["aarch64"].tlsdesc), "")]
    armv7l = [(min(MACHINES["armv7l"].tlsdesc), "")]
    assert audited(tmp_path, "cp313-cp313-musllinux_1_2_aarch64", relocations=aarch64).verdict == "pass"
    assert audited(tmp_path, "cp313-cp313-musllinux_1_2_armv7l", relocations=armv7l).verdict == "pass"
    report = audited(tmp_path, "cp313-cp313-musllinux_1_2_riscv64", relocations=[(12, "")])
    assert codes(report) == {"feature-tlsdesc": "error"}


def test_an_empty_segment_breaks_before_1_2_3(tmp_path: Path) -> None:
    report = audited(tmp_path, empty_load=True)
    assert report.findings[0].breaks_on == ("Alpine 3.13", "Alpine 3.14", "Alpine 3.15")


def test_initial_exec_tls_is_refused_in_what_is_loaded_late_but_not_in_a_program(tmp_path: Path) -> None:
    assert codes(audited(tmp_path, relocations=[(18, "")])) == {"initial-exec-tls": "error"}
    files = {
        "thing/run": make(
            Recipe(
                executable=True, required=["state"], relocations=[(18, "state")], needed=["liba.so"], rpath="$ORIGIN"
            )
        ),
        "thing/liba.so": make(Recipe(tls=["state"], relocations=[(18, "state")])),
    }
    assert audit_wheel(wheel(tmp_path, files), TERMS).verdict == "pass"


@pytest.mark.parametrize("arch", ["i686", "armv7l"])
def test_time32_and_time64_in_one_file_is_a_mix(tmp_path: Path, arch: str) -> None:
    tag = f"cp313-cp313-musllinux_1_2_{arch}"
    report = audited(tmp_path, tag, required=["stat", "__clock_gettime64"])
    assert codes(report) == {"time-mix": "warning"}
    assert report.verdict == "warn"
    assert report.findings[0].symbols == ("stat", "__clock_gettime64")
    path = wheel(tmp_path, {EXT: extension(arch=arch, required=["stat", "__clock_gettime64"])}, tag)
    assert audit_wheel(path, replace(TERMS, strict_time64=True)).verdict == "fail"


@pytest.mark.parametrize(
    ("names", "abi"),
    [
        (["stat", "clock_gettime"], "time32"),
        (["__stat_time64", "__time64"], "time64"),
        (["malloc"], "none"),
        (["__dlsym_time64", "stat"], "time32"),
        (["stat64", "__time64"], "mixed"),
    ],
)
def test_which_time_t_a_file_speaks(tmp_path: Path, names: list[str], abi: str) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_2_i686", required=names)
    assert report.files[0].time_abi == abi
    assert ("time-mix" in codes(report)) == (abi == "mixed")


def test_a_time32_file_beside_a_time64_library_is_no_mix(tmp_path: Path) -> None:
    files = {
        EXT: extension(arch="i686", required=["stat"], needed=["libstdc++-1.so"], rpath="$ORIGIN"),
        "thing/libstdc++-1.so": make(Recipe(arch="i686", required=["__clock_gettime64"])),
    }
    assert audit_wheel(wheel(tmp_path, files, "cp313-cp313-musllinux_1_2_i686"), TERMS).verdict == "pass"


def test_weak_time_names_never_mix(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_2_i686", required=["stat"], weak=["__time64"])
    assert report.files[0].time_abi == "time32"


def test_sixty_four_bit_files_have_one_time_t(tmp_path: Path) -> None:
    assert audited(tmp_path, required=["stat"]).files[0].time_abi is None


def test_time_types_at_the_python_boundary_are_named(tmp_path: Path) -> None:
    report = audited(
        tmp_path, "cp313-cp313-musllinux_1_2_i686", required=["stat", "_PyTime_AsTimespec", "PyLong_AsLong"]
    )
    assert codes(report) == {"time-python-boundary": "warning"}
    assert "_PyTime_AsTimespec (struct timespec)" in report.findings[0].message


def test_on_1_1_no_time_t_is_right_for_every_interpreter(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_1_i686", required=["_PyTime_AsTimespec"])
    assert codes(report) == {"time-python-boundary": "warning"}


def test_a_time_structure_between_libraries_of_two_kinds_is_named(tmp_path: Path) -> None:
    name = "_ZN4tick4waitERK8timespec"
    files = {
        EXT: extension(arch="i686", required=["stat", name], needed=["libtick.so"], rpath="$ORIGIN"),
        "thing/libtick.so": make(Recipe(arch="i686", required=["__time64"], defined=[name])),
    }
    report = audit_wheel(wheel(tmp_path, files, "cp313-cp313-musllinux_1_2_i686"), TERMS)
    assert codes(report) == {"time-neighbour": "warning"}
    assert "struct timespec" in report.findings[0].message


def test_time64_names_do_not_fit_musllinux_1_1(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_1_i686", required=["__time64"])
    assert codes(report) == {"symbol-too-new": "error"}


def test_names_outside_the_stable_abi_are_a_warning_in_abi3_wheels_alone(tmp_path: Path) -> None:
    names = ["PyUnicode_AsUTF8", "PyLong_AsLong"]
    report = audited(tmp_path, "cp313-abi3-musllinux_1_2_x86_64", required=[*names, "_PyLong_AsByteArray"])
    assert codes(report) == {"abi3-outside": "warning"}
    assert audited(tmp_path, required=["_PyLong_AsByteArray"]).verdict == "pass"


def test_a_stable_name_younger_than_the_tags_python_is_refused(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp38-abi3-musllinux_1_2_x86_64", required=["PyModule_AddType"])
    assert codes(report) == {"abi3-too-new": "error"}
    assert "Python 3.10" in report.findings[0].message


def test_pypys_names_are_the_interpreters(tmp_path: Path) -> None:
    report = audited(tmp_path, "pp311-pypy311_pp73-musllinux_1_2_x86_64", required=["PyPyModule_New"])
    assert report.verdict == "pass"


def test_an_old_openssl_is_a_warning(tmp_path: Path) -> None:
    old = audited(tmp_path, text=b"\0OPENSSLDIR: \0OpenSSL 1.1.1w  11 Sep 2023\0")
    assert codes(old) == {"old-library": "warning"}
    assert ("OpenSSL", "1.1.1w") in old.files[0].libraries
    assert audited(tmp_path, text=b"\0OPENSSLDIR: \0OpenSSL 3.5.4 30 Sep 2025\0").verdict == "pass"


def test_toolchains_are_reported_from_what_is_not_loaded(tmp_path: Path) -> None:
    report = audited(tmp_path, comment=b"GCC: (Alpine 14.2.0) 14.2.0\0rustc version 1.90.0 (abc)\0")
    assert report.files[0].libraries == (("GCC", "14.2.0"), ("rustc", "1.90.0"))


def test_a_toolchain_named_in_what_is_loaded_is_not_the_files_own(tmp_path: Path) -> None:
    assert audited(tmp_path, text=b"GCC: (Alpine 14.2.0) 14.2.0\0").files[0].libraries == ()


def test_a_wheel_that_would_run_on_an_older_policy_is_told_the_retag(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["malloc"])
    finding = next(one for one in report.findings if one.code == "retag")
    assert finding.severity == "info"
    assert "wheel tags --platform-tag musllinux_1_1_x86_64 thing-1.0-" in finding.remedy


@pytest.mark.parametrize("properties", [{"required": ["gettid"]}, {"required": ["frobnicate"]}, {"relr": True}])
def test_no_retag_is_offered_where_it_would_not_be_safe(tmp_path: Path, properties: dict[str, Any]) -> None:
    assert "retag" not in {finding.code for finding in audited(tmp_path, **properties).findings}


def test_no_retag_is_offered_where_time_types_cross(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_2_i686", required=["_PyTime_AsTimespec"])
    assert report.findings == ()


def test_a_wheel_without_elf_files_passes(tmp_path: Path) -> None:
    report = audit_wheel(wheel(tmp_path, {"thing/a.py": b"pass\n"}), TERMS)
    assert (report.verdict, codes(report)) == ("pass", {"no-elf": "info"})


def test_a_wheel_for_another_platform_is_skipped(tmp_path: Path) -> None:
    path = wheel(tmp_path, {EXT: extension(needed=["libc.so.6"])}, "cp313-cp313-manylinux_2_28_x86_64")
    report = audit_wheel(path, TERMS)
    assert (report.verdict, codes(report)) == ("skip", {"not-musllinux": "info"})
    assert audit_wheel(path, replace(TERMS, policy="musllinux_1_2")).verdict == "fail"


def test_an_unrepaired_wheel_is_read_without_a_promise(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-linux_x86_64", arch="x86_64", required=["statx"])
    assert (report.verdict, report.promised_from, report.needs_musl) == ("pass", "", "1.2.5")


def test_a_finding_can_be_ignored_everywhere_or_in_some_files(tmp_path: Path) -> None:
    files = {EXT: extension(required=["statx"]), "other/y.so": extension(required=["statx"])}
    path = wheel(tmp_path, files)
    everywhere = audit_wheel(path, replace(TERMS, ignore=(Ignore.parse("symbol-too-new"),)))
    assert (everywhere.verdict, len(everywhere.ignored)) == ("pass", 2)
    partly = audit_wheel(path, replace(TERMS, ignore=(Ignore.parse("symbol-too-new=thing/*"),)))
    assert (partly.verdict, len(partly.ignored)) == ("fail", 1)


def test_a_stand_in_image_marks_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wheel(tmp_path, {EXT: extension()})
    monkeypatch.setenv("MUSLLINUX_STANDIN", "1")
    report = audit_wheel(path)
    assert report.standin
    assert codes(report) == {"standin-built": "warning"}
    assert "not for publishing" in report.to_text()
    monkeypatch.delenv("MUSLLINUX_STANDIN")
    assert not audit_wheel(path).standin


def test_a_damaged_library_is_refused_and_damaged_test_data_is_not(tmp_path: Path) -> None:
    bad = b"\x7fELF" + bytes(100)
    assert codes(audit_wheel(wheel(tmp_path, {"a/libx.so.1": bad}), TERMS)) == {"unreadable-elf": "error"}
    report = audit_wheel(wheel(tmp_path, {"a/corpus.bin": bad}), TERMS)
    assert report.findings[0].severity == "info"


def test_object_files_are_not_loaded_and_set_no_requirement(tmp_path: Path) -> None:
    data = bytearray(make(Recipe(required=["statx"])))
    data[16] = 1  # ET_REL
    assert audit_wheel(wheel(tmp_path, {"a/x.o": bytes(data)}), TERMS).verdict == "pass"


def test_text_names_are_harmless_to_a_terminal(tmp_path: Path) -> None:
    report = audited(tmp_path, required=["evil\x1b[31m\u202ename"])
    assert "\x1b" not in report.to_text()
    assert "evil\\x1b[31m\\u202ename" in report.to_text()


def test_a_newer_tag_is_the_remedy_where_one_would_do(tmp_path: Path) -> None:
    report = audited(tmp_path, "cp313-cp313-musllinux_1_1_x86_64", required=["gettid"])
    assert report.findings[0].remedy == "tag it musllinux_1_2, which promises nothing older than Alpine 3.13"
    assert "no tag can say it" in audited(tmp_path, required=["statx"]).findings[0].remedy
