"""Which editor a run gets, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from videdit.device import Device
from videdit.editing.linear import LinearEditor, Normals
from videdit.editing.transformer import EDITED_ROWS, AffineMap, LatentTransformers
from videdit.errors import UsageError, WeightsError
from videdit.stages.resources import EDITORS, Networks


@pytest.fixture
def networks(tmp_path: Path) -> Networks:
    zero = np.zeros((EDITED_ROWS, 512), np.float32)
    thin = np.zeros((EDITED_ROWS, 512, 2), np.float32)
    found = AffineMap(thin, thin.transpose(0, 2, 1), zero)
    LatentTransformers(np.zeros(512, np.float32), {"Smiling": found}).save(
        tmp_path / EDITORS["transformer"], {}
    )
    normals = np.random.default_rng(0).standard_normal((2, 16, 512)).astype(np.float32)
    names = ("Smiling", "Male")
    Normals(dict(zip(names, normals, strict=True)), dict.fromkeys(names, 1.0)).save(
        tmp_path / EDITORS["interfacegan"], {}
    )
    bundle: Any = SimpleNamespace(path=lambda part: tmp_path / part, id=lambda part: part)
    return Networks(bundle, Device("cpu", "fp32"), "mesh")


def test_the_bundles_editors(networks: Networks) -> None:
    assert networks.editor("transformer").names == ("Smiling",)
    free, held = networks.editor("interfacegan"), networks.editor("interfacegan", ["male"])
    assert isinstance(free, LinearEditor)
    assert isinstance(held, LinearEditor)
    assert not np.allclose(free.steps["Smiling"], held.steps["Smiling"])
    assert networks.editor_ids("interfacegan") == {
        EDITORS["interfacegan"]: "interfacegan.safetensors"
    }
    with pytest.raises(WeightsError):
        networks.editor("ganspace")  # its file is not there, nor W's statistics


def test_editors_of_ones_own(networks: Networks, tmp_path: Path) -> None:
    np.save(tmp_path / "tired.npy", np.ones(512))
    assert networks.editor(f"direction:{tmp_path / 'tired.npy'}").names == ("tired",)
    own = tmp_path / EDITORS["transformer"]
    assert networks.editor(str(own)).names == ("Smiling",)
    # Another content is another key: what was edited with the old file is not reused.
    before = networks.editor_ids(f"direction:{tmp_path / 'tired.npy'}")
    np.save(tmp_path / "tired.npy", np.zeros(512))
    assert networks.editor_ids(f"direction:{tmp_path / 'tired.npy'}") != before


@pytest.mark.parametrize(
    ("choice", "keep", "message"),
    [
        ("magic", (), "no editor 'magic'"),
        ("direction:nowhere.npy", (), "does not exist"),
        ("nowhere.safetensors", (), "does not exist"),
        ("transformer", ("Male",), "takes no attributes to keep"),
        ("interfacegan", ("Charm",), "Charm"),
    ],
)
def test_mistakes(networks: Networks, choice: str, keep: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        networks.editor(choice, keep)
