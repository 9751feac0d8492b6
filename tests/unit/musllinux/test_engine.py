import gc
import json
import os
import socketserver
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import DockerException, ImageNotFound

from musllinux import engine
from musllinux.engine import Client, EngineError, ImageFacts


def docker(folder: Path, version: str, buildx: str = "") -> Path:
    """A folder with a docker command that answers as that version does."""
    folder.mkdir()
    program = folder / "docker"
    plugin = f'echo "github.com/docker/buildx v{buildx} abc"' if buildx else 'echo "unknown command" >&2; exit 1'
    program.write_text(
        f'#!/bin/sh\ncase "$*" in --version) echo "{version}";; "buildx version") {plugin};; *) exit 9;esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


OLD = "Docker version 20.10.24+dfsg1, build 297e128"
NEW = "Docker version 28.2.2, build e6534b4"


def path_of(*folders: Path) -> str:
    return os.pathsep.join(map(str, folders))


def test_a_newer_client_without_buildx_is_passed_over_for_an_older_one(tmp_path: Path) -> None:
    path = path_of(docker(tmp_path / "a", NEW), docker(tmp_path / "b", OLD))
    client = engine.find_client(path)
    assert (client.path, client.version, client.env) == (
        tmp_path / "b" / "docker",
        "20.10.24+dfsg1",
        {"DOCKER_BUILDKIT": "1"},
    )


def test_buildx_is_preferred_wherever_it_stands_on_path(tmp_path: Path) -> None:
    path = path_of(docker(tmp_path / "a", OLD), docker(tmp_path / "b", NEW, buildx="0.11.2"))
    client = engine.find_client(path)
    assert (client.path, client.buildx, client.env) == (tmp_path / "b" / "docker", "0.11.2", {})


def test_no_client_that_does_names_each_and_what_to_install(tmp_path: Path) -> None:
    path = path_of(docker(tmp_path / "a", NEW), docker(tmp_path / "b", "podman version 4.3.1"))
    with pytest.raises(EngineError) as caught:
        engine.find_client(path)
    assert "a/docker: Docker 28.2.2 without buildx" in caught.value.message
    assert "b/docker: is not Docker's command line" in caught.value.message
    assert "docker-buildx" in caught.value.hint


def test_no_client_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no docker command on PATH") as caught:
        engine.find_client(str(tmp_path))
    assert "docker.io" in caught.value.hint


def test_too_old_a_client_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Docker 17\.12\.0-ce, too old"):
        engine.find_client(path_of(docker(tmp_path / "a", "Docker version 17.12.0-ce, build c97c6d6")))


def test_one_program_under_two_names_is_examined_once(tmp_path: Path) -> None:
    folder = docker(tmp_path / "a", OLD)
    (tmp_path / "b").symlink_to(folder)
    assert len(engine.candidates(path_of(folder, tmp_path / "b"))) == 1


def test_a_docker_that_cannot_be_executed_is_no_docker(tmp_path: Path) -> None:
    folder = docker(tmp_path / "a", OLD)
    (folder / "docker").chmod(0o644)
    assert engine.candidates(str(folder)) == []


def client(buildx: str) -> Client:
    return Client(path=Path("/usr/bin/docker"), version="20.10.24", buildx=buildx, reason="test")


def test_a_build_has_its_secrets_as_files_and_its_facts_sorted() -> None:
    argv = client("").build_argv(
        context=Path("build/x/context"),
        dockerfile=Path("build/x/Dockerfile"),
        tag="x:latest",
        platform="linux/arm/v7",
        target="image",
        args={"B": "2", "A": "1"},
        secrets={"sources": Path("build/x/sources.sh")},
        labels={"l": "v w"},
        hosts=["mirror:172.17.0.1"],
        network="host",
        iidfile=Path("build/x/iid"),
        no_cache=True,
    )
    assert argv == [
        "/usr/bin/docker",
        "build",
        "--progress=plain",
        "--platform=linux/arm/v7",
        "--build-arg=A=1",
        "--build-arg=B=2",
        "--secret=id=sources,src=build/x/sources.sh",
        "--label=l=v w",
        "--add-host=mirror:172.17.0.1",
        "--target=image",
        "--network=host",
        "--iidfile=build/x/iid",
        "--no-cache",
        "--file=build/x/Dockerfile",
        "--tag=x:latest",
        "build/x/context",
    ]


def front(buildx: str, builder: str = "") -> list[str]:
    argv = client(buildx).build_argv(
        context=Path("c"), dockerfile=Path("d"), tag="t", platform="linux/amd64", builder=builder
    )
    return argv[1 : argv.index("--progress=plain")]


def test_buildx_loads_a_plain_image_without_attestations() -> None:
    assert front("0.11.2") == ["buildx", "build", "--load", "--provenance=false"]
    assert front("0.9.1") == ["buildx", "build", "--load"]


def test_a_named_builder_needs_buildx() -> None:
    assert front("0.11.2", "farm")[:3] == ["buildx", "build", "--builder=farm"]
    with pytest.raises(EngineError, match="--builder farm needs buildx"):
        front("", "farm")


@pytest.mark.parametrize(
    ("says", "asked", "good"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm", "linux/arm/v7", False),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm", False),
        ("linux/amd64", "linux/386", False),
    ],
)
def test_an_image_is_for_a_platform_exactly_where_cibuildwheel_takes_it(says: str, asked: str, good: bool) -> None:
    assert ImageFacts(id="sha256:0", platform=says, labels={}, size=0).is_for(asked) is good


