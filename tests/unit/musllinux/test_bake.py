"""What is laid out for `docker buildx bake` is what `build` itself orders; `list --format bake` shows just that."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from musllinux import build, console, context, engine
from musllinux.alone import alone
from musllinux.apkindex import Package
from musllinux.buildkit_log import Parser
from musllinux.cli import main
from musllinux.engine import Client
from musllinux.model import Image, Selection, Supply, resolve

from .factory import ROOT, everything, shipped

ID = "musllinux_1_2_armv7l"
PROXY = "http://reader:s3cret@127.0.0.1:3128"


def image(supply: Supply, name: str = ID) -> Image:
    (found,) = resolve(shipped(), supply, Selection(ids=(name,)))
    return replace(found, base=replace(found.base, digest=f"sha256:{'0' * 64}"))


def upstream() -> Supply:
    return replace(everything(shipped()), name="upstream")


def standin(folder: Path) -> Supply:
    """A supply that needs more than upstream: a key of its own, this machine's network, contents that are known."""
    key = folder / "standin.rsa.pub"
    key.write_text("a public key")
    gcc = Package(name="gcc", checksum="Q1", depends=(), provides=())
    return replace(
        everything(shipped()),
        name="standin",
        publishable=False,
        mirror="http://127.0.0.1:1/alpine",
        apk_key=str(key),
        network="host",
        machine="x86_64",
        packages={("3.22", "armv7"): (gcc,), ("3.22", "x86_64"): (gcc,)},
    )


@dataclass
class Place:
    """A repository with nothing built in it, and the commands and secrets that builds there give to BuildKit."""

    root: Path
    shop: build.Workshop
    argv: list[str] = field(default_factory=list)
    secrets: dict[str, bytes] = field(default_factory=dict)

    def prepare(self, image: Image) -> None:
        with console.progress([image.id]) as board:
            build.prepare(image, self.shop, board)

    def build(self, image: Image) -> None:
        """As far as BuildKit's command, which does nothing here."""
        with alone(self.shop.place(image)), console.progress([image.id]) as board:
            build._run(build._order(image, self.shop, board), self.shop, Parser(), board)

    def run(self, argv: Sequence[str], **_: object) -> None:
        """In the place of BuildKit: reads the secrets while they are there."""
        self.argv = list(argv)
        named = (dict(pair.split("=", 1) for pair in value.split(",")) for value in self.values("secret"))
        self.secrets = {one["id"]: os.pread(int(Path(one["src"]).name), 1 << 20, 0) for one in named}

    def values(self, option: str) -> list[str]:
        """What --option=… says in the command."""
        return [word.partition("=")[2] for word in self.argv if word.startswith(f"--{option}=")]

    def baked(self, capsys: pytest.CaptureFixture[str], name: str = ID) -> Any:
        assert main(["list", "--format=bake", name]) == 0
        return json.loads(capsys.readouterr().out)["target"][name]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    root = tmp_path / "repository"
    root.mkdir()
    for name in ("matrix.yaml", "templates"):
        (root / name).symlink_to(ROOT / name)
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n")
    client = Client(path=Path("docker"), version="28", buildx="0.13", reason="")
    shop = build.Workshop(root=root, work=root / "build", cache=tmp_path, client=client, ca_bundle=ca, builder="farm")
    found = Place(root, shop)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MUSLLINUX_ROOT", str(root))
    monkeypatch.setattr(build, "run", found.run)
    monkeypatch.setattr(engine, "forget_foreign", lambda _: None)
    monkeypatch.setattr(context, "assemble", lambda *given: context.Context(path=given[-1], digest="d"))
    return found


