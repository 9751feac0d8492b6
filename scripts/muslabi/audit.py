"""The audit: a bundle's files, each studied and put to the rules, and the verdict over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from muslabi import rules, time64
from muslabi.archive import DEFAULT_LIMITS, Limits
from muslabi.bundle import Bundle, Member, read_wheel
from muslabi.database import AlpineRelease, Database, load
from muslabi.findings import Finding, find
from muslabi.needs import Needs, every_release, study
from muslabi.report import FileReport, WheelReport
from muslabi.scope import Scope, is_libc
from muslabi.stableabi import rule_stable_abi
from muslabi.tags import policy_minor
from muslabi.terms import Promise, Terms, from_release, promise

_GRAFTED = re.compile(r"[^/]+\.libs/|.+-[0-9a-f]{8}\.so")


class _Study:
    """Everything that is known of a bundle before the rules speak."""

    def __init__(self, bundle: Bundle, terms: Terms, database: Database) -> None:
        self.bundle, self.terms, self.database = bundle, terms, database
        self.promise: Promise = promise(bundle, terms, database)
        self.scope = Scope(bundle)
        self.loadable = [m for m in bundle.members if m.elf.kind != "object"]
        studies = (study(member, self.scope, database) for member in self.loadable)
        self.needs: list[Needs] = [one for one in studies if one is not None]
        uses = ((m.path, time64.use(m, database)) for m in self.loadable)
        self.time = {path: use for path, use in uses if use is not None}

    def breaks(self, release: AlpineRelease) -> bool:
        return any(needs.breaks(self.database, release) for needs in self.needs)


def audit(bundle: Bundle, terms: Terms, database: Database | None = None) -> WheelReport:
    """The report on a bundle. Raises TermsError for terms that do not exist, ScopeError for a hostile tangle."""
    database = database or load()
    terms.check(database)
    studied = _Study(bundle, terms, database)
    skipped = bundle.wheel is not None and not (bundle.wheel.arches or terms.policy or terms.floor)
    if skipped:
        found = [find("not-musllinux", "", f"is tagged {', '.join(bundle.wheel.platforms if bundle.wheel else ())}")]
    else:
        found = [*bundle.findings, *_findings(studied)]
    kept: list[Finding] = []
    ignored: list[Finding] = []
    for one in found:
        (ignored if any(ignore.matches(one) for ignore in terms.ignore) else kept).append(one)
    return _report(studied, kept, ignored, skipped)


def audit_wheel(path: str | Path, terms: Terms | None = None, limits: Limits = DEFAULT_LIMITS) -> WheelReport:
    """The report on the wheel at `path`, held to its own tags unless `terms` say otherwise.

    Raises WheelError and TagError for what is no readable wheel, TermsError for terms that do not exist.
    """
    return audit(read_wheel(Path(path), limits), terms or Terms())


def _findings(studied: _Study) -> Iterator[Finding]:
    for member in studied.loadable:
        yield from rules.rule_architecture(member, studied.bundle)
        yield from rules.rule_age(member, studied.terms)
    for needs in studied.needs:
        yield from _file_findings(needs, studied)
    yield from _bundle_findings(studied)


def _file_findings(needs: Needs, studied: _Study) -> Iterator[Finding]:
    bundle, promised, database = studied.bundle, studied.promise, studied.database
    strict = studied.terms.strict_time64
    yield from rules.rule_libc(needs, database, promised, bundle)
    yield from rules.rule_symbols(needs, promised, database)
    yield from rules.rule_features(needs, promised, database)
    yield from rules.rule_initial_exec(needs, studied.scope)
    yield from rules.rule_unknown(needs, bundle)
    yield from rules.rule_libraries(needs, bundle, studied.scope)
    yield from rule_stable_abi(needs, bundle)
    uses = studied.time.get(needs.member.path)
    if uses is not None:
        either = any(policy_minor(name) < (1, 2) for name in promised.policies)
        yield from time64.rule_mix(needs, uses, strict)
        yield from time64.rule_boundary(needs, uses, strict, either=either)
        yield from time64.rule_neighbour(needs, studied.time, studied.scope, strict)


def _bundle_findings(studied: _Study) -> Iterator[Finding]:
    for name in studied.promise.unknown:
        known = ", ".join(studied.database.policies)
        yield find("unknown-policy", "", f"is tagged {name}; known: {known}")
    if studied.terms.standin:
        yield find("standin-built", "", "was audited, and so built, inside a stand-in image")
    unreadable = any(finding.code == "unreadable-elf" for finding in studied.bundle.findings)
    if not studied.bundle.members and not unreadable:
        yield find("no-elf", "", "has no ELF file: nothing here depends on a libc")
    elif not unreadable:
        yield from _retag(studied)


def _retag(studied: _Study) -> Iterator[Finding]:
    """The oldest policy below the tag's on all of whose releases every file runs."""
    wheel, database = studied.bundle.wheel, studied.database
    if wheel is None or not wheel.policies or not _sound(studied):
        return
    oldest = policy_minor(wheel.policies[0])
    for policy in database.policies.values():
        systems = from_release(database, policy.alpine)
        if policy_minor(policy.name) < oldest and not any(map(studied.breaks, systems)):
            tag = ".".join(f"{policy.name}_{arch}" for arch in wheel.arches)
            text = f"runs from {systems[0].name} on: {policy.name} would be as true, and reach more systems"
            command = f"python -m wheel tags --platform-tag {tag} {studied.bundle.source}"
            yield find("retag", "", text, remedy=command)
            return