@contextmanager
def engine_that_says(folder: Path, version: Mapping[str, object]) -> Iterator[str]:
    """An HTTP server on a socket that answers every request with this version."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(version).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            pass

    path = folder / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


GOOD = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"Version": "19.03.15", "ApiVersion": "1.40"},
            "the engine is Docker 19.03.15, without the BuildKit this needs",
        ),
        ({"Components": [{"Name": "Podman Engine"}]}, "the engine is Podman, which has no BuildKit"),
        ({"Os": "windows"}, "the engine runs windows containers"),
    ],
)
def test_an_engine_that_will_not_do_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], said: str
) -> None:
    with engine_that_says(tmp_path, {**GOOD, **changed}) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(EngineError) as caught:
            engine.connect(timeout=5)
    assert caught.value.message == said
    assert caught.value.hint


def test_a_good_engine_is_connected_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_that_says(tmp_path, GOOD | {}) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        found = engine.connect(timeout=5)
        assert found.version()["Version"] == "20.10.24"
        found.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the SDK leaves the socket open that it could not connect
def test_no_engine_says_how_to_get_or_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match=r"no container engine answers at unix://.*none\.sock") as caught:
        engine.connect(timeout=2)
    assert "make setup" in caught.value.hint
    del caught
    gc.collect()


def test_an_engine_behind_a_context_is_the_one_the_docker_command_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with engine_that_says(tmp_path, GOOD | {"Version": "26.1.0"}) as host:
        make_context(config, "desktop", host)
        found = engine.connect(timeout=5)
        assert found.version()["Version"] == "26.1.0"
        found.close()


def make_context(config: Path, name: str, host: str) -> None:
    import hashlib  # noqa: PLC0415

    meta = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (config / "config.json").write_text(json.dumps({"currentContext": name}))


class Kept:
    """An engine on amd64 and what it has: architecture -> the names of that image, as the engine writes them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, images: Mapping[str, list[str]]) -> None:
        self.names = {f"sha256:{architecture}": list(names) for architecture, names in images.items()}
        self.running: list[str] = []  # ids of images
        self.stale: list[str] = []  # listed, and gone when one looks closer
        self._at_once = self.most_at_once = 0
        self.failing: dict[str, DockerException] = {}
        api = SimpleNamespace(
            images=self._list, inspect_image=self._inspect, containers=self._containers, remove_image=self._remove
        )
        monkeypatch.setattr(engine, "connect", lambda: SimpleNamespace(api=api, close=lambda: None))
        monkeypatch.setattr(engine, "whereabouts", lambda: engine.Whereabouts(platform="linux/amd64", here=True))

    def _list(self, name: str) -> list[dict[str, str]]:
        """The engine knows Docker Hub's images by their familiar names only (reference.FamiliarMatch)."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(0.02)
        self._at_once -= 1
        mine = [i for i, names in self.names.items() if any(n.startswith((f"{name}:", f"{name}@")) for n in names)]
        return [{"Id": one} for one in [*mine, *self.stale]]

    def _inspect(self, image: str) -> dict[str, object]:
        if image not in self.names:
            raise ImageNotFound("no such image")
        names = self.names[image]
        tags, digests = [n for n in names if "@" not in n], [n for n in names if "@" in n]
        return {
            "Id": image,
            "Architecture": image.removeprefix("sha256:"),
            "RepoTags": tags,
            "RepoDigests": digests,
        }

    def _containers(self, filters: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"Id": "c0ffee"} for image in self.running if image == filters["ancestor"]]

    def _remove(self, name: str, force: bool) -> None:
        """As ImageDelete in moby's daemon/images/image_delete.go: a name goes, and the image with its last one."""
        assert force
        if name in self.failing:
            raise self.failing[name]
        image = next((i for i, names in self.names.items() if name in names), None)
        if image is None:
            raise ImageNotFound(f"no such image: {name}")
        self.names[image].remove(name)
        repository = name.partition("@")[0].rpartition(":")[0]
        if "@" not in name and not any(n.startswith(f"{repository}:") for n in self.names[image]):
            self.names[image] = [n for n in self.names[image] if not n.startswith(f"{repository}@")]
        if not self.names[image]:
            del self.names[image]


