"""Push tried images to a registry under one dated tag, and believe only what the registry then serves.

The tag is YYYY.MM.DD-N for all images of a push, N the first that no image of the push has been published under with
other contents: a tag that is there is never overwritten. Images from the stand-in go to loopback registries only.
Indexes and `latest` are not moved here.
"""

import datetime as dt
import json
import re
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musllinux import console, engine, model, record, registry, settings
from musllinux.console import Board
from musllinux.engine import ImageFacts
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError, UsageError
from musllinux.registry import Place, Registry, RegistryError
from musllinux.smoke import record as smoke

if TYPE_CHECKING:
    import docker

STANDIN = "io.github.musllinux-factory.standin"  # the label of images built from substitutes
TRIES = 4  # of a push that meets a busy or broken registry
LAST_N = 999  # more than anyone publishes in a day: an N beyond it means that something else is wrong
_TAG = re.compile(r"^(?P<date>\d{4}\.\d{2}\.\d{2})(?:-(?P<n>[1-9]\d{0,2}))?$")
_TRANSIENT = re.compile(r"\b(429|5\d\d)\b|timeout|timed out|EOF|connection reset|toomanyrequests", re.IGNORECASE)
_REFUSED = re.compile(r"\b(401|403)\b|unauthorized|denied|no basic auth|authentication required", re.IGNORECASE)
_AT_REST = frozenset({"Pushed", "Layer already exists"})


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A local image to push: its id (musllinux_1_2_x86_64) and what the engine says of it."""

    id: str
    facts: ImageFacts


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What the registry serves now, verified. `how` is "pushed" or "was there"."""

    id: str
    image: str  # the engine's id of what was pushed
    reference: str
    digest: str
    how: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """What one push goes through: from this engine to that registry, under this tag."""

    client: "docker.DockerClient"
    api: Registry
    where: Place
    tag: str
    board: Board

    def reference(self, name: str) -> str:
        return self.where.reference(name, self.tag)


def command(args: Namespace) -> int:
    """`musllinux push`."""
    run = settings.from_args(args)
    matrix = run.matrix()
    where = registry.place(args.registry or matrix.image.registry, matrix.image.organisation)
    names = [f"{policy}_{arch}" for policy, arch in model.select(matrix, run.selection)]
    with closing(engine.connect()) as client:
        candidates = _candidates(client, names, asked=run.selection != model.Selection())
        check(candidates, where, run.work)
        api = registry.Client(where.host, registry.credentials(where.host), plain=_plain(client, where))
        with closing(api), console.progress([c.id for c in candidates]) as board:
            tag = choose_tag(api, where, candidates, args.tag or "")
            line = Line(client=client, api=api, where=where, tag=tag, board=board)
            done, failed = _push_all(line, candidates)
    for result in done:
        record.write_json(run.work / result.id / "push.json", {"format": 1, **asdict(result)})
    _show(done, failed, as_json=run.json)
    return EXIT_FAILED if failed else EXIT_OK


def check(candidates: Sequence[Candidate], where: Place, work: Path) -> None:
    """Refuse before anything is sent: stand-in images for a real registry, images that are not tried or failed.

    Raises FactoryError that names them all.
    """
    substitutes = [c.id for c in candidates if STANDIN in c.facts.labels]
    if substitutes and not where.loopback:
        raise FactoryError(
            f"built from the stand-in, not for {where.host}: {', '.join(substitutes)}",
            hint="build them from upstream sources (--sources upstream); these go to loopback registries only",
        )
    untried = [f"{c.id} ({verdict})" for c in candidates if (verdict := _verdict(c, work))]
    if untried:
        raise FactoryError(
            f"not pushed: {', '.join(untried)}",
            hint="`musllinux smoke` tries them, `musllinux report` shows the results",
        )


