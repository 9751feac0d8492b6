"""Build images: context, Dockerfile, BuildKit, record. What has not changed is not built again."""

import hashlib
import json
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from musllinux import (
    bake,
    certificates,
    context,
    emulation,
    engine,
    handover,
    indexes,
    inputs,
    jobs,
    record,
    registry,
    relay,
    render,
    revision,
    secretfile,
    sources,
)
from musllinux.alone import alone
from musllinux.buildkit_log import Parser, State
from musllinux.complaint import show
from musllinux.console import Board, progress
from musllinux.engine import Client, ImageFacts, connect, find_client, image_facts
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError
from musllinux.failure import explain
from musllinux.installed import installed_packages
from musllinux.lock import lock_missing_bases
from musllinux.machine import refusal
from musllinux.model import Image, resolve, select
from musllinux.redact import hider, redact
from musllinux.run import CommandError, interruptible, run
from musllinux.settings import Source, from_args


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where and with what images are built."""

    root: Path  # the repository
    work: Path  # build/, one folder an image
    cache: Path
    client: Client
    ca_bundle: Path | None
    builder: str = ""
    locks: Path | None = None  # whose lock/ has the tools (Settings.tool_locks)

    def place(self, image: Image) -> Path:
        return self.work / image.id

    def log(self, image: Image) -> Path:
        return self.place(image) / "build.log"

    def stock(self, board: Board, image: Image) -> context.Stock:
        def report(line: str) -> None:
            board.note(image.id, line)

        return context.Stock(
            root=self.root, cache=self.cache, ca_bundle=self.ca_bundle, report=report, locks=self.locks
        )


@dataclass(frozen=True, kw_only=True)
class Built:
    record: record.BuildRecord
    fresh: bool  # False: it was up to date


def build(image: Image, shop: Workshop, board: Board) -> Built:
    """Make the image and leave it in the engine under its local tag, unless it is there with the same inputs.

    Raises FactoryError: an input that cannot be had, a failed step (with its log), another run on the same image.
    """
    _require_locked_base(image)
    _require_emulator(image, shop)
    with alone(shop.place(image)):
        return _build(image, shop, board)


def _require_locked_base(image: Image) -> None:
    """Without a digest FROM takes whatever the tag is today, whoever builds."""
    if not image.base.digest:
        raise FactoryError(
            f"{image.id}: the base {image.base.reference} is not locked",
            hint="`musllinux lock` records its digest, and so does `musllinux build --lock-missing`",
        )


def _require_emulator(image: Image, shop: Workshop) -> None:
    """Said before hours of work: one step of a foreign image runs as the target, where no builder of its own does."""
    if shop.builder or not emulation.engine_is_here() or not emulation.emulated(image.arch):
        return
    problem = emulation.handler(image.arch.qemu).problem
    if problem:
        raise FactoryError(
            f"{image.id}: no emulator for {image.arch.platform}: qemu-{image.arch.qemu} {problem}",
            hint=f"`make emulators ARCH={image.arch.name}` registers it, or --builder NAME names one that needs none",
        )


def prepare(image: Image, shop: Workshop, board: Board) -> None:
    """Lay out everything that an image is built from, secrets too, for who builds it himself (`list --format bake`).

    Raises FactoryError as `build` does, but for the emulator: whoever builds may need none.
    """
    _require_locked_base(image)
    with alone(shop.place(image)), board.step(image.id, "inputs"):
        order = _order(image, shop, board)
        bake.lay_out(shop.place(image), order.target, _secrets(image, shop))


@dataclass(frozen=True, kw_only=True)
class _Order:
    """Everything one BuildKit run is given."""

    image: Image
    context: Path
    dockerfile: Path
    target: bake.Target
    fingerprint: str


def _build(image: Image, shop: Workshop, board: Board) -> Built:
    with board.step(image.id, "inputs"):
        order = _order(image, shop, board)
    known, facts = record.read(shop.work, image.id), image_facts(image.tag)
    if known and facts and (known.fingerprint, known.image) == (order.fingerprint, facts.id):
        return Built(record=known, fresh=False)
    if facts and not image.supply.publishable and not _standin(facts):
        raise FactoryError(
            f"{image.tag} was built from upstream sources: a stand-in build does not replace it",
            hint=f"remove it first: docker image rm {image.tag}",
        )
    started = time.monotonic()
    steps = Parser()
    _run(order, shop, steps, board)
    made = _record(order, _built_facts(image, shop), steps, time.monotonic() - started)
    record.write(shop.work, made)
    return Built(record=made, fresh=True)


def _order(image: Image, shop: Workshop, board: Board) -> _Order:
    place = shop.place(image)
    bake.withdraw(place)
    made = context.assemble(image, shop.stock(board, image), place / "context")
    text = render.dockerfile(image, shop.root / "templates")
    dockerfile = place / "Dockerfile"
    dockerfile.write_text(text)
    labels = revision.labels(shop.root)
    fingerprint = _fingerprint(text, made.digest, *image.contents.values(), labels[revision.REVISION])
    target = _target(image, labels)
    return _Order(image=image, context=made.path, dockerfile=dockerfile, target=target, fingerprint=fingerprint)


def _target(image: Image, labels: Mapping[str, str]) -> bake.Target:
    """What BuildKit is told of an image, whoever starts it: `_run` here, or bake."""
    return bake.Target(
        tag=image.tag,
        platform=image.arch.platform,
        args=image.contents,
        labels=labels,
        network=handover.network(image, handover.proxies()),
    )


def _secrets(image: Image, shop: Workshop) -> dict[str, bytes]:
    return handover.secrets(image, handover.proxies(), shop.ca_bundle)


def _built_facts(image: Image, shop: Workshop) -> ImageFacts:
    found = image_facts(image.tag)
    if found is None or not found.is_for(image.arch.platform):
        what = f"is for {found.platform}" if found else "is not in the engine"
        raise FactoryError(f"{image.tag} {what} after a build for {image.arch.platform}", log=str(shop.log(image)))
    return found


def _run(order: _Order, shop: Workshop, steps: Parser, board: Board) -> None:
    image, target, log = order.image, order.target, shop.log(order.image)
    log.unlink(missing_ok=True)
    with _nearer(order, shop, board) as dockerfile, secretfile.held(_secrets(image, shop)) as secrets:
        argv = shop.client.build_argv(
            context=order.context,
            dockerfile=dockerfile,
            tag=target.tag,
            platform=target.platform,
            args=target.args,
            secrets=secrets.paths,
            labels=target.labels,
            network=target.network,
            builder=shop.builder,
        )
        engine.forget_foreign(image.base.reference)
        try:
            run(
                argv,
                env=shop.client.env,
                log=log,
                on_line=_both(steps, board.watch(image.id)),
                clean=hider([image.supply.mirror, *handover.proxies().values()]),
                pass_fds=secrets.fds,
            )
        except CommandError as error:
            raise explain(image.id, error, steps, str(log)) from error


@contextmanager
def _nearer(order: _Order, shop: Workshop, board: Board) -> Iterator[Path]:
    """The Dockerfile to build: with the base from this machine where the engine can reach that, else as rendered."""
    image = order.image
    wanted = registry.named(image.base.reference.partition("@")[0])
    where = engine.whereabouts()
    if shop.builder or not where.here or registry.is_loopback(wanted.host):
        yield order.dockerfile
        return
    stock = shop.stock(board, image)
    stored = relay.collect(
        image.base, (image.arch.platform, where.platform), stock.cache, stock.report, stock.ca_bundle
    )
    with relay.serving(stored) as host:
        near = replace(image.base, nearer=f"{host}/{wanted.repository}@{image.base.digest}")
        dockerfile = order.dockerfile.with_name("Dockerfile.nearer")
        dockerfile.write_text(render.dockerfile(replace(image, base=near), shop.root / "templates"))
        try:
            yield dockerfile
        finally:
            dockerfile.unlink(missing_ok=True)


def _both(steps: Parser, watch: Callable[[str], None]) -> Callable[[str], None]:
    def line(text: str) -> None:
        steps.feed(text)
        watch(text)

    return line


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _standin(facts: ImageFacts) -> bool:
    return any(name.endswith(".standin") for name in facts.labels)


def _seconds(steps: Parser) -> dict[str, float]:
    """Seconds by stage, of what was really done."""
    total: dict[str, float] = {}
    for step in steps.steps:
        if step.own and step.state is State.DONE:
            total[step.stage] = round(total.get(step.stage, 0.0) + step.seconds, 1)
    return total


def _record(order: _Order, facts: ImageFacts, steps: Parser, seconds: float) -> record.BuildRecord:
    image = order.image
    return record.BuildRecord(
        format=record.FORMAT,
        id=image.id,
        image=facts.id,
        fingerprint=order.fingerprint,
        source=image.supply.name,
        base=image.base.reference,
        created=order.target.labels["org.opencontainers.image.created"],
        seconds=round(seconds, 1),
        interpreters=tuple(f"{p.tag} {p.version}" for p in image.interpreters),
        lacking=image.lacking,
        packages=installed_packages(image.tag),
        steps=_seconds(steps),
        size=facts.size,
        offered=image.offered,
    )


def command(args: Namespace) -> int:
    """Build every selected image; one that fails does not stop the others. With --smoke try each that was built."""
    settings = from_args(args)
    matrix = settings.matrix()
    select(matrix, settings.selection)  # a wrong name is said before anything is started, and so is a wrong time
    revision.source_date()
    client = find_client(os.environ.get("PATH"))
    connect()
    source = sources.choose(settings, matrix, sources.say)
    if source is Source.STANDIN:
        sources.say(sources.STANDIN_NOTICE)
    elif args.lock_missing:
        lock_missing_bases(settings, matrix)
    supply, selection = sources.ready(settings, matrix, source, sources.say)
    ca = certificates.bundle()
    if source is Source.UPSTREAM:
        reader = indexes.Reader(cache=settings.cache, ca=ca, report=sources.say)
        supply = indexes.known(supply, matrix, selection, engine.whereabouts().platform, reader)
    images = resolve(matrix, supply, selection)
    shop = Workshop(
        root=settings.root,
        work=settings.work,
        cache=settings.cache,
        client=client,
        ca_bundle=ca,
        builder=args.builder,
        locks=settings.tool_locks,
    )
    inputs.sweep(shop.cache)
    work = prepare if args.prepare else build
    ended = _all(images, lambda image, board: work(image, shop, board), jobs.count(args.jobs, len(images)))
    good = [one.image for one in ended if not one.problem]
    if args.json and not (args.smoke and good):  # else smoke's records are the result
        print(json.dumps([one.as_json() for one in ended], indent=1))
    code = _smoke(args, good) if args.smoke else EXIT_OK
    if source is Source.STANDIN:
        sources.say(sources.STANDIN_NOTICE)
    return code if len(good) == len(ended) else EXIT_FAILED


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One image: what was built (None: only laid out), or why nothing was."""

    image: str
    built: Built | None = None
    problem: FactoryError | None = None

    def as_json(self) -> dict[str, Any]:
        """Its record and whether it was made just now, or the problem."""
        if self.built is None:
            return {"id": self.image, "problem": redact(str(self.problem))}
        return {**asdict(self.built.record), "fresh": self.built.fresh}


