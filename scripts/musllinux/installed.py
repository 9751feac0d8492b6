"""What apk says is installed in an image, read without running anything in it."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from musllinux.engine import asking, connect
from musllinux.errors import FactoryError

if TYPE_CHECKING:
    import docker

DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")  # apk 3 on a merged-usr root: the second


def installed_packages(reference: str) -> tuple[str, ...]:
    """`name-version` of every package, sorted.

    Raises FactoryError where the image has no apk database.
    """
    with closing(connect()) as client, asking(f"for the packages of {reference}"):
        for text in _databases(client, reference):
            return tuple(sorted(parse(text)))
    raise FactoryError(f"{reference} has no apk database", hint="is it an Alpine image?")


def _databases(client: "docker.DockerClient", reference: str) -> Iterator[str]:
    """The text of each database that the image has."""
    from docker.errors import NotFound  # noqa: PLC0415 - slow to import

    container = client.containers.create(reference, ["/bin/true"])
    try:
        for place in DATABASES:
            with suppress(NotFound):
                stream, _ = container.get_archive(place)
                with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                    member = tar.extractfile(tar.getmembers()[0])
                    yield member.read().decode("utf-8", "replace") if member else ""
    finally:
        container.remove(force=True)


def parse(text: str) -> Iterator[str]:
    """`name-version` for each paragraph of an `installed` file (P: name, V: version; apk's installed database)."""
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if line[:2] in ("P:", "V:"))
        if len(fields) == 2:  # noqa: PLR2004 - name and version
            yield f"{fields['P']}-{fields['V']}"
