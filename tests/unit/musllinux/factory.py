"""What several unit tests are made from: the shipped matrix, and a supply that has everything upstream has."""

from pathlib import Path

from musllinux.matrix import load
from musllinux.model import Archive, Base, Supply
from musllinux.schema import Matrix

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "matrix.yaml"


def shipped() -> Matrix:
    return load(SHIPPED)


def everything(matrix: Matrix) -> Supply:
    """A supply with an archive of every series and a base of every release on every architecture."""
    section = matrix.sources.upstream
    return Supply(
        name="everything",
        publishable=True,
        mirror=section.mirror,
        python=section.python,
        archives={
            i.series: Archive(version=f"{i.series}.9", file=f"Python-{i.series}.9.tar.xz", sha256="0" * 64)
            for i in matrix.interpreters.values()
        },
        bases={
            (release, arch): Base(
                reference=f"docker.io/library/alpine:{release}",
                release=release,
                version=f"{release}.1",
                digest="",
            )
            for release in matrix.releases
            for arch in matrix.architectures
        },
        lacks={},
        rust=section.rust,
        rust_releases=dict.fromkeys(matrix.architectures, matrix.rust.alpine),
        crates=section.crates or "",
    )
