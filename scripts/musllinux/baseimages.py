"""Base images of upstream: the newest point release, the digests of its manifests, the sums of Alpine's tarballs."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musllinux import registry, web
from musllinux.errors import FactoryError
from musllinux.lockfile import LockedBase
from musllinux.redact import redact
from musllinux.registry import Client, Manifest, Named
from musllinux.schema import ArchitectureSection, Matrix

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHA512 = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, kw_only=True)
class Library:
    """A repository of base images and Alpine's mirror, as an upstream section names them."""

    base: str  # docker.io/library/alpine:{alpine}
    mirror: str
    client: Client
    ca: Path | None


def library(matrix: Matrix, ca: Path | None) -> Library:
    section = matrix.sources.upstream
    return Library(base=section.base, mirror=section.mirror, client=client(registry.named(section.base), ca), ca=ca)


def client(wanted: Named, ca: Path | None) -> Client:
    """The registry of an image, with docker's credentials for it."""
    plain = registry.is_loopback(wanted.host)
    return Client(wanted.api, registry.credentials(wanted.host), plain=plain, ca=ca)


def newest(where: Library, release: str) -> str:
    """The newest point release that the registry has a tag for. Raises FactoryError where it has none."""
    wanted = registry.named(where.base)
    before, _, after = wanted.tag.partition("{alpine}")
    like = re.compile(re.escape(before) + rf"({re.escape(release)}\.\d+)" + re.escape(after))
    found = [match[1] for tag in where.client.tags(wanted.repository) if (match := like.fullmatch(tag))]
    if not found:
        raise FactoryError(
            f"{wanted.host}/{wanted.repository} has no tag {before}{release}.N{after}",
            hint="sources.upstream.base names the repository; its tags must hold Alpine's whole version",
        )
    return max(found, key=lambda version: int(version.rpartition(".")[2]))


def locked(where: Library, release: str, version: str, arches: Iterable[ArchitectureSection]) -> LockedBase:
    """Everything there is to pin of one version. Raises FactoryError, also where an architecture has no image."""
    arches = list(arches)
    reference = where.base.format(alpine=version)
    wanted = registry.named(reference)
    index = where.client.manifest(wanted.repository, wanted.tag)
    if index is None:
        raise FactoryError(f"{reference}: the registry has no such image", hint="is sources.upstream.base right?")
    return LockedBase(
        version=version,
        reference=reference,
        digest=index.digest,
        platforms={a.platform: entry(index, a.platform, reference)["digest"] for a in arches},
        minirootfs=_minirootfs(where, release, version, arches),
    )


def entry(index: Manifest, platform: str, reference: str) -> Mapping[str, Any]:
    """The descriptor of a platform's manifest in an index. Raises FactoryError where it has none."""
    listed = json.loads(index.body).get("manifests")
    asked = platform.split("/")
    for found in listed if isinstance(listed, list) else ():
        stated = found.get("platform") if isinstance(found, dict) else None
        if not isinstance(stated, dict) or not DIGEST.fullmatch(str(found.get("digest"))):
            continue
        parts = [stated.get("os"), stated.get("architecture"), stated.get("variant")]
        if [part for part in parts if part][: len(asked)] == asked:
            return dict(found)
    raise FactoryError(
        f"{reference} ({index.digest}) has no image for {platform}",
        hint="a mirror must hold the whole multi-architecture image; or drop the architecture in an overlay",
    )


def _minirootfs(where: Library, release: str, version: str, arches: Iterable[ArchitectureSection]) -> dict[str, str]:
    """SHA-512 of the tarballs by apk architecture, as Alpine publishes them; a release may lack an architecture."""
    found = {}
    for arch in arches:
        url = f"{where.mirror}/v{release}/releases/{arch.apk}/alpine-minirootfs-{version}-{arch.apk}.tar.gz.sha512"
        said = web.page(url, where.ca)
        if said is None:
            continue
        match = _SHA512.match(said.decode("ascii", errors="replace"))
        if match is None:
            raise FactoryError(f"{redact(url)}: not a SHA-512", hint="is that a mirror of Alpine's?")
        found[arch.apk] = match[0]
    return found