def choose_tag(api: Registry, where: Place, candidates: Sequence[Candidate], asked: str) -> str:
    """The tag for all candidates: `asked` with its N, or the first free N of its date, or of today (UTC).

    Free means: no candidate's repository has it, or only with this very image (an earlier push that did not finish).
    Raises UsageError for another form of tag, FactoryError where a full tag is taken by another image.
    """
    match = _TAG.match(asked or f"{dt.datetime.now(dt.UTC):%Y.%m.%d}")
    if match is None or not _is_date(match["date"]):
        raise UsageError(
            f"--tag {asked!r} is not a date YYYY.MM.DD, with or without -N", hint="for example 2026.11.22-1"
        )
    if not match["n"]:
        return _first_free(api, where, candidates, match["date"], first=1)
    foreign = _foreign(api, where, candidates, asked)
    if foreign:
        free = _first_free(api, where, candidates, match["date"], first=int(match["n"]) + 1)
        raise FactoryError(
            f"{asked} is taken by another image: {', '.join(foreign)}", hint=f"the next free tag is {free}"
        )
    return asked


def push(line: Line, candidate: Candidate) -> Pushed:
    """Push one image and compare what the registry serves with what the engine says it sent.

    Raises RegistryError: refused, failing after four tries, another image under the tag.
    """
    repository, reference = line.where.repository(candidate.id), line.reference(candidate.id)
    there = line.api.manifest(repository, line.tag)
    if there is not None and _is_ours(there, line.where, candidate):
        return _pushed(line, candidate, there.digest, "was there")
    if there is not None:
        raise RegistryError(f"{reference}: taken by another image meanwhile", hint="push again: it takes the next tag")
    line.client.api.tag(candidate.facts.id, f"{line.where.host}/{repository}", line.tag)
    try:
        digest = _send_patiently(lambda: _send(line, candidate.id))
    finally:
        line.client.images.remove(reference, noprune=True)  # the tag only: the image keeps its own name
    served = line.api.manifest(repository, line.tag)
    if served is None or served.digest != digest:
        raise RegistryError(
            f"{reference}: sent {digest}, the registry serves {served.digest if served else 'nothing'}",
            hint="somebody else pushes to the same tag, or the registry has lost it: push again",
        )
    return _pushed(line, candidate, digest, "pushed")


def _pushed(line: Line, candidate: Candidate, digest: str, how: str) -> Pushed:
    return Pushed(
        id=candidate.id, image=candidate.facts.id, reference=line.reference(candidate.id), digest=digest, how=how
    )


def _candidates(client: "docker.DockerClient", names: Iterable[str], *, asked: bool) -> list[Candidate]:
    """The images to push: all that are built, or exactly those asked for."""
    found = {name: engine.image_facts(f"{name}:latest", client) for name in names}
    absent = [name for name, facts in found.items() if facts is None]
    if absent and (asked or len(absent) == len(found)):
        shown = ", ".join(absent) if asked else "no image of the matrix is built"
        raise FactoryError(
            f"not built: {shown}" if asked else shown, hint="`musllinux build --smoke` builds and tries them"
        )
    return [Candidate(id=name, facts=facts) for name, facts in found.items() if facts is not None]


def _verdict(candidate: Candidate, work: Path) -> str:
    """Why an image is not fit to be pushed, or empty."""
    tried = smoke.read(work, candidate.id)
    if tried is None or tried.image != candidate.facts.id:
        return "not tried"
    return "" if tried.green else f"{tried.count('failed')} smoke checks failed"


def _plain(client: "docker.DockerClient", where: Place) -> bool:
    """Whether the engine would talk to this registry without TLS, too: loopback, or declared insecure."""
    if where.loopback:
        return True
    known = (client.info().get("RegistryConfig") or {}).get("IndexConfigs") or {}
    return known.get(where.host, {}).get("Secure") is False


def _is_date(text: str) -> bool:
    try:
        dt.datetime.strptime(text, "%Y.%m.%d").replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return True


def _first_free(api: Registry, where: Place, candidates: Sequence[Candidate], date: str, first: int) -> str:
    for n in range(first, LAST_N + 1):
        if not _foreign(api, where, candidates, f"{date}-{n}"):
            return f"{date}-{n}"
    raise FactoryError(f"no free tag: {where.host} has {date}-{first} to {date}-{LAST_N}")


