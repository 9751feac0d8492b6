"""From model to text: Dockerfiles out of Jinja templates. Pure: no network, no clock, no engine."""

import difflib
import functools
import sys
from argparse import Namespace
from pathlib import Path

import jinja2

from musllinux import lockfile, supply
from musllinux.errors import EXIT_FAILED, EXIT_OK, FactoryError
from musllinux.model import Image, resolve
from musllinux.settings import Settings, from_args


@functools.cache
def _environment(templates: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Dockerfiles, not HTML
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
    )


def dockerfile(image: Image, templates: Path) -> str:
    """The image's Dockerfile, ending in one newline.

    Raises FactoryError with file and line for a broken template or a name that the model does not have.
    """
    try:
        text = _environment(templates).get_template("Dockerfile.j2").render(image=image)
    except Exception as error:  # whatever an expression raises is the mistake of the template it stands in
        said = " ".join(str(error).split()) or type(error).__name__
        raise FactoryError(f"{_place(error, templates)}: {said}", hint="templates/ is wrong") from error
    return text.rstrip("\n") + "\n"


def _place(error: Exception, templates: Path) -> str:
    """file:line of a template's mistake: syntax errors say it, others leave it in the traceback."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}"
    trace, found = error.__traceback__, str(templates)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(str(templates)):
            found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def command(args: Namespace) -> int:
    """Write images/<id>/Dockerfile as upstream builds it; with --check only compare."""
    settings = from_args(args)
    matrix = settings.matrix()
    images = resolve(matrix, supply.upstream(matrix, lockfile.load(settings.lock_file)), settings.selection)
    texts = {_path(settings, image): dockerfile(image, settings.root / "templates") for image in images}
    stale = [path for path, text in texts.items() if _read(path) != text]
    everything = not (settings.ids or settings.policies or settings.arches)
    orphans = sorted(set(settings.root.glob("images/*/Dockerfile")) - set(texts)) if everything else []
    return (_check if args.check else _write)(settings, texts, stale, orphans)


def _path(settings: Settings, image: Image) -> Path:
    return settings.root / "images" / image.id / "Dockerfile"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _check(settings: Settings, texts: dict[Path, str], stale: list[Path], orphans: list[Path]) -> int:
    for path in stale:
        name = str(path.relative_to(settings.root))
        lines = difflib.unified_diff(
            _read(path).splitlines(), texts[path].splitlines(), name, "rendered now", lineterm="", n=0
        )
        print("\n".join(list(lines)[:20]))
    for path in orphans:
        print(f"{path.relative_to(settings.root)} is of no image in the matrix")
    if wrong := len(stale) + len(orphans):
        print(f"{wrong} of {len(texts)} Dockerfiles are not up to date: run `musllinux render`", file=sys.stderr)
    return EXIT_FAILED if wrong else EXIT_OK


def _write(settings: Settings, texts: dict[Path, str], stale: list[Path], orphans: list[Path]) -> int:
    """Bring images/ up to date. Orphans are files of images that the matrix had once."""
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(texts[path], encoding="utf-8")
        fresh.replace(path)
        print(f"wrote {path.relative_to(settings.root)}")
    for path in orphans:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
        print(f"removed {path.relative_to(settings.root)}")
    print(f"{len(texts)} Dockerfiles, {len(stale)} changed", file=sys.stderr)
    return EXIT_OK
