"""Editors: what an edit does to codes, in which order, and what is refused."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videdit.editing.files import read_tensors
from videdit.editing.linear import (
    Component,
    GANSpaceEditor,
    LinearEditor,
    Normals,
    direction_editor,
    ganspace_editor,
    load_components,
    load_normals,
)
from videdit.editing.schedule import Edit
from videdit.editing.transformer import (
    EDITED_ROWS,
    AffineMap,
    LatentTransformers,
    load_transformers,
)
from videdit.errors import UsageError, WeightsError
from videdit.generators.wspace import WStatistics

RANDOM = np.random.default_rng(0)


def codes(count: int = 3) -> np.ndarray:
    return RANDOM.standard_normal((count, 16, 512)).astype(np.float32)


def affine(seed: int, rank: int = 4) -> AffineMap:
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    return AffineMap(
        draw(EDITED_ROWS, 512, rank), draw(EDITED_ROWS, rank, 512), draw(EDITED_ROWS, 512)
    )


def transformers() -> LatentTransformers:
    mean = RANDOM.standard_normal(512).astype(np.float32)
    return LatentTransformers(mean, {"Smiling": affine(1), "Wearing_Mask": affine(2)})


def test_a_map_is_affine_row_by_row_and_leaves_the_finer_rows() -> None:
    editor, before = transformers(), codes()
    alphas = np.array([0.0, 1.0, -2.5], np.float32)
    after = editor.move(before, "Smiling", alphas)
    found = editor.maps["Smiling"]
    for n, alpha in enumerate(alphas):
        for row in range(16):
            expected = before[n, row].astype(np.float64)
            if row < EDITED_ROWS:
                matrix = found.down[row].astype(np.float64) @ found.up[row]
                expected = expected + alpha * (
                    (before[n, row] - editor.mean) @ matrix + found.bias[row]
                )
            np.testing.assert_allclose(after[n, row], expected, atol=1e-4)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[:, EDITED_ROWS:], before[:, EDITED_ROWS:])


def test_what_belongs_to_the_person_keeps_its_form_and_expressions_follow() -> None:
    editor = LatentTransformers(
        np.zeros(512, np.float32), {"Eyeglasses": affine(1), "Smiling": affine(2)}
    )
    moving = codes()
    calm = np.repeat(moving.mean(0, keepdims=True), len(moving), 0)
    at = np.arange(len(moving))
    glasses, smile = Edit.parse("Eyeglasses=1"), Edit.parse("Smiling=1")
    steps = editor.apply(moving, [glasses], at, calm).codes - moving
    np.testing.assert_allclose(steps, np.repeat(steps[:1], len(steps), 0), atol=1e-5)
    wanted = editor.maps["Eyeglasses"].of(calm[:1], editor.mean)[0]
    np.testing.assert_allclose(steps[0, :EDITED_ROWS], wanted, atol=1e-5)
    smiles = editor.apply(moving, [smile], at, calm).codes
    np.testing.assert_array_equal(smiles, editor.apply(moving, [smile], at).codes)
    # One after the other: the glasses of a smiling face.
    both = editor.apply(moving, [smile, glasses], at, calm).codes
    smiling = editor.apply(calm, [smile], at).codes
    expected = smiles + (editor.apply(smiling, [glasses], at).codes - smiling)
    np.testing.assert_allclose(both, expected, atol=1e-5)
    with pytest.raises(ValueError, match="calm codes"):
        editor.apply(moving, [smile], at, calm[:1])


def test_an_alpha_of_one_is_as_many_steps_as_its_sign_takes(tmp_path: Path) -> None:
    plain = transformers()
    plain.save(tmp_path / "maps.safetensors", {})
    lengths = tmp_path / "lengths.json"
    lengths.write_text('{"Smiling": [0.5, 2]}')
    scaled = load_transformers(tmp_path / "maps.safetensors", lengths)
    own = load_transformers(tmp_path / "maps.safetensors")
    before = codes()
    alphas = np.array([1, -1, 0], np.float32)
    for name, steps in (("Smiling", (2, -0.5, 0)), ("Wearing_Mask", (1, -1, 0))):
        found = scaled.move(before, name, alphas)
        np.testing.assert_array_equal(found, own.move(before, name, np.array(steps, np.float32)))


@pytest.mark.parametrize("text", ["{", '{"Smiling": 2}', '{"Smiling": [0, 1]}', '{"Smiling": [1]}'])
def test_lengths_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    transformers().save(tmp_path / "maps.safetensors", {})
    (tmp_path / "lengths.json").write_text(text)
    with pytest.raises(WeightsError):
        load_transformers(tmp_path / "maps.safetensors", tmp_path / "lengths.json")


def test_a_code_is_moved_as_if_it_were_alone() -> None:
    """To the last bit: what is edited for a stretch is the same for the whole."""
    editor = LatentTransformers(np.zeros(512, np.float32), {"Smiling": affine(0, rank=16)})
    codes = np.random.default_rng(1).normal(0, 1, (48, 16, 512)).astype(np.float32)
    strengths = np.linspace(-1, 2, 48).astype(np.float32)
    together = editor.move(codes, "Smiling", strengths)
    for k in (0, 20, 47):
        alone = editor.move(codes[k : k + 1], "Smiling", strengths[k : k + 1])
        np.testing.assert_array_equal(alone[0], together[k])


@settings(max_examples=20, deadline=None)
@given(alpha=st.floats(-3, 3, width=32))
def test_an_edit_grows_with_alpha(alpha: float) -> None:
    editor, before = transformers(), codes(1)
    one = editor.move(before, "Smiling", np.ones(1, np.float32)) - before
    some = editor.move(before, "Smiling", np.array([alpha], np.float32)) - before
    np.testing.assert_allclose(some, alpha * one, atol=1e-4)


def test_edits_are_made_one_after_the_other() -> None:
    editor, before = transformers(), codes()
    times = np.array([0.0, 1.0, 2.0])
    after = editor.apply(
        before, [Edit.parse("Smiling=2"), Edit.parse("Wearing_Mask=-1")], times
    ).codes
    first = editor.move(before, "Smiling", np.full(3, 2, np.float32))
    np.testing.assert_array_equal(
        after, editor.move(first, "Wearing_Mask", np.full(3, -1, np.float32))
    )


def test_strengths_follow_the_schedule() -> None:
    editor, before = transformers(), codes()
    after = editor.apply(before, [Edit.parse("Smiling=0s:0,2s:1")], np.array([0.0, 1.0, 2.0])).codes
    alphas = np.array([0, 0.5, 1], np.float32)
    np.testing.assert_array_equal(after, editor.move(before, "Smiling", alphas))
    np.testing.assert_array_equal(after[0], before[0])


def test_names_are_the_editors_own() -> None:
    editor = transformers()
    assert editor.name("wearing mask") == "Wearing_Mask"
    with pytest.raises(UsageError) as caught:
        editor.apply(codes(), [Edit.parse("Young")], np.zeros(3))
    assert "Young" in caught.value.message
    with pytest.raises(UsageError, match="Smilng"):
        editor.name("Smilng")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="fit together"):
        transformers().apply(codes(3), [], np.zeros(2))
    with pytest.raises(ValueError, match="shapes"):
        AffineMap(*(np.zeros((EDITED_ROWS, 512), np.float32),) * 3)


def test_only_the_maps_that_are_used_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "t.safetensors", list[str]()
    transformers().save(path, {})

    def noted(path: Path, *names: str) -> list[np.ndarray]:
        read.extend(names)
        return read_tensors(path, *names)

    monkeypatch.setattr("videdit.editing.transformer.read_tensors", noted)
    loaded = load_transformers(path)
    for _ in range(2):
        loaded.move(codes(), "Smiling", np.ones(3, np.float32))
    assert read == ["mean", "Smiling.down", "Smiling.up", "Smiling.bias"]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path, editor = tmp_path / "t.safetensors", transformers()
    editor.save(path, {"made": "by a test"})
    loaded = load_transformers(path)
    assert loaded.names == editor.names
    before, alphas = codes(), np.ones(3, np.float32)
    np.testing.assert_allclose(
        loaded.move(before, "Wearing_Mask", alphas),
        editor.move(before, "Wearing_Mask", alphas),
        atol=5e-3,
    )
    editor.save(tmp_path / "again.safetensors", {"made": "by a test"})
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


@pytest.mark.parametrize("load", [load_transformers, load_normals, load_components])
def test_damaged_files_are_weights_errors(tmp_path: Path, load: object) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(WeightsError):
        load(path)  # type: ignore[operator]
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError):
        load(path)  # type: ignore[operator]


def normals() -> Normals:
    table = np.random.default_rng(5).standard_normal((3, 16, 512)).astype(np.float32)
    table[1] = table[0] + 0.3 * table[1]  # two that are much alike
    table /= np.linalg.norm(table.reshape(3, -1), axis=1)[:, None, None]
    names = ("Male", "No_Beard", "Young")
    return Normals(dict(zip(names, table, strict=True)), {"Male": 2.0, "No_Beard": 3.0, "Young": 4})


def test_a_conditional_edit_is_orthogonal_to_what_it_keeps() -> None:
    found = normals()
    free, held = found.editor(), found.editor(["male", "Young"])
    for kept in ("Male", "Young"):
        assert abs((held.steps["No_Beard"] * found.normals[kept]).sum()) < 1e-5
        assert abs((free.steps["No_Beard"] * found.normals[kept]).sum()) > 1e-3
    assert np.linalg.norm(held.steps["No_Beard"]) == pytest.approx(3, rel=1e-5)
    assert (held.steps["Male"] * found.normals["Male"]).sum() > 1.9  # itself, but for Young
    np.testing.assert_allclose(free.steps["Young"], 4 * found.normals["Young"], rtol=1e-5)
    with pytest.raises(UsageError):
        found.editor(["Yung"])


def test_normals_are_saved(tmp_path: Path) -> None:
    found = normals()
    found.save(tmp_path / "n.safetensors", {})
    loaded = load_normals(tmp_path / "n.safetensors")
    assert loaded.lengths == found.lengths
    for name, normal in loaded.normals.items():
        assert np.linalg.norm(normal) == pytest.approx(1)
        np.testing.assert_allclose(normal, found.normals[name], atol=1e-4)


def test_components_move_their_rows_by_deviations() -> None:
    import torch

    axes = torch.linalg.qr(torch.randn(512, 512))[0]
    stats = WStatistics(torch.zeros(512), axes, torch.linspace(2, 0.1, 512))
    editor = ganspace_editor(stats, {"Smiling": Component(7, 4, 7, -3.0)}, 16, components=10)
    assert editor.names[0] == "Smiling"
    assert set(editor.names[1:]) == {f"pc{i}" for i in range(10)}
    expected = -3 * float(stats.scale[7]) * axes[:, 7].numpy()
    np.testing.assert_allclose(editor.steps["Smiling"][5], expected, rtol=1e-5)
    assert not editor.steps["Smiling"][[0, 3, 8, 15]].any()
    assert editor.steps["pc0"].all(axis=1).sum() == 16
    with pytest.raises(WeightsError, match="more than 7 rows"):
        ganspace_editor(stats, {"Smiling": Component(7, 4, 7, -3.0)}, 7)


def components() -> GANSpaceEditor:
    import torch

    axes = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0]
    stats = WStatistics(torch.zeros(32), axes, torch.linspace(2, 0.1, 32))
    return ganspace_editor(stats, {"Smiling": Component(7, 4, 7, -3.0)}, 16, components=12)


@pytest.mark.parametrize(
    ("text", "name", "rows"),
    [
        ("pc3", "pc3", (0, 15)),
        ("PC-3", "pc3", (0, 15)),
        ("pc3:4-7", "pc3:4-7", (4, 7)),
        (" Pc 03 : 4 - 07 ", "pc3:4-7", (4, 7)),
        ("pc3:5", "pc3:5", (5, 5)),
        ("pc3:5-5", "pc3:5", (5, 5)),
        ("pc3:0-15", "pc3", (0, 15)),
        # Not pc11, which these are without their colon.
        ("pc1:1", "pc1:1", (1, 1)),
    ],
)
def test_a_component_is_called_by_number_and_rows(
    text: str, name: str, rows: tuple[int, int]
) -> None:
    editor = components()
    assert editor.name(text) == editor.name(name) == name
    what = editor.component(name)
    assert (what.first, what.last, what.sigma) == (*rows, 1)
    step = editor.step(name)
    touched = np.arange(rows[0], rows[1] + 1)
    assert np.flatnonzero(step.any(1)).tolist() == touched.tolist()
    np.testing.assert_array_equal(step[touched], editor.steps[f"pc{what.number}"][touched])


def test_rows_of_a_component_are_edited_over_a_schedule() -> None:
    editor = components()
    before = RANDOM.standard_normal((3, 16, 32)).astype(np.float32)
    edit = Edit.parse("pc3:4-7=2")
    assert (edit.attribute, str(edit)) == ("pc3:4-7", "pc3:4-7=2.0")
    assert Edit.parse(str(edit)) == edit
    after = editor.apply(before, [edit, Edit.parse("pc2:9=0s:0,2s:1")], [0.0, 1.0, 2.0]).codes
    step = after - before
    np.testing.assert_allclose(step[:, 4:8], np.tile(2 * editor.steps["pc3"][0], (3, 4, 1)), 1e-3)
    np.testing.assert_allclose(step[:, 9], np.outer([0, 0.5, 1], editor.steps["pc2"][0]), 1e-3)
    assert not step[:, [0, 3, 8, 10, 15]].any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pc12", r"pc12\. .* from pc0 to pc11"),
        ("pc12:4-7", r"pc12\. .* from pc0 to pc11"),
        ("pc3:4-16", "Rows go from 0 to 15"),
        ("pc3:16", "Rows go from 0 to 15"),
        ("pc3:7-4", "Rows go from 0 to 15"),
        ("pc3:", "Rows go from 0 to 15"),
        ("pc3:-4", "Rows go from 0 to 15"),
        ("pc3:4-7-9", "Rows go from 0 to 15"),
        ("pc", "unknown attribute"),
        ("pcs:4", "unknown attribute"),
    ],
)
def test_components_and_rows_that_there_are_not(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        components().name(text)
    assert "\n" not in str(caught.value)


def test_named_components_beyond_w_are_refused() -> None:
    import torch

    stats = WStatistics(torch.zeros(8), torch.eye(8), torch.ones(8))
    assert ganspace_editor(stats, {}, 16).listed == 8  # no more than there are
    with pytest.raises(WeightsError, match="8 components"):
        ganspace_editor(stats, {"Smiling": Component(8, 4, 7, 1.0)}, 16)


def test_a_direction_of_ones_own(tmp_path: Path) -> None:
    step = RANDOM.standard_normal((16, 512))
    np.save(tmp_path / "tired.npy", step)
    editor = direction_editor(tmp_path / "tired.npy", (16, 512))
    assert editor.names == ("tired",)
    after = editor.move(codes() * 0, "tired", np.array([1, 0, 2], np.float32))
    np.testing.assert_allclose(after[2], 2 * step, rtol=1e-5)
    np.save(tmp_path / "one.npy", step[0])
    one = direction_editor(tmp_path / "one.npy", (16, 512)).steps["one"]
    np.testing.assert_allclose(one[9], step[0], rtol=1e-5)
    for name, values in (("flat", np.zeros(9)), ("nan", np.full(512, np.nan))):
        np.save(tmp_path / f"{name}.npy", values)
        with pytest.raises(UsageError, match="holds no direction"):
            direction_editor(tmp_path / f"{name}.npy", (16, 512))
    with pytest.raises(UsageError, match="holds no direction"):
        direction_editor(tmp_path / "missing.npy", (16, 512))
    assert isinstance(editor, LinearEditor)


def test_taking_away_is_a_map_of_its_own(tmp_path: Path) -> None:
    mean = RANDOM.standard_normal(512).astype(np.float32)
    more, less = {"Smiling": affine(1), "Young": affine(2)}, {"Smiling": affine(3)}
    editor = LatentTransformers(mean, more, less, {"Smiling": (2.0, 1.0)})
    before, alphas = codes(), np.array([1.0, -0.5, 0.0], np.float32)
    after = editor.move(before, "Smiling", alphas)
    given = more["Smiling"].of(before, mean)[0]
    taken = less["Smiling"].of(before, mean)[1]
    np.testing.assert_allclose((after - before)[0, :EDITED_ROWS], given, atol=1e-5)
    np.testing.assert_allclose((after - before)[1, :EDITED_ROWS], taken, atol=1e-5)
    np.testing.assert_array_equal(after[2], before[2])
    # Where nothing else was learned, the way back is the way there, as in the paper.
    there = editor.move(before, "Young", np.ones(3, np.float32)) - before
    back = editor.move(before, "Young", -np.ones(3, np.float32)) - before
    np.testing.assert_allclose(back, -there, atol=1e-5)
    editor.save(tmp_path / "t.safetensors", {})
    loaded = load_transformers(tmp_path / "t.safetensors")
    assert set(loaded.less) == {"Smiling"}
    np.testing.assert_allclose(
        loaded.move(before, "Smiling", -np.ones(3, np.float32)) - before,
        (editor.move(before, "Smiling", np.full(3, -0.5, np.float32)) - before),
        atol=5e-3,
    )


class Runs:
    """Unpickled, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.trace,)


