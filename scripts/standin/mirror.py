"""The tree of files that is served, in Alpine's layout: made beside the old one, put in place in one step."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from standin import apkpack
from standin.cache import Cache, digest_of, remove_tree, sha256_file

_KEPT = 2  # the tree served now and the one before it, which a client may be reading still


@dataclass(frozen=True, kw_only=True)
class Package:
    """A packed recipe: the .apk and its index entry."""

    path: Path
    entry: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One index: `v3.20/main/x86_64` and the packages in it."""

    place: str
    packages: Sequence[Package]


def publish(
    cache: Cache, repositories: Sequence[Repository], files: Mapping[str, Path], key: apkpack.SigningKey
) -> dict[str, str]:
    """Serve these repositories (under alpine/) and files (by path below the root) from now on.

    Answers with the SHA-256 of each repository's index by its place.
    """
    names = {repository.place: [package.entry for package in repository.packages] for repository in repositories}
    sums = digest_of([apkpack.VERSION, key.name, names, {name: str(path) for name, path in files.items()}])
    folder = cache.root / "sites" / sums
    if not folder.is_dir():
        with cache.scratch("site") as scratch:
            _compose(scratch / "site", repositories, files, key)
            folder.parent.mkdir(exist_ok=True)
            (scratch / "site").replace(folder)
    _point(cache.root / "site", folder)
    _forget(folder)
    return {place: sha256_file(folder / "alpine" / place / "APKINDEX.tar.gz") for place in names}


def _compose(
    root: Path, repositories: Sequence[Repository], files: Mapping[str, Path], key: apkpack.SigningKey
) -> None:
    root.mkdir()
    for name, path in files.items():
        _link(path, root / name)
    for repository in repositories:
        folder = root / "alpine" / repository.place
        folder.mkdir(parents=True)
        for package in repository.packages:
            _link(package.path, folder / package.path.name)
        entries = [package.entry for package in repository.packages]
        apkpack.write_index(entries, folder / "APKINDEX.tar.gz", key, "musllinux stand-in")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _point(link: Path, folder: Path) -> None:
    if link.is_symlink() and link.resolve() == folder.resolve():
        return
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(Path("sites") / folder.name)
    new.replace(link)
    os.utime(folder)


def _forget(current: Path) -> None:
    others = sorted(
        (path for path in current.parent.iterdir() if path != current), key=lambda path: path.stat().st_mtime
    )
    for path in others[: -(_KEPT - 1)]:
        remove_tree(path)
