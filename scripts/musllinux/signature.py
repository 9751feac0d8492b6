"""Sigstore signatures of CPython's archives: who must have signed a series is in the matrix (python.signers).

The `sigstore` library is optional (`pip install '.[sigstore]'`) and imported here only. Its own root of trust is used,
nothing is asked over the network: a bundle holds the certificate and the transparency log's receipt.
"""

from importlib.util import find_spec

from musllinux.errors import FactoryError
from musllinux.schema import SignerSection


class UnusableBundleError(FactoryError):
    """A bundle that proves nothing either way: broken, or too old for the library (without the log's checkpoint)."""


def available() -> bool:
    return find_spec("sigstore") is not None


def verify(name: str, sha256: str, bundle: bytes, signer: SignerSection) -> None:
    """Whether `bundle` is a signature of the file with this sum (hex) by this signer.

    Raises FactoryError where it is not, UnusableBundleError where it cannot be told.
    """
    from sigstore.errors import VerificationError  # noqa: PLC0415
    from sigstore.hashes import HashAlgorithm, Hashed  # noqa: PLC0415
    from sigstore.models import Bundle, InvalidBundle  # noqa: PLC0415
    from sigstore.verify import Verifier, policy  # noqa: PLC0415

    try:
        read = Bundle.from_json(bundle)
    except (InvalidBundle, ValueError) as error:
        raise UnusableBundleError(f"the Sigstore bundle of {name} cannot be used: {_line(error)}") from error
    try:
        Verifier.production(offline=True).verify_artifact(
            Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(sha256)),
            read,
            policy.Identity(identity=signer.identity, issuer=signer.issuer),
        )
    except VerificationError as error:
        raise FactoryError(
            f"{name} (SHA-256 {sha256}) is not signed by {signer.identity}: {_line(error)}",
            hint="do not use it before you know why; the signer of each series is in matrix.yaml (python.signers)",
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
