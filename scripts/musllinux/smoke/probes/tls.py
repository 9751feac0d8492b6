"""tls.py FOLDER: verify a TLS server of our own, with a CA of our own (ca.pem, server.pem, server.key in FOLDER).

With SSL_CERT_FILE naming the CA the connection must stand; without it, and for another name, it must be refused.
"""

import os
import socket
import ssl
import sys
import threading

folder = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(folder + "/server.pem", folder + "/server.key")


def serve() -> None:
    while True:
        connection, _ = listener.accept()
        try:
            with server.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.sendall(wrapped.recv(64).upper())
        except OSError:  # the client refused us, as it should in two cases of three
            connection.close()


def ask(context: ssl.SSLContext, name: str) -> str:
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    with plain, context.wrap_socket(plain, server_hostname=name) as secure:
        secure.sendall(b"hello")
        return f"{secure.recv(64).decode()} {secure.version()}"


def refused(context: ssl.SSLContext, name: str) -> str:
    try:
        ask(context, name)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    sys.exit(f"a server that must not be trusted was: {name}")


threading.Thread(target=serve, daemon=True).start()
own = len(ssl.create_default_context().get_ca_certs())
if not own:
    sys.exit(f"no certificate authority was loaded from SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')}")
unknown = refused(ssl.create_default_context(), "localhost")
os.environ["SSL_CERT_FILE"] = folder + "/ca.pem"
trusting = ssl.create_default_context()
heard = ask(trusting, "localhost")
if not heard.startswith("HELLO TLSv1."):
    sys.exit(f"the server's answer came out wrong: {heard}")
other = refused(trusting, "elsewhere.invalid")
print(f"{heard.split()[1]}, {ssl.OPENSSL_VERSION}, {own} CAs; refused: {unknown}; {other}")