@pytest.mark.parametrize("source", ["upstream", "standin"])
@pytest.mark.parametrize("proxy", ["", PROXY])
def test_bake_is_told_what_a_build_is_told(
    place: Place,
    tmp_path: Path,
    source: str,
    proxy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if proxy:
        monkeypatch.setenv("https_proxy", proxy)
    chosen = image(upstream() if source == "upstream" else standin(tmp_path))
    place.build(chosen)
    place.prepare(chosen)
    target = place.baked(capsys)
    secrets = [dict(pair.split("=", 1) for pair in value.split(",")) for value in target["secret"]]
    assert {one["id"]: (place.root / one["src"]).read_bytes() for one in secrets} == place.secrets
    assert [f"{name}={value}" for name, value in sorted(target["args"].items())] == place.values("build-arg")
    assert [f"{name}={value}" for name, value in sorted(target["labels"].items())] == place.values("label")
    assert ([target["network"]] if "network" in target else []) == place.values("network")
    assert target["platforms"] == place.values("platform") == ["linux/arm/v7"]
    assert target["tags"] == place.values("tag") == [f"{ID}:latest"]
    assert "target" not in target
    assert not place.values("target")
    assert str(place.root / target["context"]) == place.argv[-1]
    assert [str((place.root / target["context"] / target["dockerfile"]).resolve())] == place.values("file")


def test_a_standins_target_has_its_key_and_this_machines_network(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.prepare(image(standin(tmp_path)))
    target = place.baked(capsys)
    assert target["network"] == "host"
    assert [one.split(",")[0] for one in target["secret"]] == ["id=apk-key", "id=ca-bundle", "id=sources"]
    assert {"NATIVE_CONTENT", "SYSROOT_CONTENT", "SYSTEM_CONTENT"} <= set(target["args"])


def test_secrets_are_for_this_user_alone(place: Place, tmp_path: Path) -> None:
    place.prepare(image(standin(tmp_path)))
    folder = place.shop.work / ID / ".secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ["apk-key", "ca-bundle", "sources"], 0o600
    )


def test_secrets_that_a_later_layout_does_not_have_are_gone(place: Place, tmp_path: Path) -> None:
    place.prepare(image(standin(tmp_path)))
    place.prepare(image(upstream()))
    assert sorted(path.name for path in (place.shop.work / ID / ".secrets").iterdir()) == ["ca-bundle", "sources"]


def test_no_password_is_in_the_file(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("https_proxy", PROXY)
    place.prepare(image(replace(upstream(), mirror="https://reader:s3cret@mirror.test/alpine")))
    capsys.readouterr()
    assert "s3cret" not in json.dumps(place.baked(capsys))
    assert "s3cret" not in (place.shop.work / ID / "target.json").read_text()


def test_the_file_has_what_is_laid_out_in_one_group(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["musllinux_1_2_armv7l", "musllinux_1_2_s390x"]
    for name in reversed(names):
        place.prepare(image(upstream(), name))
    assert main(["list", "--format=bake"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["group"]["default"]["targets"] == list(said["target"]) == names


def test_what_is_asked_for_and_not_laid_out_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--format=bake"]) == 1
    assert "no image is laid out" in capsys.readouterr().err
    place.prepare(image(upstream()))
    assert main(["list", "--format=bake", ID, "musllinux_1_2_s390x"]) == 1
    said = capsys.readouterr().err
    assert "not laid out: musllinux_1_2_s390x" in said
    assert "build --prepare" in said


def test_a_build_takes_back_what_was_laid_out_with_its_passwords(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Context and Dockerfile are the build's from then on, perhaps of another source."""
    chosen = image(upstream())
    place.prepare(chosen)
    place.build(chosen)
    assert not (place.shop.work / ID / ".secrets").exists()
    assert main(["list", "--format=bake", ID]) == 1
    assert "not laid out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "[]", '{"format": 0}'])
def test_a_damaged_layout_is_none(place: Place, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    place.prepare(image(upstream()))
    (place.shop.work / ID / "target.json").write_text(text)
    assert main(["list", "--format=bake", ID]) == 1
    assert "not laid out" in capsys.readouterr().err