@pytest.mark.parametrize("reference", ["h:1/a/b:3.20", "h:1/a/b:3.20@sha256:0", "h:1/a/b@sha256:0"])
def test_a_base_that_is_here_for_another_platform_is_let_go(monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    """dockerd 20.10's BuildKit takes a linux/386 one for linux/amd64."""
    kept = Kept(
        monkeypatch,
        {"amd64": ["h:1/a/b:3.20"], "386": ["h:1/a/b:3.13", "h:1/a/b@sha256:1"], "arm64": ["h:1/a/b:3.22"]},
    )
    engine.forget_foreign(reference)
    assert kept.names == {"sha256:amd64": ["h:1/a/b:3.20"], "sha256:arm64": ["h:1/a/b:3.22"]}


def test_a_base_of_docker_hubs_is_found_under_its_familiar_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, {"386": ["alpine:3.22", "alpine@sha256:0"]})
    engine.forget_foreign("docker.io/library/alpine:3.22@sha256:0")
    assert kept.names == {}


def test_a_name_that_the_user_gave_stays_and_so_does_the_image(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(monkeypatch, {"386": ["alpine:3.22", "mine:1", "alpine@sha256:0"]})
    engine.forget_foreign("docker.io/library/alpine:3.22")
    assert kept.names == {"sha256:386": ["mine:1"]}
    said = capsys.readouterr().err
    assert "alpine for linux/386 stays under its other names: mine:1" in said
    assert "`docker image rm mine:1` removes it" in said
    engine.forget_foreign("docker.io/library/alpine:3.22")
    assert capsys.readouterr().err == ""


def test_a_digest_without_a_tag_is_let_go_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit looks for repository@digest first: a tag that has moved to another image is no matter."""
    kept = Kept(monkeypatch, {"amd64": ["h:1/b:3.20"], "386": ["h:1/b@sha256:1", "h:1/b@sha256:2"]})
    engine.forget_foreign("h:1/b:3.20")
    assert kept.names == {"sha256:amd64": ["h:1/b:3.20"]}


def test_an_image_that_another_run_removes_meanwhile_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, {"386": ["h:1/b:3.20", "h:1/b:3.21"]})
    kept.stale.append("sha256:gone")
    kept.failing["h:1/b:3.20"] = ImageNotFound("no such image")
    engine.forget_foreign("h:1/b:3.20")
    assert kept.names == {"sha256:386": ["h:1/b:3.20"]}


def test_of_two_builds_one_lets_go_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, {"386": ["h:1/b:3.20"]})
    threads = [threading.Thread(target=engine.forget_foreign, args=("h:1/b:3.20",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (kept.names, kept.most_at_once) == ({}, 1)


def test_a_base_that_a_container_uses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(monkeypatch, {"386": ["r:1"]})
    kept.running.append("sha256:386")
    with pytest.raises(EngineError, match="r is here for linux/386 and in use: container c0ffee") as caught:
        engine.forget_foreign("r:1")
    assert "smoke test may be running" in caught.value.hint
    assert kept.names == {"sha256:386": ["r:1"]}