def _sound(studied: _Study) -> bool:
    """Whether nothing but musl's age could keep the files from running somewhere."""
    crossing = any(
        True
        for needs in studied.needs
        if needs.member.path in studied.time
        for _ in time64.rule_boundary(needs, studied.time[needs.member.path], False, either=True)
    )
    return not crossing and not any(
        needs.unknown or needs.outside or _libc(needs.member) == "glibc" for needs in studied.needs
    )


def _libc(member: Member) -> str:
    elf = member.elf
    if rules.glibc_signs(member):
        return "glibc"
    if any(map(is_libc, elf.needed)) or (elf.kind == "shared" and elf.required):
        return "musl"
    return f"static-{member.libc_inside}" if member.libc_inside else "none"


def _file_report(member: Member, needs: Needs | None, studied: _Study) -> FileReport:
    database = studied.database
    uses = studied.time.get(member.path)
    libc = _libc(member)
    runs = [r.version for r in database.releases if needs and not needs.breaks(database, r)]
    return FileReport(
        name=member.name,
        arch=member.elf.arch,
        kind=member.elf.kind,
        libc=libc,
        needs_musl=needs.lowest(database) if needs and libc in ("musl", "glibc") else None,
        because=needs.because(database) if needs else (),
        alpine=tuple(runs),
        time_abi=uses.abi if uses else None,
        features=tuple(sorted(member.elf.features)),
        libraries=tuple((found.name, found.version) for found in member.found),
        grafted=_GRAFTED.match(member.name) is not None,
    )


def _report(studied: _Study, kept: list[Finding], ignored: list[Finding], skipped: bool) -> WheelReport:
    database, bundle = studied.database, studied.bundle
    by_path = {needs.member.path: needs for needs in studied.needs}
    lowest, because = _together(studied.needs, database)
    broken = [release.version for release in database.releases if studied.breaks(release)]
    return WheelReport(
        source=bundle.source,
        kind=bundle.kind,
        policies=studied.promise.policies,
        promised_from=studied.promise.oldest,
        needs_musl=lowest,
        because=because,
        runs_on=tuple(r.version for r in database.releases if r.version not in broken),
        breaks_on=tuple(broken),
        files=tuple(_file_report(m, by_path.get(m.path), studied) for m in bundle.members),
        findings=_in_order(kept),
        ignored=_in_order(ignored),
        standin=studied.terms.standin,
        skipped=skipped,
    )


def _together(needs: Iterable[Needs], database: Database) -> tuple[str | None, tuple[str, ...]]:
    """The oldest upstream musl that satisfies all files, and the names that ask for it."""
    dynamic = [one for one in needs if _libc(one.member) in ("musl", "glibc")]
    if not dynamic:
        return None, ()
    mask = every_release(database, dynamic[0].arch)
    for one in dynamic:
        mask &= one.mask
    if not mask:
        return None, ()
    lowest = database.versions[(mask & -mask).bit_length() - 1]
    names = {name for one in dynamic if one.lowest(database) == lowest for name in one.because(database)}
    return lowest, tuple(sorted(names))


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    severities = ("error", "warning", "info")
    return tuple(sorted(findings, key=lambda one: (severities.index(one.severity), one.code, one.file)))
