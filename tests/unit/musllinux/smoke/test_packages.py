"""packages: apk in a container takes its packages where this run's builds do, and shows nobody how."""

import base64
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.musllinux.server import Answer, Served, free_port, serving

from musllinux import certificates, handover
from musllinux.errors import FactoryError
from musllinux.model import Image
from musllinux.smoke import apkconfig
from musllinux.smoke.checks import packages
from musllinux.smoke.containers import Container, Mount, Result
from musllinux.smoke.context import Context, Inspected, Shared
from musllinux.smoke.registry import LeftOut

INDEX = "/alpine/v3.22/main/x86_64/APKINDEX.tar.gz"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
# apk itself: tells what it was given, below the container's folder
APK = """#!/bin/sh
[ "$1" = info ] && { echo bzip2-dev; exit; }
printf '%s\\n' "$@" >"$ROOT/arguments"
printf '%s\\n' "${https_proxy:-}" "${HTTP_AUTH:-}" "${HTTP_PROXY_AUTH:-}" >"$ROOT/variables"
while [ $# -gt 0 ]; do
    case $1 in
    --repositories-file) cp "$2" "$ROOT/repositories" ;;
    --keys-dir) ls "$2" >"$ROOT/keys" ;;
    esac
    shift
done
[ -z "${SSL_CERT_FILE:-}" ] || cp "$SSL_CERT_FILE" "$ROOT/ca"
"""


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*handover.PROXIES, *certificates.VARIABLES, "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@dataclass(kw_only=True)
class Place:
    """In place of a container: a folder, in which the shell's scripts really run."""

    root: Path
    network: str = ""
    shown: list[str] = field(default_factory=list)  # what `docker inspect` and a process list have
    put_there: dict[str, object] = field(default_factory=dict)

    def start(self, image: str, platform: str, *, mounts: Sequence[Mount], network: str, **_: object) -> "Place":
        self.network = network
        self.shown += [image, platform, *(f"{m.source}:{m.target}" for m in mounts)]
        for folder in ("bin", "dev/shm", "usr/share/apk/keys", "etc/apk/keys"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc/apk/keys/alpine.rsa.pub").touch()
        (self.root / "bin/apk").write_text(APK)
        (self.root / "bin/apk").chmod(0o755)
        for mount in mounts:
            target = self.root / mount.target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mount.source, target)
            if target.suffix == ".sh":
                target.write_text(self.moved(target.read_text()))
        return self

    def moved(self, script: str) -> str:
        """With its absolute paths in the folder."""
        for path in ("/run/secrets", "/dev/shm", "/usr/share/apk/keys", "/etc/apk/keys"):
            script = script.replace(path, f"{self.root}{path}")
        return script

    def run(self, *argv: str, env: dict[str, str] | None = None, **_: object) -> Result:
        self.shown += [*argv, *(env or {}).values()]
        out = ""
        if argv[0] in ("sh", "apk"):
            variables = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "ROOT": str(self.root), **(env or {})}
            out = subprocess.run(
                [self.moved(word) for word in argv], env=variables, check=True, capture_output=True, text=True
            ).stdout
        return Result(argv=argv, code=0, out=out, err="")

    def put(self, files: dict[str, object], _: str = "/") -> None:
        self.put_there.update(files)

    def remove(self) -> None: ...

    def given(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(root=tmp_path / "container")


def context(image: Image, root: Path, place: Place) -> Context:
    facts = SimpleNamespace(id="sha256:0", entrypoint=())
    return Context(
        image=image,
        facts=cast(Inspected, facts),
        root=root,
        work=place.root,
        containers=cast(Any, place),
        main=cast(Any, None),
        shared=Shared(),
        log=lambda _: None,
    )


def supplied(image: Image, **changes: Any) -> Image:
    return replace(image, supply=replace(image.supply, **changes))


# --- whether the source answers -------------------------------------------------------------------------------------


def asked(image: Image, root: Path, place: Place) -> None:
    packages._reachable(context(image, root, place))


def mirror(served: Served, known: str) -> str:
    return served.url.replace("://", f"://{known}@") + "/alpine"


def test_a_mirror_is_asked_with_its_user_and_password(image: Image, root: Path, place: Place) -> None:
    with serving() as served:
        served.answers[INDEX] = Answer()
        asked(supplied(image, mirror=mirror(served, "reader:s3cret%40")), root, place)
        ((_, headers),) = served.asked
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'reader:s3cret@').decode()}"


