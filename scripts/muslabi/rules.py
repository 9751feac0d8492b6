"""The rules for one ELF file, each a generator of findings. Time rules are in time64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from muslabi import glibcnames, libraries
from muslabi.bundle import Bundle, Member
from muslabi.database import AlpineRelease, Database, read_data
from muslabi.elf import machines
from muslabi.findings import Finding, find, some
from muslabi.needs import Needs
from muslabi.scope import GLIBC_LIBRARIES, Scope, is_libc
from muslabi.terms import Promise, Terms, from_release

_FEATURES = read_data("features.json")


def ranges(releases: tuple[AlpineRelease, ...], database: Database) -> str:
    """Releases in words, runs of neighbours drawn together: "Alpine 3.13 - 3.19 and 3.21"."""
    order = [release.version for release in database.releases]
    places = [order.index(release.version) for release in releases if release.version]
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    texts = [order[run[0]] if len(run) == 1 else f"{order[run[0]]} - {order[run[-1]]}" for run in runs]
    words = [f"Alpine {', '.join(texts)}"] if texts else []
    return " and ".join([release.name for release in releases if not release.version] + words)


def rule_symbols(needs: Needs, promise: Promise, database: Database) -> Iterator[Finding]:
    """Names that some promised release does not resolve: too new there, or no longer there."""
    new: dict[str, list[AlpineRelease]] = {}
    gone: dict[str, list[AlpineRelease]] = {}
    for name in needs.musl:
        first = _first(database, needs.arch, name)
        for release in promise.systems:
            if not database.resolves(needs.arch, name, release):
                too_old = database.index(release.musl) < first
                (new if too_old else gone).setdefault(name, []).append(release)
    for code, found in (("symbol-too-new", new), ("symbol-withdrawn", gone)):
        if found:
            broken = tuple(r for r in promise.systems if any(r in where for where in found.values()))
            remedy = _newer_tag(promise, broken, database) if code == "symbol-too-new" else ""
            yield _symbol_finding(code, needs, found, broken=broken, database=database, remedy=remedy)


def _first(database: Database, arch: str, name: str) -> int:
    mask = database.export_mask(arch, name)
    return (mask & -mask).bit_length() - 1


def _symbol_finding(
    code: str,
    needs: Needs,
    found: dict[str, list[AlpineRelease]],
    *,
    broken: tuple[AlpineRelease, ...],
    database: Database,
    remedy: str,
) -> Finding:
    since = {name: database.versions[_first(database, needs.arch, name)] for name in found}
    words = some(tuple(f"{name} (musl {since[name]})" for name in found))
    verb = "needs" if code == "symbol-too-new" else "needs the withdrawn"
    return find(
        code,
        needs.member.name,
        f"{verb} {words}: breaks on {ranges(broken, database)}",
        symbols=tuple(found),
        breaks_on=tuple(release.name for release in broken),
        remedy=remedy,
    )


def _newer_tag(promise: Promise, broken: tuple[AlpineRelease, ...], database: Database) -> str:
    """The remedy where a newer policy promises none of the broken releases; "" where none does so."""
    for policy in database.policies.values():
        promised = from_release(database, policy.alpine)
        if promise.policies and not any(release in promised or not release.version for release in broken):
            return f"tag it {policy.name}, which promises nothing older than Alpine {policy.alpine}"
    return ""


def rule_features(needs: Needs, promise: Promise, database: Database) -> Iterator[Finding]:
    """Loader features that some promised release, or any musl at all, does not have."""
    for feature in needs.features:
        facts: dict[str, Any] = _FEATURES["features"][feature]
        never = not database.feature_mask(needs.arch, feature)
        lacking = tuple(r for r in promise.systems if not database.supports(needs.arch, feature, r))
        if never or lacking:
            where = "every musl" if never else ranges(lacking, database)
            yield find(
                f"feature-{feature}",
                needs.member.name,
                f"has {facts['what']}; {where} {facts['older']}",
                breaks_on=tuple(release.name for release in lacking),
                remedy=facts["remedy"],
            )


def rule_initial_exec(needs: Needs, scope: Scope) -> Iterator[Finding]:
    """Initial-exec TLS is refused where the TLS belongs to something loaded after start."""
    member = needs.member
    late = [group for group in scope.groups(member) if group[0].elf.kind != "executable"]
    names = {
        name
        for name in member.elf.initial_exec
        if not name or any(name in one.elf.defined for group in late for one in group)
    }
    if late and names:
        facts = _FEATURES["initial_exec"]
        shown = some(tuple(sorted(name or "its own thread-local data" for name in names)))
        yield find(
            "initial-exec-tls",
            member.name,
            f"has {facts['what']} ({shown}); musl {facts['older']}",
            symbols=tuple(sorted(names - {""})),
            remedy=facts["remedy"],
        )


def rule_unknown(needs: Needs, bundle: Bundle) -> Iterator[Finding]:
    """Names that nothing gives. If a library is missing they are taken for its own, glibc's excepted."""
    glibc = tuple(name for name in needs.unknown if glibcnames.entry(name))
    if glibc:
        reasons = [glibcnames.entry(name) or {} for name in glibc]
        words = tuple(f"{name} ({reason['why']})" for name, reason in zip(glibc, reasons))
        yield find(
            "glibc-symbol",
            needs.member.name,
            f"needs {some(words)}, which no musl has",
            symbols=glibc,
            remedy=reasons[0]["remedy"],
        )
    theirs = frozenset(glibc)
    rest = tuple(name for name in needs.unknown if name not in theirs)
    if rest and not needs.outside:
        text = f"needs {some(rest)}, which no library of the {bundle.kind}, no musl and no Python gives"
        yield find("unresolved-symbol", needs.member.name, text, symbols=rest)
    if needs.elsewhere:
        givers = tuple(f"{name} (in {file})" for name, file in needs.elsewhere)
        names = tuple(name for name, _ in needs.elsewhere)
        yield find("symbol-elsewhere", needs.member.name, f"needs {some(givers)}", symbols=names)