def _all(images: Sequence[Image], work: Callable[[Image, Board], Built | None], at_once: int) -> list[Ended]:
    """How each image ended; each failure is shown with its log, and at the end how many there are."""

    def one(image: Image) -> Ended:
        try:
            made = work(image, board)
        except (FactoryError, OSError) as error:
            refused = error if isinstance(error, FactoryError) else refusal(error)
            if refused is None:
                raise
            board.finish(image.id, ok=False, note=refused.message.splitlines()[0])
            return Ended(image=image.id, problem=refused)
        board.finish(image.id, ok=True, note=_summary(image, made) if made else "laid out")
        return Ended(image=image.id, built=made)

    with interruptible(), progress([image.id for image in images]) as board:
        ended = jobs.each(images, one, at_once)
    failed = {each.image: each.problem for each in ended if each.problem}
    for error in failed.values():
        show(error)
    if failed and len(images) > 1:
        text = f"{len(failed)} of {len(images)} images failed: {', '.join(failed)}"
        show(FactoryError(text, hint="a rerun does only what is missing"))
    return ended


def _summary(image: Image, made: Built) -> str:
    what = "built" if made.fresh else "up to date"
    lacking = f"; the source lacks {', '.join(image.lacking)}" if image.lacking else ""
    return f"{what} as {image.tag}, {made.record.size / 1e6:.0f} MB{lacking}"


def _smoke(args: Namespace, ids: list[str]) -> int:
    from musllinux import smoke  # noqa: PLC0415 - only with --smoke

    args.ids, args.policy, args.arch = ids, None, None
    return smoke.command(args) if ids else EXIT_FAILED
