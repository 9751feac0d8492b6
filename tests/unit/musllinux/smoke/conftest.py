"""An image of the shipped matrix, from a supply that has everything, without any engine."""

from pathlib import Path

import pytest

from musllinux import matrix
from musllinux.model import Archive, Base, Image, Selection, Supply, resolve
from musllinux.schema import Matrix


@pytest.fixture(scope="session")
def shipped(root: Path) -> Matrix:
    return matrix.load(root / "matrix.yaml", ())


@pytest.fixture(scope="session")
def supply(shipped: Matrix) -> Supply:
    def base(release: str) -> Base:
        return Base(
            reference=f"base:{release}@sha256:{'0' * 64}", release=release, version=f"{release}.1", digest="sha256:0"
        )

    releases = {r for p in shipped.policies.values() for r in (p.alpine, *p.trials)}
    series = {section.series for section in shipped.interpreters.values()}
    return Supply(
        name="upstream",
        publishable=True,
        mirror="http://127.0.0.1:9/alpine",
        python="http://127.0.0.1:9/python",
        archives={s: Archive(version=f"{s}.1", file=f"Python-{s}.1.tar.xz", sha256="0" * 64) for s in series},
        bases={(release, arch): base(release) for release in releases for arch in shipped.architectures},
        lacks={},
        rust="{triple}",
        rust_releases=dict.fromkeys(shipped.architectures, shipped.rust.alpine),
    )


@pytest.fixture(scope="session")
def images(shipped: Matrix, supply: Supply) -> list[Image]:
    """All twelve."""
    return resolve(shipped, supply, Selection())


@pytest.fixture(scope="session")
def image(images: list[Image]) -> Image:
    return next(one for one in images if one.id == "musllinux_1_2_x86_64")