def test_hostile_directions_run_nothing_and_take_no_memory(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    pickled, archive, plain = (tmp_path / name for name in ("p.npy", "z.npy", "raw.npy"))
    np.save(pickled, np.array([Runs(trace)], object), allow_pickle=True)
    with archive.open("wb") as file:
        np.savez(file, a=np.zeros(512))
    plain.write_bytes(pickle.dumps(Runs(trace)))
    paths = [pickled, archive, plain]
    for number, header in enumerate(
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-512,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 8)}",
            "{'descr': '<U512', 'fortran_order': False, 'shape': (512,)}",
            "__import__('pathlib').Path('it-ran').touch()",
            "(" * 5000,
            "x" * 50_000,
        )
    ):
        path = tmp_path / f"header{number}.npy"
        text = header.encode().ljust(118) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(512))
        paths.append(path)
    for path in paths:
        with pytest.raises(UsageError, match="holds no direction") as caught:
            direction_editor(path, (16, 512))
        assert "\n" not in str(caught.value)
    assert not trace.exists()
    # The first of them is one: it runs where nothing keeps it from it.
    pickle.loads(plain.read_bytes())
    assert trace.exists()


@pytest.mark.parametrize("length", [8, 100, 1 << 20, (1 << 63) - 1, (1 << 64) - 1])
def test_safetensors_that_declare_a_header_of_any_size(tmp_path: Path, length: int) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":{"dtype":"F32","shape":[1099511627776')
    with pytest.raises(WeightsError, match=r"own\.safetensors cannot be read"):
        load_normals(path)
    text = b'{"normals":{"dtype":"F16","shape":[1099511627776],"data_offsets":[0,2199023255552]}}'
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_normals(path)


