"""Reads matrix.yaml and its overlays into a `Matrix`, or says everything that is wrong with them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muslabi import database
from musllinux.errors import UsageError
from musllinux.mistakes import Mistake, Steps, report, suggestion
from musllinux.model import ordinal
from musllinux.overlay import Layered
from musllinux.overlay import load as load_layers
from musllinux.schema import Matrix
from musllinux.validate import beyond, validate
from musllinux.yamlfile import Items, Scalar, Table, Tree, place_of

# cibuildwheel runs its own helpers with it, whatever it builds (cibuildwheel 4.3.5, platforms/linux.py).
UTILITY = "cp39-cp39"


@dataclass
class MatrixError(UsageError):
    """A bad matrix. `message` has a line for each mistake: `file:line: key.path: what; allowed: …`."""

    mistakes: tuple[Mistake, ...] = ()


def load(path: Path, overlays: Sequence[Path] = ()) -> Matrix:
    """The matrix at `path` (the shipped one), changed by overlays in their order (docs/overlay.md).

    Raises MatrixError with every mistake of every file.
    """
    layers = load_layers(path, overlays)
    mistakes = list(layers.mistakes)
    matrix = None
    if layers.tree is not None:
        matrix, found = validate(Matrix, layers.tree)
        mistakes += beyond(mistakes, found)
    if matrix is not None and layers.tree is not None:
        mistakes += cross_check(matrix, layers)
    if mistakes or matrix is None:
        raise MatrixError(report(mistakes), hint=_hint(mistakes), mistakes=tuple(mistakes))
    return matrix


def warnings(matrix: Matrix) -> list[str]:
    """What is allowed and may still surprise, one line each."""
    if UTILITY in matrix.interpreters:
        return []
    return [f"the images have no {UTILITY}: cibuildwheel cannot use them, whatever it is asked to build"]


def cross_check(matrix: Matrix, layers: Layered) -> list[Mistake]:
    """What no single value shows: names that must refer to something, values that must agree."""
    tree = layers.tree
    assert tree is not None  # noqa: S101 - a matrix was made from it
    found: list[Mistake] = []
    for check in _CHECKS:
        for problem in check(matrix, layers.dropped):
            place = place_of(tree, problem.path, key=problem.at_key)
            found.append(Mistake(place, path=problem.path, what=problem.what, allowed=problem.allowed))
    return found


@dataclass(frozen=True)
class _Problem:
    path: Steps
    what: str
    allowed: str = ""
    at_key: bool = False


_Dropped = Mapping[Steps, Tree]
_Check = Callable[[Matrix, _Dropped], Iterator[_Problem]]


def _hint(mistakes: Iterable[Mistake]) -> str:
    if any(m.what == "missing" and len(m.path) == 1 for m in mistakes):
        return "an overlay starts with `extends: default` (docs/overlay.md)"
    return ""


def _unknown(path: Steps, names: Sequence[str], known: Iterable[str], kind: str) -> Iterator[_Problem]:
    known = list(known)
    for position, name in enumerate(names):
        if name not in known:
            yield _Problem((*path, position), f"no {kind} {name}", suggestion(name, known))


def _hosts(matrix: Matrix, dropped: _Dropped) -> Iterator[_Problem]:
    path = ("tools", "host")
    gone = _dropped_names(dropped, ("interpreters",))
    yield from _unknown(path, matrix.tools.host, [*matrix.interpreters, *gone], "interpreter")
    if not set(matrix.tools.host) & set(matrix.interpreters):
        what = "none of these interpreters is left to run the tools"
        yield _Problem(path, what, ", ".join(matrix.interpreters))


def _policy_packages(matrix: Matrix, dropped: _Dropped) -> Iterator[_Problem]:
    gone = {text for path, tree in dropped.items() if path[0] in _PACKAGED for text in _texts(tree)}
    known = sorted(packages(matrix) | gone)
    for name, policy in matrix.policies.items():
        yield from _unknown(("policies", name, "without"), policy.without, known, "package")


def _tool_images(matrix: Matrix, dropped: _Dropped) -> Iterator[_Problem]:
    """What tools are without: architectures, policies, images; and what they are pinned for: policies."""
    arches = [*matrix.architectures, *_dropped_names(dropped, ("architectures",))]
    policies = [*matrix.policies, *_dropped_names(dropped, ("policies",))]
    images = [f"{policy}_{arch}" for policy in policies for arch in arches]
    for name, tool in matrix.tools.isolated.items():
        path = ("tools", "isolated", name)
        kind = "architecture, policy or image"
        yield from _unknown((*path, "without"), tool.without, [*arches, *policies, *images], kind)
        for policy in tool.pins:
            if policy not in policies:
                what = f"no policy {policy}"
                yield _Problem((*path, "pins", policy), what, suggestion(policy, policies), at_key=True)


def _backends(matrix: Matrix, dropped: _Dropped) -> Iterator[_Problem]:
    arches = [*matrix.architectures, *_dropped_names(dropped, ("architectures",))]
    for name, backend in matrix.rust.backends.items():
        yield from _unknown(("rust", "backends", name, "without"), backend.without, arches, "architecture")


def _architectures(matrix: Matrix, _: _Dropped) -> Iterator[_Problem]:
    """Two rows with the same platform or apk name would be the same image under two names."""
    for field in ("platform", "apk", "triple"):
        values = {name: str(getattr(arch, field)) for name, arch in matrix.architectures.items()}
        first = {value: name for name, value in reversed(values.items())}
        for name, value in values.items():
            if first[value] != name:
                what = f"{value} is {first[value]}'s already"
                yield _Problem(("architectures", name, field), what, "its own")


def _interpreters(matrix: Matrix, dropped: _Dropped) -> Iterator[_Problem]:
    for name, section in matrix.interpreters.items():
        python, abi = name.split("-")
        expected = "cp" + section.series.replace(".", "")
        if python != expected or abi.removesuffix("t") != expected:
            series = f'"{python[2]}.{python[3:]}"'
            yield _Problem(("interpreters", name, "series"), f"{section.series} under the tag {name}", series)
        if section.free_threaded != abi.endswith("t"):
            allowed = "true with a tag that ends in t, false else"
            yield _Problem(("interpreters", name, "free_threaded"), f"disagrees with the tag {name}", allowed)
    if UTILITY not in matrix.interpreters and ("interpreters", UTILITY) not in dropped:
        what = f"{UTILITY} is missing, which cibuildwheel needs whatever it builds"
        yield _Problem(("interpreters",), what, f"it, or an overlay with `{UTILITY}: null`", at_key=True)


def _releases(matrix: Matrix, _: _Dropped) -> Iterator[_Problem]:
    """The floor's own release comes first among the trials; nothing a policy names is older than its floor."""
    musl = {release: section.musl for release, section in matrix.releases.items()}
    for name, policy in matrix.policies.items():
        path: Steps = ("policies", name)
        places: list[Steps] = [(*path, "alpine"), *((*path, "trials", i) for i in range(len(policy.trials)))]
        for place, release in zip(places, [policy.alpine, *policy.trials], strict=True):
            if release not in musl:
                yield _Problem(place, f"no release {release} under `releases`", ", ".join(musl))
            elif ordinal(musl[release]) < ordinal(policy.floor):
                what = f"Alpine {release} has musl {musl[release]}, older than the floor {policy.floor}"
                yield _Problem(place, what)
        first = policy.trials[0]
        if musl.get(first, policy.floor) != policy.floor:
            own = [release for release in musl if musl[release] == policy.floor]
            what = f"the first trial, {first}, has musl {musl[first]} and not the floor's {policy.floor}"
            yield _Problem((*path, "trials", 0), what, " or ".join(own) or "a release with that musl")


