"""Signed manifests, with a certificate made on the spot."""

from __future__ import annotations

import datetime
import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.media.conftest import all_rgb, run_ffmpeg
from videdit.errors import UsageError, VideditError
from videdit.media.pictures import write_picture
from videdit.media.signing import SIGNED_FORMATS, Signer, check_signed
from videdit.media.tag import DIGITAL_SOURCE_TYPE, Tag
from videdit.media.xmp import add_xmp

TAG = Tag("videdit", "0.1.0", ("Smiling=1.5", "Young=-1.0"), "2026-01-02T03:04:05Z")


def test_what_cannot_hold_a_manifest_is_refused() -> None:
    for suffix in (".mkv", ".webm", ".bmp"):
        with pytest.raises(UsageError, match="cannot hold"):
            check_signed(suffix)
    check_signed(".MP4")


def test_without_the_extra_it_is_said_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    with pytest.raises(UsageError, match=r"c2pa-python.*'\.\[c2pa\]'"):
        Signer(tmp_path / "cert.pem", tmp_path / "key.pem")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A certificate of a made-up authority, its key, and other keys."""
    reason = "the extra c2pa is not installed: pip install -c constraints.txt '.[c2pa]'"
    pytest.importorskip("c2pa", reason=reason)
    pytest.importorskip("cryptography", reason=reason)
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.now(datetime.timezone.utc)
    authority, own, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))

    def called(name: str) -> Any:
        words = (NameOID.ORGANIZATION_NAME, "A test"), (NameOID.COMMON_NAME, name)
        return x509.Name([x509.NameAttribute(*pair) for pair in words])

    def certificate(name: str, key: Any, ca: bool, days: int = 30) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(called(name))
            .issuer_name(called("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, ca, ca, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False
            )
        )
        if not ca:
            use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(use, critical=False)
        pem = serialization.Encoding.PEM
        return bytes(made.sign(authority, hashes.SHA256()).public_bytes(pem))

    def private(key: Any, password: bytes | None = None) -> bytes:
        hidden = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return bytes(key.private_bytes(pem, pkcs8, hidden))

    root = certificate("authority", authority, True)
    files = {
        "chain": certificate("own", own, False) + root,
        "expired": certificate("own", own, False, days=-1) + root,
        "authority": root,
        "key": private(own),
        "authority_key": private(authority),
        "other_key": private(other),
        "locked": private(own, b"secret"),
        "nonsense": b"nonsense",
        "odd_key": private(ec.generate_private_key(ec.SECP256K1())),
    }
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)
    return SimpleNamespace(**{name: folder / f"{name}.pem" for name in files})


def manifest_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that a file's manifests say, and the one that counts."""
    import c2pa

    with path.open("rb") as file:
        said = json.loads(c2pa.Reader(SIGNED_FORMATS[path.suffix], file).json())
    return said, said["manifests"][said["active_manifest"]]


def signed(made: SimpleNamespace, source: Path, unsigned: Path, folder: Path) -> Path:
    result = folder / f"signed{unsigned.suffix}"
    result.touch()
    Signer(made.chain, made.key).sign(source, unsigned, result, TAG)
    return result


def check(path: Path) -> dict[str, Any]:
    said, active = manifest_of(path)
    # Signed and whole; that nobody knows the authority is all there is against it.
    assert said["validation_state"] == "Valid"
    failures = said["validation_results"]["activeManifest"]["failure"]
    assert {failure["code"] for failure in failures} <= {"signingCredential.untrusted"}
    assert active["signature_info"]["common_name"] == "own"
    (actions,) = [a["data"]["actions"] for a in active["assertions"] if "actions" in a["label"]]
    opened, edited = actions
    assert opened["action"] == "c2pa.opened"
    (ingredient,) = opened["parameters"]["ingredients"]
    assert "ingredient" in ingredient["url"]
    assert edited["action"] == "c2pa.edited"
    assert edited["when"] == TAG.time
    assert edited["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert edited["softwareAgent"] == {"name": "videdit", "version": "0.1.0"}
    assert edited["description"] == "Smiling=1.5, Young=-1.0"
    (source,) = active["ingredients"]
    assert source["relationship"] == "parentOf"
    assert "thumbnail" not in json.dumps(said)
    return said


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("source_suffix", [".mp4", ".mkv"])
def test_a_signed_video(
    made: SimpleNamespace, plain: Path, tmp_path: Path, suffix: str, source_suffix: str
) -> None:
    source, unsigned = tmp_path / f"source{source_suffix}", tmp_path / f"unsigned{suffix}"
    for path in (source, unsigned):
        run_ffmpeg("-i", plain, "-c copy", path)
    result = signed(made, source, unsigned, tmp_path)
    check(result)
    assert np.array_equal(all_rgb(result), all_rgb(unsigned))
    # A changed result shows.
    data = bytearray(result.read_bytes())
    data[data.find(b"mdat") + 100] ^= 1
    result.write_bytes(data)
    assert manifest_of(result)[0]["validation_state"] == "Invalid"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_signed_picture_and_the_history_of_one_edited_again(
    made: SimpleNamespace, tmp_path: Path, suffix: str
) -> None:
    source, unsigned = tmp_path / "source.png", tmp_path / f"unsigned{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for path in (source, unsigned):
        write_picture(path, pixels, None, TAG)
    first = signed(made, source, unsigned, tmp_path)
    check(first)
    shown = [cv2.imread(str(path)) for path in (first, unsigned)]
    assert np.array_equal(*shown)
    before = tmp_path / f"before{suffix}"
    first.rename(before)
    said = check(signed(made, before, unsigned, tmp_path))
    assert len(said["manifests"]) == 2


def test_nothing_is_fetched(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a source says that its manifest lies elsewhere."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        packet = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
            ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
            f' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{address}"/>'
            "</rdf:RDF></x:xmpmeta>"
        )
        picture = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
        source = tmp_path / "source.jpg"
        source.write_bytes(add_xmp(picture, packet.encode()))
        unsigned = tmp_path / "unsigned.png"
        write_picture(unsigned, np.zeros((16, 16, 3), np.uint8))
        check(signed(made, source, unsigned, tmp_path))
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("chain", "other_key", "not the key of"),
        ("chain", "locked", "no private key"),
        ("chain", "nonsense", "no private key"),
        ("chain", "odd_key", "not the key of"),
        ("nonsense", "key", "no certificate"),
        ("expired", "key", "nothing can be signed"),
        ("authority", "authority_key", "nothing can be signed"),
    ],
)
def test_what_cannot_sign_is_refused_before_the_work(
    made: SimpleNamespace, certificate: str, key: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Signer(getattr(made, certificate), getattr(made, key))
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_told(made: SimpleNamespace, tmp_path: Path) -> None:
    for pair in ((made.chain, tmp_path / "none.pem"), (tmp_path / "none.pem", made.key)):
        with pytest.raises(UsageError, match=r"none\.pem cannot be read"):
            Signer(*pair)


def test_a_result_that_is_none_cannot_be_signed(made: SimpleNamespace, tmp_path: Path) -> None:
    unsigned = tmp_path / "unsigned.mp4"
    unsigned.write_bytes(b"no video")
    with pytest.raises(VideditError, match="cannot be signed"):
        signed(made, unsigned, unsigned, tmp_path)
