"""Certificates and private keys that sign sound files: read, checked and, on request, made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from storycore_tts.adapters.c2pa.own_certificate import made
from storycore_tts.concurrency.shared_files import locked, replace_file
from storycore_tts.domain.moments import utc_now
from storycore_tts.errors import ConfigurationError, MarkingFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

RENEWED_BEFORE = timedelta(days=5 * 365)
"""A certificate of one's own is replaced when it expires sooner than this."""

_FILE = "own.pem"


@dataclass(frozen=True)
class Credentials:
    """A certificate with its private key.

    Args:
        chain: Certificates in PEM: the signer's, then those of its authorities.
        key: The private key in PEM.
        algorithm: C2PA's name of the signature algorithm, such as "es256".
        subject: Name in the signer's certificate.
        begins: First moment at which the certificate is valid.
        expires: Last moment at which it is valid.
    """

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str
    subject: str
    begins: datetime
    expires: datetime

    def why_not_at(self, moment: datetime) -> str | None:
        """Return why nothing can be signed at a moment, or None if it can be.

        Args:
            moment: The time, with a time zone.
        """
        if moment > self.expires:
            return f"The certificate of {self.subject} expired on {self.expires:%Y-%m-%d}"
        if moment < self.begins:
            return f"The certificate of {self.subject} is not valid before {self.begins:%Y-%m-%d}"
        return None


def read_credentials(certificate: Path, private_key: Path) -> Credentials:
    """Read a certificate and its private key. Blocks.

    Args:
        certificate: PEM file with the signer's certificate, then those of its authorities.
        private_key: PEM file with the private key, unencrypted; it may be the same file.

    Raises:
        ConfigurationError: A file cannot be read or does not contain that, or the key does not
            belong to the certificate.
    """
    read = []
    for name, file in (("certificate", certificate), ("private_key", private_key)):
        try:
            read.append(file.read_bytes())
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise _refused(name, file, f"{file} cannot be read: {reason}") from None
    chain, key = read
    try:
        return parsed(chain, key)
    except _UnfitKeyError as error:
        raise _refused("private_key", private_key, f"{private_key}: {error}") from None
    except ValueError as error:
        raise _refused("certificate", certificate, f"{certificate}: {error}") from None


def _refused(name: str, file: Path, what: str) -> ConfigurationError:
    key = f"tts.qwen.marking.{name}"
    return ConfigurationError(
        f"{key}: {what}.",
        key=key,
        value=str(file),
        hint="Both settings name PEM files: the certificate with its authorities, and its key.",
    )


class _UnfitKeyError(ValueError):
    """The private key cannot be used."""


def parsed(chain: bytes, key: bytes) -> Credentials:
    """Return credentials from PEM text.

    Args:
        chain: See ``Credentials``.
        key: See ``Credentials``.

    Raises:
        ValueError: The text is not PEM, or the key does not belong to the certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise ValueError("it contains no certificate in PEM") from None
    private = _private_key(key)
    signer = certificates[0]
    if signer.public_key() != private.public_key():
        raise _UnfitKeyError("the key does not belong to the first certificate")
    pem = serialization.Encoding.PEM
    return Credentials(
        b"".join(certificate.public_bytes(pem) for certificate in certificates),
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        _algorithm(private),
        signer.subject.rfc4514_string(),
        signer.not_valid_before_utc,
        signer.not_valid_after_utc,
    )


def _private_key(key: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, None)
    except TypeError:
        raise _UnfitKeyError("the key is encrypted; an unencrypted one is needed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _UnfitKeyError("it contains no private key in PEM") from None


def _algorithm(key: PrivateKeyTypes) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size in (256, 384, 521):
        return {256: "es256", 384: "es384", 521: "es512"}[key.key_size]
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise _UnfitKeyError("C2PA signs with keys of the kinds EC P-256 to P-521, RSA and Ed25519")


class OwnCredentials:
    """A key of one's own, which is made at first use and renewed in time.

    Safe to use from several threads and processes: they all use the same key.

    Args:
        folder: Where it is kept; only the owner can read it.
        now: The time, with a time zone.
    """

    def __init__(self, folder: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self.file = folder / _FILE
        self._now = now
        self._turn = threading.Lock()
        self._known: Credentials | None = None

    def __call__(self) -> Credentials:
        """Return the key, and make it if there is none. Blocks.

        Raises:
            MarkingFailed: It cannot be read or written.
        """
        with self._turn:
            if self._known is None or self._is_old(self._known):
                self._known = self._found_or_made()
            return self._known

    def found(self) -> Credentials | None:
        """Return the key if it was made already. Blocks.

        Raises:
            MarkingFailed: It cannot be read.
        """
        try:
            pem = self.file.read_bytes()
            return parsed(pem, pem)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        except ValueError as error:
            raise MarkingFailed(
                f"The key that signs sound files, {self.file}, is damaged: {error}.",
                hint="Delete the file; a new key is made at the next file.",
            ) from error

    def _is_old(self, credentials: Credentials) -> bool:
        return self._now() > credentials.expires - RENEWED_BEFORE

    def _found_or_made(self) -> Credentials:
        folder = self.file.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)  # even if it was there
            with locked(folder / "lock"):
                found = self.found()
                if found is not None and not self._is_old(found):
                    return found
                pem = made(self._now())
                replace_file(self.file, pem, private=True)
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        return parsed(pem, pem)

    def _failed(self, reason: str) -> MarkingFailed:
        return MarkingFailed(
            f"The key that signs sound files cannot be kept in {self.file}: {reason}.",
            hint="Make the folder writable, set tts.qwen.marking.certificate and private_key, or "
            "switch signing off with tts.qwen.marking.sign: off.",
        )
