"""What apk says is installed in an image, read without running anything in it."""

import io
import tarfile
from collections.abc import Iterator

from musllinux.engine import connect
from musllinux.errors import FactoryError

DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")  # apk 3 on a merged-usr root: the second


def installed_packages(reference: str) -> tuple[str, ...]:
    """`name-version` of every package, sorted.

    Raises FactoryError where the image has no apk database.
    """
    from docker.errors import NotFound  # noqa: PLC0415 - slow to import

    container = connect().containers.create(reference, ["/bin/true"])
    try:
        for place in DATABASES:
            try:
                stream, _ = container.get_archive(place)
            except NotFound:
                continue
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
                member = tar.extractfile(tar.getmembers()[0])
                text = member.read().decode("utf-8", "replace") if member else ""
            return tuple(sorted(parse(text)))
    finally:
        container.remove(force=True)
    raise FactoryError(f"{reference} has no apk database", hint="is it an Alpine image?")


def parse(text: str) -> Iterator[str]:
    """`name-version` for each paragraph of an `installed` file (P: name, V: version; apk's installed database)."""
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if line[:2] in ("P:", "V:"))
        if len(fields) == 2:  # noqa: PLR2004 - name and version
            yield f"{fields['P']}-{fields['V']}"