def _foreign(api: Registry, where: Place, candidates: Sequence[Candidate], tag: str) -> list[str]:
    """The candidates whose repository has this tag on another image."""
    found = []
    for candidate in candidates:
        there = api.manifest(where.repository(candidate.id), tag)
        if there is not None and not _is_ours(there, where, candidate):
            found.append(where.reference(candidate.id, tag))
    return found


def _is_ours(there: registry.Manifest, where: Place, candidate: Candidate) -> bool:
    """Whether a manifest is of the local image.

    The engine's id is the digest of the configuration, or (containerd's image store) of the manifest itself.
    """
    sent = f"{where.host}/{where.repository(candidate.id)}@{there.digest}"
    return candidate.facts.id in (there.config, there.digest) or sent in candidate.facts.digests


def _push_all(line: Line, candidates: Sequence[Candidate]) -> tuple[list[Pushed], list[tuple[str, FactoryError]]]:
    """One after the other (layers go in parallel within); one failure does not stop the others."""
    done: list[Pushed] = []
    failed: list[tuple[str, FactoryError]] = []
    for candidate in candidates:
        try:
            with line.board.step(candidate.id, "push"), engine.asking(f"to push {candidate.id}"):
                result = push(line, candidate)
        except FactoryError as error:
            failed.append((candidate.id, error))
            line.board.finish(candidate.id, ok=False, note=error.message)
        else:
            done.append(result)
            line.board.finish(candidate.id, ok=True, note=result.how)
    return done, failed


def _send_patiently(send: Callable[[], str], pause: float = 1.0) -> str:
    """Call `send` again where the registry is busy or broken: after 1, 2 and 4 s."""
    for attempt in range(TRIES - 1):
        try:
            return send()
        except RegistryError as error:
            if not _TRANSIENT.search(error.message):
                raise
        time.sleep(pause * 2**attempt)
    return send()


def _send(line: Line, name: str) -> str:
    """One push by the engine; the digest of the manifest it has sent."""
    layers: dict[str, bool] = {}
    digest = ""
    repository = line.where.repository(name)
    for event in line.client.api.push(f"{line.where.host}/{repository}", tag=line.tag, stream=True, decode=True):
        if said := event.get("error"):
            raise _refusal(str(said), line.where, repository)
        status = str(event.get("status", ""))
        if event.get("id") and status:
            layers[event["id"]] = status in _AT_REST or status.startswith("Mounted from")
            line.board.count(name, sum(layers.values()), len(layers))
        digest = _digest_of(event) or digest
    if not digest:
        raise RegistryError(f"the engine has pushed {line.reference(name)} and does not say which digest it has")
    return digest


def _digest_of(event: Mapping[str, Any]) -> str:
    aux = event.get("aux")
    return str(aux.get("Digest", "")) if isinstance(aux, Mapping) else ""


def _refusal(said: str, where: Place, repository: str) -> RegistryError:
    line = " ".join(said.split())
    if _REFUSED.search(line):
        hint = f"`docker login {where.host}` with an account that may push to {repository}"
    elif _TRANSIENT.search(line):
        hint = "the registry is busy or broken; what was pushed stays, a rerun goes on from there"
    elif "HTTP response to HTTPS" in line:
        hint = f"the registry has no TLS; give it one, or add {where.host} to the engine's insecure-registries"
    else:
        hint = f"check that {where.host} is a registry and that the engine reaches it"
    return RegistryError(f"{where.host} does not take {repository}: {line}", hint=hint)


def _show(done: Sequence[Pushed], failed: Sequence[tuple[str, FactoryError]], *, as_json: bool) -> None:
    if as_json:
        errors = [{"id": name, "error": error.message, "hint": error.hint} for name, error in failed]
        print(json.dumps({"pushed": [asdict(result) for result in done], "failed": errors}, indent=1))
        return
    for result in done:
        print(f"{result.reference}@{result.digest}")
    for name, error in failed:
        print(f"{name}: {error.message}{f' ({error.hint})' if error.hint else ''}")
