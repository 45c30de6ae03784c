"""Labelled codes in both of their forms, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from videdit.editing.labelled import EDIT, JUDGE, PARTS, TEST, LabelledFaces
from videdit.errors import InputError

FACES = 40


def write(folder: Path, header: str = "id,sampling,Smiling,Wearing_Mask") -> np.ndarray:
    random = np.random.default_rng(0)
    codes = random.standard_normal((FACES, 16, 512)).astype(np.float16)
    np.savez(folder / "latents.npz", id=np.arange(100, 100 + FACES), codes=codes)
    lines = [header]
    for i in range(FACES):
        sampling = ("random," if i % 4 else "targeted,") if "sampling" in header else ""
        lines.append(f"{100 + i},{sampling}{i % 2},{i % 3 // 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return codes


def test_codes_and_freely_named_labels(tmp_path: Path) -> None:
    codes = write(tmp_path)
    faces = LabelledFaces.load(tmp_path)
    np.testing.assert_array_equal(faces.codes, codes.astype(np.float32))
    assert faces.names == ("Smiling", "Wearing_Mask")
    assert faces.labels[:, 0].tolist() == [i % 2 for i in range(FACES)]
    assert faces.random.sum() == 30
    assert set(faces.part) == set(PARTS)
    sizes = [int((faces.part == part).sum()) for part in PARTS]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    assert faces.of(TEST).random.all()
    again = LabelledFaces.load(tmp_path)
    np.testing.assert_array_equal(faces.part, again.part)


def test_two_codes_mixed_at_rows(tmp_path: Path) -> None:
    write(tmp_path)
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, FACES, 512)).astype(np.float16)
    from_a = random.random((FACES, 16)) < 0.5
    np.savez(tmp_path / "latents.npz", id=np.arange(100, 140), w_a=a, w_b=b, from_a=from_a)
    codes = LabelledFaces.load(tmp_path).codes
    row = 7
    expected = a[3] if from_a[3, row] else b[3]
    np.testing.assert_array_equal(codes[3, row], expected.astype(np.float32))


def test_a_split_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, "id,Smiling,Wearing_Mask")
    parts = [EDIT, JUDGE, TEST]
    lines = [f"{100 + i},{parts[i % 3]}" for i in range(FACES)]
    (tmp_path / "split.csv").write_text("id,part\n" + "\n".join(lines) + "\n")
    faces = LabelledFaces.load(tmp_path)
    assert faces.random.all()
    assert faces.part.tolist() == [parts[i % 3] for i in range(FACES)]
    (tmp_path / "split.csv").write_text("id,part\n100,somewhere\n")
    with pytest.raises(InputError, match="must give each face one of"):
        LabelledFaces.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("id,sampling", "name,sampling", "first column"),
        ("100,targeted,0", "100,targeted,2", "0 or 1"),
        ("100,targeted,0,0", "100,targeted,0", "cannot be read"),
        ("100,targeted", "999,targeted", "different faces"),
        ("Wearing_Mask", "Smiling", "different names"),
        ("Wearing_Mask", "../Mask", "no name of letters"),
        ("Wearing_Mask", "/Mask", "no name of letters"),
        ("Wearing_Mask", ".Mask", "no name of letters"),
    ],
)
def test_bad_labels(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    write(tmp_path)
    path = tmp_path / "labels.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=complaint):
        LabelledFaces.load(tmp_path)


def test_bad_codes(tmp_path: Path) -> None:
    write(tmp_path)
    np.savez(tmp_path / "latents.npz", id=np.arange(FACES), codes=np.zeros((FACES, 18, 512)))
    with pytest.raises(InputError, match="shape"):
        LabelledFaces.load(tmp_path)
    (tmp_path / "latents.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError):
        LabelledFaces.load(tmp_path)
    (tmp_path / "latents.npz").unlink()
    with pytest.raises(InputError):
        LabelledFaces.load(tmp_path)


def test_the_shipped_split_parts_the_shipped_faces() -> None:
    faces = LabelledFaces.load(Path(__file__).parents[2] / "training_data" / "faces")
    counts = {part: int((faces.part == part).sum()) for part in PARTS}
    assert counts == {EDIT: 3252, JUDGE: 1516, TEST: 629}
    assert faces.random[faces.part == TEST].all()
