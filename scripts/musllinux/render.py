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
    except jinja2.TemplateError as error:
        raise FactoryError(f"{_place(error, templates)}: {error.message}", hint="templates/ is wrong") from error
    return text.rstrip("\n") + "\n"


def _place(error: jinja2.TemplateError, templates: Path) -> str:
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
    return _check(settings, texts, stale) if args.check else _write(settings, texts, stale)


def _path(settings: Settings, image: Image) -> Path:
    return settings.root / "images" / image.id / "Dockerfile"


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _check(settings: Settings, texts: dict[Path, str], stale: list[Path]) -> int:
    for path in stale:
        name = str(path.relative_to(settings.root))
        lines = difflib.unified_diff(
            _read(path).splitlines(), texts[path].splitlines(), name, "rendered now", lineterm="", n=0
        )
        print("\n".join(list(lines)[:20]))
    if stale:
        print(f"{len(stale)} of {len(texts)} Dockerfiles are not up to date: run `musllinux render`", file=sys.stderr)
    return EXIT_FAILED if stale else EXIT_OK


def _write(settings: Settings, texts: dict[Path, str], stale: list[Path]) -> int:
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(texts[path])
        fresh.replace(path)
        print(f"wrote {path.relative_to(settings.root)}")
    print(f"{len(texts)} Dockerfiles, {len(stale)} changed", file=sys.stderr)
    return EXIT_OK
