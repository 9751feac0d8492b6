"""Build images: context, Dockerfile, BuildKit, record. What has not changed is not built again."""

import datetime as dt
import hashlib
import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from musllinux import certificates, context, engine, inputs, record, registry, relay, render, secretfile, sources
from musllinux.buildkit_log import Parser, State
from musllinux.complaint import show
from musllinux.console import Board, progress
from musllinux.engine import Client, ImageFacts, connect, find_client, image_facts
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError
from musllinux.failure import explain
from musllinux.installed import installed_packages
from musllinux.model import Image, resolve, select
from musllinux.redact import hider
from musllinux.run import CommandError, interruptible, run
from musllinux.settings import Source, from_args

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where and with what images are built."""

    root: Path  # the repository
    work: Path  # build/, one folder an image
    cache: Path
    client: Client
    ca_bundle: Path | None
    builder: str = ""

    def place(self, image: Image) -> Path:
        return self.work / image.id

    def log(self, image: Image) -> Path:
        return self.place(image) / "build.log"

    def stock(self, board: Board, image: Image) -> context.Stock:
        def report(line: str) -> None:
            board.note(image.id, line)

        return context.Stock(root=self.root, cache=self.cache, ca_bundle=self.ca_bundle, report=report)


@dataclass(frozen=True, kw_only=True)
class Built:
    record: record.BuildRecord
    fresh: bool  # False: it was up to date


def build(image: Image, shop: Workshop, board: Board) -> Built:
    """Make the image and leave it in the engine under its local tag, unless it is there with the same inputs.

    Raises FactoryError: an input that cannot be had, a failed step (with its log), another run on the same image.
    """
    if not image.base.digest:
        raise FactoryError(
            f"{image.id}: the base {image.base.reference} is not locked",
            hint="`musllinux lock` records its digest",
        )
    place = shop.place(image)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0):
            return _build(image, shop, board)
    except Timeout:
        raise FactoryError(
            f"{image.id}: another run is building it", hint=f"wait for it; its log is {shop.log(image)}"
        ) from None


@dataclass(frozen=True, kw_only=True)
class _Order:
    """Everything one BuildKit run is given."""

    image: Image
    context: Path
    dockerfile: Path
    labels: Mapping[str, str]
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
    made = context.assemble(image, shop.stock(board, image), place / "context")
    text = render.dockerfile(image, shop.root / "templates")
    dockerfile = place / "Dockerfile"
    dockerfile.write_text(text)
    labels = _labels(shop.root)
    fingerprint = _fingerprint(text, made.digest, *image.contents.values(), labels[REVISION])
    return _Order(image=image, context=made.path, dockerfile=dockerfile, labels=labels, fingerprint=fingerprint)


def _built_facts(image: Image, shop: Workshop) -> ImageFacts:
    found = image_facts(image.tag)
    if found is None or not found.is_for(image.arch.platform):
        what = f"is for {found.platform}" if found else "is not in the engine"
        raise FactoryError(f"{image.tag} {what} after a build for {image.arch.platform}", log=str(shop.log(image)))
    return found


def _run(order: _Order, shop: Workshop, steps: Parser, board: Board) -> None:
    image, log = order.image, shop.log(order.image)
    log.unlink(missing_ok=True)
    proxies = {name: os.environ[name] for name in PROXIES if name in os.environ}
    with (
        _nearer(order, shop, board) as dockerfile,
        secretfile.held(_secrets(image, proxies, shop.ca_bundle)) as secrets,
    ):
        argv = shop.client.build_argv(
            context=order.context,
            dockerfile=dockerfile,
            tag=image.tag,
            platform=image.arch.platform,
            args=image.contents,
            secrets=secrets.paths,
            labels=order.labels,
            network=_network(image, proxies),
            builder=shop.builder,
        )
        try:
            run(
                argv,
                env=shop.client.env,
                log=log,
                on_line=_both(steps, board.watch(image.id)),
                clean=hider([image.supply.mirror, *proxies.values()]),
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


def _network(image: Image, proxies: Mapping[str, str]) -> str:
    """The network mode of the build's steps: this machine's own where a mirror or proxy listens on its loopback."""
    urls = [image.supply.mirror, *(url for name, url in proxies.items() if name.lower() != "no_proxy")]
    return image.supply.network or ("host" if any(registry.is_loopback(_host(url)) for url in urls) else "")


def _host(url: str) -> str:
    """The host of a URL, or of a proxy that is written without http://."""
    try:
        return urlsplit(url if "://" in url else f"http://{url}").hostname or ""
    except ValueError:
        return ""


