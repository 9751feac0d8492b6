"""Run the checks of one image: in parallel, each on its own, a failing one hiding no other."""

import datetime as dt
import os
import platform
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from musllinux.emulation import emulated
from musllinux.errors import FactoryError
from musllinux.model import Image
from musllinux.redact import redact
from musllinux.run import stop_all, when_stopped
from musllinux.smoke import hidden, mounted
from musllinux.smoke.containers import Container, Containers, Engine, owner_of
from musllinux.smoke.context import HOME, PROBES, Context, Inspected, Shared
from musllinux.smoke.record import CheckResult, Machine, SmokeRecord, Status, suite
from musllinux.smoke.registry import Check, Failed, LeftOut, require
from musllinux.smoke.suite import checks

EMULATION = 12.0  # how much longer than natively qemu-user may take


class Progress(Protocol):
    def started(self, check: Check) -> None: ...
    def ended(self, check: Check, result: CheckResult) -> None: ...


def smoke(
    image: Image,
    *,
    root: Path,
    work: Path,
    progress: Progress,
    reference: str = "",
    wanted: Callable[[Check], bool] = lambda _: True,
) -> SmokeRecord:
    """Try the built image, or `reference` in its place; the log goes to `work`/<id>/smoke.log.

    `wanted` chooses among its checks. Raises FactoryError when there is no such image, or it does not even start.
    """
    mounted.sweep()  # also where no check of this run mounts a secret
    place = work / image.id
    place.mkdir(parents=True, exist_ok=True)
    log = Log(place / "smoke.log")
    engine = Engine()
    started = time.monotonic()
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    try:
        facts = inspect(engine, image, reference or image.tag)
        with _context(image, facts, engine, root, _emptied(place / "smoke")) as context:
            found = [one for one in checks(image) if wanted(one)]
            results = run_all(found, context, log, progress, hide=hidden.hider(image))
    finally:
        engine.close()
        log.close()
    return SmokeRecord(
        id=image.id,
        image=facts.id,
        suite=suite(image, root),
        source=image.supply.name,
        started=moment,
        seconds=round(time.monotonic() - started, 1),
        machine=machine(image),
        interpreters=tuple(one.tag for one in image.interpreters),
        checks=tuple(results),
    )


def run_all(
    found: Sequence[Check],
    context: Context,
    log: "Log",
    progress: Progress,
    workers: int = 0,
    hide: Callable[[str], str] = redact,
) -> list[CheckResult]:
    """Every check's result, in the order given. `hide` gets every text of a check before anybody sees it."""
    results: dict[int, CheckResult] = {}
    pending = dict(sorted(enumerate(found), key=lambda item: -item[1].weight))
    running: dict[Future[CheckResult], int] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 2) as pool:
        try:
            while pending or running:
                for number in _ready(pending, running, found):
                    one = pending.pop(number)
                    running[pool.submit(_run, one, context, log, progress, hide)] = number
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    results[running.pop(future)] = future.result()
        except BaseException:
            stop_all()  # what the workers wait for ends with its program (cibuildwheel) …
            context.containers.close()  # … or with its container
            pool.shutdown(cancel_futures=True)
            raise
    return [results[number] for number in range(len(found))]


def _ready(
    pending: Mapping[int, Check], running: Mapping[Future[CheckResult], int], found: Sequence[Check]
) -> list[int]:
    busy = {pending[n].group for n in pending} | {found[n].group for n in running.values()}
    return [n for n, one in pending.items() if not one.after & busy]


def _run(one: Check, context: Context, log: "Log", progress: Progress, hide: Callable[[str], str]) -> CheckResult:
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(hide(line))

    progress.started(one)
    started = time.monotonic()
    status, said = _outcome(one, context.to(note), note)
    if status == "failed" and _emulator_crashed(context.image, said):
        note(f"{said}\nknown to happen under this emulator (qemu_lacks in the matrix): once more")
        status, said = _outcome(one, context.to(note), note)
        said = f"{said} (the second time: first exit code 139)"
    text = hide(said)
    result = CheckResult(
        name=one.name,
        group=one.group,
        subject=one.subject,
        status=status,
        seconds=round(time.monotonic() - started, 1),
        detail="" if status == "left-out" else text,
        reason=text if status == "left-out" else "",
    )
    log.write(result, lines)
    progress.ended(one, result)
    return result


