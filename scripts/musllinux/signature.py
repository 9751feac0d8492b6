"""Sigstore signatures of CPython's archives: who must have signed a series is in the matrix (python.signers).

The `sigstore` library is optional (`pip install '.[sigstore]'`) and imported here only. Its own root of trust is used,
nothing is asked over the network: a bundle holds the certificate and the transparency log's receipt.
"""

import contextlib
from importlib.util import find_spec

from musllinux.errors import FactoryError
from musllinux.schema import SignerSection


def available() -> bool:
    return find_spec("sigstore") is not None


def verify(name: str, sha256: str, bundle: bytes, signer: SignerSection) -> None:
    """Whether `bundle` is a signature of the file with this sum (hex) by this signer. Raises FactoryError where not."""
    from sigstore.errors import Error  # noqa: PLC0415
    from sigstore.hashes import HashAlgorithm, Hashed  # noqa: PLC0415
    from sigstore.models import Bundle  # noqa: PLC0415
    from sigstore.verify import Verifier, policy  # noqa: PLC0415

    said = ""
    with contextlib.suppress(UnicodeDecodeError):
        try:
            Verifier.production(offline=True).verify_artifact(
                Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(sha256)),
                Bundle.from_json(bundle.decode()),
                policy.Identity(identity=signer.identity, issuer=signer.issuer),
            )
        except (Error, ValueError) as error:
            said = ": " + " ".join(str(error).split())[:200]
        else:
            return
    raise FactoryError(
        f"{name} (SHA-256 {sha256}) is not signed by {signer.identity}{said}",
        hint="do not use it before you know why; the signer of each series is in matrix.yaml (python.signers)",
    )
