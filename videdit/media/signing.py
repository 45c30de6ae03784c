"""Content Credentials (C2PA): a manifest in a result that says what was edited, signed with the
user's own certificate. Needs the extra ``c2pa``; nothing is fetched or asked over the network."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, BinaryIO

from videdit.errors import UsageError, VideditError
from videdit.media.tag import DIGITAL_SOURCE_TYPE, Tag

SIGNED_FORMATS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
"""By the suffix of a file, what C2PA calls its format: those that a manifest can be put into."""

# Of sources besides, so that their own manifests are found.
_SOURCES = {**SIGNED_FORMATS, ".heic": "image/heic", ".heif": "image/heif", ".avif": "image/avif"}
_SOURCES |= {".avi": "video/avi"}

_OTHER = "application/octet-stream"

# A source may name an address of its manifest, and a certificate one of its revocations: neither is
# asked. A thumbnail would show the face as it was.
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
    "builder": {"thumbnail": {"enabled": False}},
}


class Signer:
    """Signs results with a certificate.

    Args:
        certificate: PEM file of the certificate and those that it is signed with, its own first.
        key: PEM file of its private key, without a password.

    Raises:
        UsageError: the extra is missing; a file is missing or is none such; they don't belong
            together, or the certificate is none to sign with. Found out by signing a small picture.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        try:
            import c2pa
        except ImportError as error:
            raise UsageError(
                "signing needs the package c2pa-python",
                "Install videdit with its extra: pip install -c constraints.txt '.[c2pa]'.",
            ) from error
        self._library: Any = c2pa
        words = {"certificate": _read(certificate), "key": _read(key)}
        self._words = words["certificate"], words["key"], _algorithm(certificate, key)
        tag = Tag("videdit", "", ("a trial",), "2000-01-01T00:00:00Z")
        try:
            pictures = io.BytesIO(_PICTURE), io.BytesIO(_PICTURE), io.BytesIO()
            self._sign(*pictures, "image/png", "image/png", tag)
        except c2pa.C2paError as error:
            raise UsageError(
                f"nothing can be signed with {certificate} ({_reason(error)})",
                "Give a certificate for signing documents or C2PA claims, with those it is signed"
                " with, and its key.",
            ) from error

    def sign(self, source: Path, unsigned: Path, signed: Path, tag: Tag) -> None:
        """Write a file with a manifest: the source was opened, and edited as the tag says.

        Args:
            source: what was edited; its own manifest is kept in the new one.
            unsigned: the result.
            signed: where it goes, a file that is there and empty; its suffix is one of
                `SIGNED_FORMATS`.

        Raises:
            VideditError: it cannot be signed.
        """
        kind = SIGNED_FORMATS[signed.suffix.lower()]
        try:
            with (
                source.open("rb") as before,
                unsigned.open("rb") as after,
                signed.open("w+b") as to,
            ):
                self._sign(
                    before, after, to, _SOURCES.get(source.suffix.lower(), _OTHER), kind, tag
                )
        except self._library.C2paError as error:
            raise VideditError(
                f"{signed.name} cannot be signed ({_reason(error)})", "Leave --sign out."
            ) from error

    def _sign(
        self,
        source: BinaryIO,
        unsigned: BinaryIO,
        signed: BinaryIO,
        source_kind: str,
        kind: str,
        tag: Tag,
    ) -> None:
        library = self._library
        certificate, key, algorithm = self._words
        # No authority is asked for the time: that would be another machine.
        signer = library.Signer.from_info(library.C2paSignerInfo(algorithm, certificate, key, None))
        context = library.Context(settings=library.Settings.from_dict(_SETTINGS))
        builder = library.Builder(json.dumps(_manifest(tag, kind)), context)
        about = {"title": "source", "relationship": "parentOf", "label": _SOURCE}
        builder.add_ingredient(about, source_kind, source)
        builder.sign(signer, kind, unsigned, signed)


_SOURCE = "source"

# The smallest PNG.
_PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


def check_signed(suffix: str) -> None:
    """Refuse a result that no manifest can be put into.

    Raises:
        UsageError: its suffix is none of `SIGNED_FORMATS`.
    """
    if suffix.lower() not in SIGNED_FORMATS:
        raise UsageError(
            f"a {suffix} file cannot hold a C2PA manifest",
            f"Use one of {', '.join(SIGNED_FORMATS)}, or leave --sign out.",
        )


def _manifest(tag: Tag, kind: str) -> dict[str, Any]:
    """C2PA 2.1: what is claimed."""
    agent = {"name": tag.tool, "version": tag.version}
    actions = [
        {"action": "c2pa.opened", "parameters": {"ingredientIds": [_SOURCE]}},
        {
            "action": "c2pa.edited",
            "when": tag.time,
            "softwareAgent": agent,
            "digitalSourceType": DIGITAL_SOURCE_TYPE,
            "description": ", ".join(tag.edits),
        },
    ]
    return {
        "claim_generator_info": [agent],
        "format": kind,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror})", "Name PEM files with --sign and --key."
        ) from error


def _algorithm(certificate: Path, key: Path) -> str:
    """C2PA's name of how a key signs.

    Raises:
        UsageError: it is no key that C2PA allows, has a password, or is another certificate's.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{key} is no private key that can be read ({_reason(error)})",
            "Give a PEM file without a password.",
        ) from error
    try:
        own = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except ValueError as error:
        raise UsageError(
            f"{certificate} holds no certificate ({_reason(error)})", "Give a PEM file."
        ) from error
    if own.public_key() != private.public_key():
        raise UsageError(
            f"{key} is not the key of the first certificate in {certificate}",
            "Put the certificate that the key belongs to first.",
        )
    if isinstance(private, ec.EllipticCurvePrivateKey):
        names = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
        if private.curve.name in names:
            return names[private.curve.name]
    elif isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise UsageError(
        f"C2PA knows no signatures by the kind of key in {key}",
        "Use one of P-256, P-384, P-521, RSA or Ed25519.",
    )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