def _floors(matrix: Matrix, _: _Dropped) -> Iterator[_Problem]:
    """Every image's floor is what muslabi's data say that its oldest musl exports on its architecture."""
    data = database.load()
    for name in matrix.architectures:
        if name not in data.arches:
            what = "muslabi knows no musl of it, and so no floor"
            yield _Problem(("architectures", name), what, suggestion(name, data.arches), at_key=True)
    known = [data.arches[name] for name in matrix.architectures if name in data.arches]
    for name, policy in matrix.policies.items():
        path = ("policies", name, "floor")
        if policy.floor not in data.versions:
            yield _Problem(path, f"muslabi knows no musl {policy.floor}", suggestion(policy.floor, data.versions))
            continue
        for arch in known:
            if ordinal(arch.first) > ordinal(policy.floor):
                yield _Problem(path, f"older than musl's first for {arch.name}", f"{arch.first} or newer")


def _rust_release(matrix: Matrix, _: _Dropped) -> Iterator[_Problem]:
    if matrix.rust.alpine not in matrix.releases:
        what = f"no release {matrix.rust.alpine} under `releases`"
        yield _Problem(("rust", "alpine"), what, ", ".join(matrix.releases))


def _duplicates(matrix: Matrix, _: _Dropped) -> Iterator[_Problem]:
    lists: dict[Steps, Sequence[str]] = {
        ("packages", "system"): matrix.packages.system,
        ("packages", "sysroot"): matrix.packages.sysroot,
        ("packages", "native"): matrix.packages.native,
        ("rust", "packages"): matrix.rust.packages,
        ("rust", "builder"): matrix.rust.builder,
        ("tools", "host"): matrix.tools.host,
        ("tools", "interpreter"): matrix.tools.interpreter,
    }
    for name, policy in matrix.policies.items():
        lists["policies", name, "trials"] = policy.trials
    for path, names in lists.items():
        for name, count in Counter(names).items():
            if count > 1:
                last = len(names) - 1 - list(reversed(names)).index(name)
                yield _Problem((*path, last), f"{name} stands here {count} times", "once")


_PACKAGED = ("packages", "libraries")
_CHECKS: tuple[_Check, ...] = (
    _hosts,
    _policy_packages,
    _tool_images,
    _backends,
    _architectures,
    _interpreters,
    _releases,
    _floors,
    _rust_release,
    _duplicates,
)


def packages(matrix: Matrix) -> set[str]:
    """Every apk package that the matrix names, for whatever purpose."""
    listed = {*matrix.packages.system, *matrix.packages.sysroot, *matrix.packages.native}
    libraries = {name for lib in matrix.libraries.values() for name in (lib.build, lib.run) if name}
    return listed | libraries


def _dropped_names(dropped: _Dropped, section: Steps) -> list[str]:
    return [str(path[-1]) for path in dropped if path[:-1] == section]


def _texts(tree: Tree) -> Iterator[str]:
    match tree:
        case Scalar():
            yield tree.text
        case Items():
            for item in tree.items:
                yield from _texts(item)
        case Table():
            for entry in tree.entries.values():
                yield from _texts(entry.value)