def test_maps_of_one_direction_can_still_be_loaded(tmp_path: Path) -> None:
    """What people trained with earlier versions."""
    transformers().save(tmp_path / "t.safetensors", {})
    raw = (tmp_path / "t.safetensors").read_bytes()
    for old in (b"1", b"2"):
        (tmp_path / "old.safetensors").write_bytes(
            raw.replace(b"videdit.transformers.3", b"videdit.transformers." + old)
        )
        assert load_transformers(tmp_path / "old.safetensors").names == ("Smiling", "Wearing_Mask")
    (tmp_path / "new.safetensors").write_bytes(
        raw.replace(b"videdit.transformers.3", b"videdit.transformers.9")
    )
    with pytest.raises(WeightsError, match="format"):
        load_transformers(tmp_path / "new.safetensors")


def test_a_map_edits_as_many_rows_as_it_has() -> None:
    rows = 16
    zero = np.zeros((rows, 512, 2), np.float32)
    found = AffineMap(zero, zero.transpose(0, 2, 1), np.ones((rows, 512), np.float32))
    editor = LatentTransformers(np.zeros(512, np.float32), {"Black_Hair": found})
    before = codes()
    after = editor.move(before, "Black_Hair", np.full(3, 0.5, np.float32))
    np.testing.assert_allclose(after, before + 0.5, atol=1e-6)
