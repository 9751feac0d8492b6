"""An engine of one's own that may be killed: its data, socket and network are apart from every other engine's."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TRIES = 4
PATIENCE = 120  # seconds until an engine answers; after a kill it looks at everything it has


class Engine:
    """dockerd with everything in `folder`. Its build steps use the network of whoever starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers, as often as a service manager would. Raises RuntimeError."""
        for _ in range(TRIES - 1):
            with suppress(RuntimeError):  # its containerd has 15 s, too little on a machine that is busy
                self._start()
                return
            self.kill()
        self._start()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        argv = ["dockerd", f"--data-root={self.folder}/docker", f"--exec-root={self.folder}/exec"]
        argv += [f"--pidfile={self.folder}/docker.pid", f"--host={self.host}"]
        argv += ["--bridge=none", "--iptables=false", "--ip-masq=false"]
        log = self.folder / "dockerd.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd does not come up: {log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.2)

    def answers(self) -> bool:
        argv = ["docker", f"--host={self.host}", "version", "--format={{.Server.Version}}"]
        return subprocess.run(argv, capture_output=True, check=False, timeout=60).returncode == 0

    def kill(self) -> None:
        """SIGKILL for it and its containerd, as the kernel does when memory is out."""
        for pid in [*self._children(), self._process.pid if self._process else 0]:
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
        self.kill()
        self._unmount()

    def _unmount(self) -> None:
        """What engines that were killed have left mounted in the folder, the innermost first."""
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)

    def _children(self) -> Iterator[int]:
        """The containerd that this engine runs."""
        wanted = f"{self.folder}/exec/containerd".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if words[0].endswith(b"containerd") and any(wanted in word for word in words):
                    yield int(path.parent.name)
