"""From model to text: Dockerfiles out of Jinja templates. Pure: no network, no clock, no engine."""

import functools
from pathlib import Path

import jinja2

from musllinux.model import Image


@functools.cache
def _environment(templates: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - Dockerfiles, not HTML
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )


def dockerfile(image: Image, templates: Path) -> str:
    """The image's Dockerfile, ending in one newline."""
    text = _environment(templates).get_template("Dockerfile.j2").render(image=image)
    return text.rstrip("\n") + "\n"