def _emulator_crashed(image: Image, said: str) -> bool:
    """Whether a check ended with SIGSEGV where that is known to happen now and then (docs/architectures.md)."""
    return "exit code 139" in said and "steady threads" in image.arch.qemu_lacks and emulated(image.arch)


def _outcome(one: Check, context: Context, log: Callable[[str], None]) -> tuple[Status, str]:
    try:
        return "ok", one.body(context, *one.arguments) or ""
    except LeftOut as reason:
        return "left-out", str(reason)
    except Failed as problem:
        return "failed", str(problem)
    except FactoryError as problem:
        return "failed", str(problem)
    except Exception as bug:  # a broken check must not hide the others; its traceback goes to the log
        log(traceback.format_exc())
        return "failed", f"the check itself broke: {type(bug).__name__}: {bug}"


class Log:
    """smoke.log: check after check, each whole, in the order in which they end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w")
        self._lock = threading.Lock()

    def write(self, result: CheckResult, lines: Sequence[str]) -> None:
        with self._lock:
            self._file.write(f"=== {result.group} / {result.title}: {result.status}, {result.seconds} s\n")
            self._file.writelines(f"{line}\n" for line in [*lines, result.text, ""])
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def inspect(engine: Engine, image: Image, reference: str) -> Inspected:
    """Raises FactoryError when the image is not in the engine."""
    from docker.errors import ImageNotFound  # noqa: PLC0415

    try:
        attrs = engine.client.images.get(reference).attrs
    except ImageNotFound:
        raise FactoryError(
            f"{image.id}: no image {reference} in the engine", hint=f"`musllinux build {image.id}` makes it"
        ) from None
    config = attrs["Config"]
    parts = [attrs["Os"], attrs["Architecture"], attrs.get("Variant")]
    return Inspected(
        reference=reference,
        id=attrs["Id"],
        platform="/".join(part for part in parts if part),
        labels=dict(config.get("Labels") or {}),
        env=dict(entry.partition("=")[::2] for entry in config.get("Env") or []),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        size=int(attrs["Size"]),
    )


def machine(image: Image) -> Machine:
    uname = platform.uname()
    return Machine(
        cpus=os.cpu_count() or 1,
        system=f"{uname.system} {uname.release} {uname.machine}",
        engine=_engine_version(),
        emulated=emulated(image.arch),
    )


def _emptied(folder: Path) -> Path:
    """An earlier run's wheels must not be tried in place of this one's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _engine_version() -> str:
    from musllinux.engine import connect  # noqa: PLC0415

    client = connect()
    try:
        return f"Docker {client.version()['Version']}"
    finally:
        client.close()


@contextmanager
def _context(image: Image, facts: Inspected, engine: Engine, root: Path, work: Path) -> Iterator[Context]:
    slow = EMULATION if emulated(image.arch) else 1.0
    containers = Containers(engine, slow, owner_of(work))
    containers.sweep()
    try:
        with when_stopped(containers.close):
            yield Context(
                image=image,
                facts=facts,
                root=root,
                work=work,
                containers=containers,
                main=_first(image, facts, containers, root),
                shared=Shared(),
                log=lambda _: None,
            )
    finally:
        containers.close()


def _first(image: Image, facts: Inspected, containers: Containers, root: Path) -> Container:
    """The container that most checks share, with the probes and samples in it."""
    from docker.errors import APIError  # noqa: PLC0415

    home = HOME.strip("/")
    try:
        _require_start(image, facts, containers)
        main = containers.start(facts.id, image.arch.platform, entry=facts.entrypoint)
        main.put({f"{home}/probes": PROBES, f"{home}/wheels": root / "tests" / "wheels"})
    except (APIError, Failed) as error:
        text = getattr(error, "explanation", None) or str(error)
        hint = "`musllinux doctor` looks for missing emulation" if containers.slow > 1 else "see its build log"
        raise FactoryError(f"{image.id}: a container of it does not start: {text}", hint=hint) from error
    return main


def _require_start(image: Image, facts: Inspected, containers: Containers) -> None:
    """`docker run IMAGE true`. Raises Failed with the container's own words."""
    first = containers.create(facts.id, ["true"], image.arch.platform, keep=True)
    try:
        result = containers.attach(first, stdin=b"", log=lambda _: None)
    finally:
        first.remove()
    said = (result.err or result.out).strip() or "it says nothing"
    require(not result.code, f"exit code {result.code}: {said}")