def rule_libraries(needs: Needs, bundle: Bundle, scope: Scope) -> Iterator[Finding]:
    """NEEDED names that cannot be met."""
    member = needs.member
    missing = [name for name in member.elf.needed if name in needs.outside and name not in GLIBC_LIBRARIES]
    for name in missing:
        if name.startswith("libpython"):
            yield find("needs-libpython", member.name, f"needs {name}")
        elif bundle.complete:
            yield find("missing-library", member.name, f"needs {name}", symbols=(name,))
        else:
            yield find("library-outside", member.name, f"needs {name}", symbols=(name,))
    lost = scope.unreachable(member)
    if lost:
        yield find("unreachable-library", member.name, f"needs {some(lost)}", symbols=lost)


def glibc_signs(member: Member) -> tuple[str, ...]:
    """What shows a file linked against glibc: its libraries, and the newest of its versions.

    Versions of other libraries prove nothing: libgcc_s calls some of its own symbols GLIBC_2.0.
    """
    needed = [name for name in member.elf.needed if name in GLIBC_LIBRARIES]
    versions = {version for library, version in member.elf.versions if library in GLIBC_LIBRARIES}
    return (*needed, *sorted(versions)[-1:])


def rule_libc(needs: Needs, database: Database, promise: Promise, bundle: Bundle) -> Iterator[Finding]:
    """glibc, a foreign loader, or a libc inside a library."""
    elf, name = needs.member.elf, needs.member.name
    signs = glibc_signs(needs.member)
    held = bool(promise.policies or promise.systems or bundle.wheel is None)
    if signs and held:
        yield find("glibc-linked", name, f"is linked against glibc ({some(signs)})")
    elif elf.interpreter and elf.interpreter != f"/lib/{database.arches[needs.arch].loader}":
        yield find("wrong-loader", name, f"asks for the loader {elf.interpreter!r}")
    inside = needs.member.libc_inside
    itself = is_libc(elf.soname or "") or needs.member.base.startswith("ld-")
    if inside and elf.kind == "shared" and not itself and not any(map(is_libc, elf.needed)):
        yield find("static-libc", name, f"has {inside} linked into it")


def rule_architecture(member: Member, bundle: Bundle) -> Iterator[Finding]:
    """A processor, word size or ABI other than the tag's."""
    elf = member.elf
    wanted = bundle.wheel.arches if bundle.wheel else ()
    if wanted and elf.arch not in wanted:
        says = elf.arch or f"ELF machine {elf.machine}, {elf.bits}-bit"
        yield find("wrong-architecture", member.name, f"is for {says}; the tag says {' or '.join(wanted)}")
    else:
        from_abi = abi_complaint(member)
        if from_abi:
            yield find("wrong-architecture", member.name, f"has {from_abi}")


def abi_complaint(member: Member) -> str | None:
    """What is wrong with a file's e_flags for musl, or None."""
    elf = member.elf
    machine = machines().get((elf.machine, elf.bits, elf.big_endian))
    if machine is None or elf.flags & machine.flags_mask != machine.flags_forbidden:
        return None
    return machine.flags_says


def rule_age(member: Member, terms: Terms) -> Iterator[Finding]:
    """Libraries inside that nobody cares for any more."""
    for found in member.found:
        complaint = libraries.outdated(found, terms.today)
        if complaint:
            yield find("old-library", member.name, complaint)
