"""Serves the mirror's files over HTTP on loopback: `python -m standin.server --root CACHE --port N`."""

import argparse
import io
import json
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

HEALTH = "/-/health"
VERSION = 1  # bump when a running server must be replaced


class _Handler(SimpleHTTPRequestHandler):
    """Files of the site; no directory listings, no conditional answers, no log of what went well."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == HEALTH:
            self._answer_health()
        else:
            super().do_GET()

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        # A date has seconds only, but an index can change twice within one: always send what is there now.
        del self.headers["If-Modified-Since"]
        return super().send_head()

    def list_directory(self, path: object) -> None:  # noqa: ARG002
        self.send_error(404)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass

    def _answer_health(self) -> None:
        content = json.dumps(health(Path(self.directory).parent)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def health(root: Path) -> dict[str, object]:
    """What a server of the cache at `root` answers to a question about its health."""
    return {"standin": VERSION, "cache": str(root)}


def main() -> int:
    """Serve until killed; 1 if the port is taken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    # The site is a symbolic link: every request follows it, so that a new site is served from one moment on.
    handler = partial(_Handler, directory=str(options.root / "site"))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        print(f"port {options.port}: {error.strerror}", file=sys.stderr)
        return 1
    server.daemon_threads = True
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
