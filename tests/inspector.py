"""A proxy as companies have them, on loopback: it wants a user and password, and opens TLS with its own certificates.

What goes to a host of `Inspector.hosts` is answered by the miniature upstream; everything else is passed on unopened.
"""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.upstream import Reply, Upstream, answer, basic, listening

HOSTS = ("www.python.org", "dl-cdn.alpinelinux.org", "registry-1.docker.io", "auth.docker.io")


class Authority:
    """A certificate authority; `ca` is its certificate in PEM form."""

    def __init__(self, folder: Path, *, since: dt.timedelta = dt.timedelta(days=-1)) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._since = dt.datetime.now(dt.UTC) + since
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Inspection, as it were")])
        made = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.ca = folder / "inspection-ca.pem"
        self.ca.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._since)
            .not_valid_after(self._since + dt.timedelta(days=9))
        )

    def context(self, host: str) -> ssl.SSLContext:
        """For a server that answers as `host`."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._made(host)
            return self._contexts[host]

    def _made(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        made = self._builder(subject, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        file = self._folder / f"{host}.pem"
        file.write_bytes(
            made.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@dataclass(kw_only=True)
class Inspector:
    """A running proxy. `connected` are the hosts that were asked for with the right password."""

    upstream: Upstream
    authority: Authority
    user: str
    password: str
    address: str = ""
    hosts: tuple[str, ...] = HOSTS
    connected: list[str] = field(default_factory=list)
    refused: int = 0

    @property
    def url(self) -> str:
        """What https_proxy is set to."""
        return f"http://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{self.address}"


@contextmanager
def inspecting(inspector: Inspector) -> Iterator[Inspector]:
    """Run it until the block ends."""
    with listening(type("Own", (_Proxy,), {"inspector": inspector})) as address:
        inspector.address = address
        yield inspector


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    inspector: Inspector

    def log_message(self, *_: object) -> None:
        pass


class _Inside(_Quiet):
    """What comes out of the opened TLS."""

    def do_GET(self) -> None:
        answer(self, self.inspector.upstream.reply(self.path, dict(self.headers)))

    do_HEAD = do_GET  # noqa: N815 - http.server's own name


class _Proxy(_Quiet):
    def do_CONNECT(self) -> None:
        host, _, port = self.path.partition(":")
        if not self._allowed():
            return
        self.inspector.connected.append(host)
        if host in self.inspector.hosts:
            self._look_into(host)
        else:
            self._pass_on(host, int(port))
        self.close_connection = True

    def do_GET(self) -> None:
        if self._allowed():
            parts = urlsplit(self.path)
            self.inspector.connected.append(parts.hostname or "")
            answer(self, self.inspector.upstream.reply(parts.path, dict(self.headers)))

    do_HEAD = do_GET  # noqa: N815 - http.server's own name

    def _allowed(self) -> bool:
        if self.headers.get("Proxy-Authorization") == basic(f"{self.inspector.user}:{self.inspector.password}"):
            return True
        self.inspector.refused += 1
        answer(self, Reply(status=407, headers={"Proxy-Authenticate": 'Basic realm="company"'}))
        return False

    def _open(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()

    def _look_into(self, host: str) -> None:
        self._open()
        context = self.inspector.authority.context(host)
        inside = type("Own", (_Inside,), {"inspector": self.inspector})
        with suppress(OSError), context.wrap_socket(self.connection, server_side=True) as opened:
            inside(opened, self.client_address, self.server)

    def _pass_on(self, host: str, port: int) -> None:
        try:
            with socket.create_connection((host, port), timeout=30) as there:
                self._open()
                back = threading.Thread(target=_pump, args=(there, self.connection))
                back.start()
                _pump(self.connection, there)
                back.join()
        except OSError:
            answer(self, Reply(status=502))


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