def test_a_mirror_is_asked_through_a_proxy_that_wants_a_password(
    image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as served:
        monkeypatch.setenv("http_proxy", served.url.replace("http://", "me:s3cret@"))
        served.answers[f"http://mirror.invalid{INDEX}"] = Answer()
        asked(supplied(image, mirror="http://mirror.invalid/alpine"), root, place)
        ((_, headers),) = served.asked
    assert headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'me:s3cret').decode()}"


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_a_mirror_that_refuses_leaves_the_check_out_without_its_password(
    image: Image, root: Path, place: Place, status: int
) -> None:
    with serving() as served, pytest.raises(LeftOut) as left:
        served.answers[INDEX] = Answer(status=status)
        asked(supplied(image, mirror=mirror(served, "reader:s3cret")), root, place)
    assert str(left.value) == f"{mirror(served, '***')}/v3.22/main/x86_64/APKINDEX.tar.gz: the server answers {status}"


@pytest.mark.parametrize("known", ["reader:s3cret", "reader:s3:cret", "s3cret"])
def test_a_mirror_out_of_reach_leaves_the_check_out_without_its_password(
    image: Image, root: Path, place: Place, known: str
) -> None:
    with pytest.raises(LeftOut, match=r"^http://\*\*\*@127\.0\.0\.1:.*: not reachable \(check the network") as left:
        asked(supplied(image, mirror=f"http://{known}@127.0.0.1:{free_port()}/alpine"), root, place)
    assert "cret" not in str(left.value)


# --- what apk is given ----------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.pem").write_text(f"the company's\n{CERTIFICATE}")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))


def tried(image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(packages, "_reachable", lambda _: None)
    return packages.add(context(image, root, place))


@pytest.mark.usefixtures("bundle")
def test_apk_gets_the_mirror_the_proxies_and_the_certificates_of_a_build(
    image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:pr0xy@proxy.invalid:3128")
    image = supplied(image, mirror="https://reader:s3cret@mirror.invalid/alpine")
    assert tried(image, root, place, monkeypatch).startswith("bzip2-dev, ")
    assert place.given("repositories") == list(image.repositories)
    assert place.given("variables") == ["http://me:pr0xy@proxy.invalid:3128", "", ""]
    assert place.given("ca") == CERTIFICATE.splitlines()
    assert place.given("keys") == ["alpine.rsa.pub"]
    assert {"add", "--quiet", "--no-cache", "bzip2-dev"} <= set(place.given("arguments"))
    assert place.network == ""


@pytest.mark.usefixtures("bundle")
def test_neither_the_containers_description_nor_a_command_has_a_password(
    image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "me:pr0xy%40@proxy.invalid:3128")
    tried(supplied(image, mirror="https://reader:s3cret%40@mirror.invalid/alpine"), root, place, monkeypatch)
    assert place.given("variables") == ["proxy.invalid:3128", "basic:*:reader:s3cret@", "basic:*:me:pr0xy@"]
    assert [word for word in (*place.shown, *place.given("arguments")) if "s3cret" in word or "pr0xy" in word] == []


def test_a_proxy_or_mirror_on_loopback_is_reached_through_the_hosts_network(
    image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(supplied(image, mirror="http://127.0.0.1:9/alpine"), root, place, monkeypatch)
    assert place.network == "host"


@pytest.mark.usefixtures("bundle")
def test_what_apk_was_given_is_gone_afterwards(
    image: Image, root: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(image, root, place, monkeypatch)
    mounted = [word.partition(":")[0] for word in place.shown if ":/run/secrets/" in word]
    assert len(mounted) == 3
    assert not any(Path(path).exists() for path in mounted)


@pytest.mark.usefixtures("bundle")
def test_the_stand_in_is_named_as_ever_with_its_key_and_nothing_mounted(
    image: Image, root: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:pr0xy@proxy.invalid:3128")
    key = tmp_path / "standin@local.rsa.pub"
    key.touch()
    image = supplied(image, mirror="http://127.0.0.1:9/alpine", apk_key=str(key), network="host")
    tried(image, root, place, monkeypatch)
    main, community = image.repositories
    options = ["--no-cache", "--quiet", "--repositories-file", "/dev/null"]
    options += ["--repository", main, "--repository", community]
    assert place.given("arguments") == ["add", *options, "bzip2-dev"]
    assert place.given("variables") == ["", "", ""]
    assert place.put_there == {f"etc/apk/keys/{key.name}": key}
    assert place.network == "host"
    assert not [word for word in place.shown if ":/" in word and not word.startswith("http")]


def test_a_bundle_that_is_none_is_said_by_its_variable(
    image: Image, root: Path, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there.pem")
    with pytest.raises(FactoryError, match=r"SSL_CERT_FILE=/not/there\.pem"):
        tried(image, root, place, monkeypatch)


def test_several_packages_arrive_whatever_is_in_their_names(image: Image, root: Path, place: Place) -> None:
    with apkconfig.prepared(context(image, root, place)) as mounts:
        place.start("image", "linux/amd64", mounts=mounts, network=apkconfig.network(image))
        packages.install(context(image, root, place), cast(Container, place), "one", "two words")
    assert place.given("arguments")[-2:] == ["one", "two words"]
