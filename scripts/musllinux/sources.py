"""Which source a run uses, decided once before anything is built, and made ready."""

import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from musllinux import lockfile, rehearsal, supply, web
from musllinux.model import Selection, Supply
from musllinux.schema import Matrix
from musllinux.settings import Settings, Source

PATIENCE = 5  # seconds that an upstream host has to answer before it counts as out of reach
STANDIN_NOTICE = "these images come from the stand-in: for rehearsal only, never for publishing (docs/standin.md)"

Report = Callable[[str], None]


def choose(settings: Settings, matrix: Matrix, report: Report) -> Source:
    """The source asked for; with `auto` upstream, unless not one of its hosts answers."""
    if settings.source is not Source.AUTO:
        return settings.source
    hosts = upstream_hosts(matrix)
    for host in hosts:
        if answers(host):
            return Source.UPSTREAM
    report(f"no upstream host answers ({', '.join(hosts)}): using the stand-in instead")
    return Source.STANDIN


def ready(settings: Settings, matrix: Matrix, source: Source, report: Report) -> tuple[Supply, Selection]:
    """The supply of a source, with the stand-in brought up where it is the one, and what of the wish it can serve.

    Raises FactoryError or StandinError where it cannot be had.
    """
    if source is Source.UPSTREAM:
        return present(settings, matrix, source), settings.selection
    selection, left_out = rehearsal.rehearsable(matrix, settings.selection)
    if left_out:
        report(f"the stand-in has no recipes or no base for {', '.join(left_out)}: left out")
    rehearsal.up(rehearsal.part_for(matrix, selection), rehearsal.cache(settings), report)
    found = present(settings, matrix, source)
    absent = [tag for tag, python in matrix.interpreters.items() if python.series not in found.archives]
    if absent and not selection.interpreters:
        report(f"the stand-in makes these only when asked for by --interpreters: {', '.join(absent)}")
    return found, selection


def present(settings: Settings, matrix: Matrix, source: Source) -> Supply:
    """The supply of a source as it is now, starting nothing: for verbs that only look."""
    if source is Source.UPSTREAM:
        return supply.upstream(matrix, lockfile.load(settings.lock_file))
    return supply.standin(matrix, rehearsal.state_file(settings))


def upstream_hosts(matrix: Matrix) -> list[str]:
    """host:port of each upstream source, without credentials."""
    section = matrix.sources.upstream
    found = []
    for url in (section.mirror, section.python, f"https://{section.base}"):
        parts = urlsplit(url.replace("{alpine}", "0"))
        found.append(f"{parts.hostname}:{parts.port or (80 if parts.scheme == 'http' else 443)}")
    return list(dict.fromkeys(found))


def answers(host: str) -> bool:
    """Whether the host can be reached, through the user's proxy where one is set."""
    import requests  # noqa: PLC0415 - slow to import

    name, _, port = host.rpartition(":")
    scheme = "http" if port == "80" else "https"
    url = f"{scheme}://{name}:{port}/"
    try:
        requests.head(url, timeout=PATIENCE, allow_redirects=False, proxies=web.proxies(url))
    except requests.exceptions.SSLError:
        return True  # it answered; whether its certificate can be trusted is for the download to say
    except requests.RequestException:
        return False
    return True


def say(line: str) -> None:
    sys.stdout.flush()  # which waits in a pipe: what was said before comes before
    print(f"[sources] {line}", file=sys.stderr, flush=True)