def _both(steps: Parser, watch: Callable[[str], None]) -> Callable[[str], None]:
    def line(text: str) -> None:
        steps.feed(text)
        watch(text)

    return line


def _secrets(image: Image, proxies: Mapping[str, str], ca_bundle: Path | None) -> dict[str, bytes]:
    """What the build's steps are given and no layer keeps, by the name that images/files/build/sources.sh knows."""
    found = {"sources": context.secrets(image, proxies).encode()}
    if image.supply.apk_key:
        found["apk-key"] = Path(image.supply.apk_key).read_bytes()
    if ca_bundle:
        found["ca-bundle"] = certificates.secret(ca_bundle)
    return found


def _labels(root: Path) -> dict[str, str]:
    """Revision and time of the commit: the same commit gives the same labels, whenever it is built."""
    git = ["git", "-C", str(root)]
    shown = run([*git, "show", "-s", "--format=%H %ct", "HEAD"], check=False)
    revision, _, seconds = shown.output.partition(" ") if shown.code == 0 else ("unknown", "", "0")
    if run([*git, "status", "--porcelain"], check=False).output:
        revision += "-modified"
    moment = dt.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", seconds)), dt.UTC)
    return {
        REVISION: revision,
        "org.opencontainers.image.created": moment.isoformat(timespec="seconds"),
        "org.opencontainers.image.version": moment.strftime("%Y.%m.%d"),
    }


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
        created=order.labels["org.opencontainers.image.created"],
        seconds=round(seconds, 1),
        interpreters=tuple(f"{p.tag} {p.version}" for p in image.interpreters),
        lacking=image.lacking,
        packages=installed_packages(image.tag),
        steps=_seconds(steps),
        size=facts.size,
    )


def command(args: Namespace) -> int:
    """Build every selected image; one that fails does not stop the others. With --smoke try each that was built."""
    settings = from_args(args)
    matrix = settings.matrix()
    select(matrix, settings.selection)  # a wrong name is said before anything is started
    client = find_client(os.environ.get("PATH"))
    connect()
    source = sources.choose(settings, matrix, sources.say)
    if source is Source.STANDIN:
        sources.say(sources.STANDIN_NOTICE)
    supply, selection = sources.ready(settings, matrix, source, sources.say)
    images = resolve(matrix, supply, selection)
    shop = Workshop(
        root=settings.root,
        work=settings.work,
        cache=settings.cache,
        client=client,
        ca_bundle=certificates.bundle(),
        builder=args.builder,
    )
    inputs.sweep(shop.cache)
    failed = _build_all(images, shop)
    code = _smoke(args, failed, images) if args.smoke else EXIT_OK
    if source is Source.STANDIN:
        sources.say(sources.STANDIN_NOTICE)
    return EXIT_FAILED if failed else code


def _build_all(images: Sequence[Image], shop: Workshop) -> list[str]:
    """The ids that failed."""
    failed: list[FactoryError] = []
    ids = []
    with interruptible(), progress([image.id for image in images]) as board:
        for image in images:
            try:
                made = build(image, shop, board)
            except FactoryError as error:
                board.finish(image.id, ok=False, note=error.message.splitlines()[0])
                failed.append(error)
                ids.append(image.id)
            else:
                board.finish(image.id, ok=True, note=_summary(image, made))
    for each in failed:
        show(each)
    return ids


def _summary(image: Image, made: Built) -> str:
    what = "built" if made.fresh else "up to date"
    lacking = f"; the source lacks {', '.join(image.lacking)}" if image.lacking else ""
    return f"{what} as {image.tag}, {made.record.size / 1e6:.0f} MB{lacking}"


def _smoke(args: Namespace, failed: Sequence[str], images: Sequence[Image]) -> int:
    from musllinux import smoke  # noqa: PLC0415 - only with --smoke

    args.ids = [image.id for image in images if image.id not in failed]
    args.policy = args.arch = None
    return smoke.command(args) if args.ids else EXIT_FAILED
