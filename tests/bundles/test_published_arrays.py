"""Arrays come out of NumPy's files; nothing in them is ever run."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from videdit.bundles.published_arrays import read_arrays
from videdit.errors import InputError, WeightsError

TABLE = np.arange(6.0).reshape(2, 3)


class Evil:
    """Would leave a file if it were unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.where}",)


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["pca.pkl", "S_mean_std"])
def test_pickles_of_arrays(tmp_path: Path, name: str, protocol: int) -> None:
    columns = np.asfortranarray(TABLE.astype(np.float32))
    held = {"comp": TABLE, "layers": [columns, TABLE.astype(">f8")], "one": np.float32(3), "no": 1}
    (tmp_path / name).write_bytes(pickle.dumps(held, protocol))
    wanted = {
        "comp": TABLE,
        "layers.0": columns,
        "layers.1": TABLE.astype(">f8"),
        "one": np.array(3, np.float32),
    }
    same(read_arrays(tmp_path / name), wanted)


def test_what_numpy_and_pytorch_write(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TABLE.T)
    same(read_arrays(tmp_path / "a.npy"), {"": TABLE.T})
    ragged = np.array([TABLE, TABLE[0]], dtype=object)
    np.save(tmp_path / "a.npy", ragged, allow_pickle=True)
    same(read_arrays(tmp_path / "a.npy"), {"0": TABLE, "1": TABLE[0]})
    np.save(tmp_path / "a.npy", np.array({"x": TABLE}, dtype=object), allow_pickle=True)
    same(read_arrays(tmp_path / "a.npy"), {"x": TABLE})
    np.savez_compressed(tmp_path / "a.npz", x=TABLE, y=TABLE[0])
    same(read_arrays(tmp_path / "a.npz"), {"x": TABLE, "y": TABLE[0]})
    torch.save({"x": torch.from_numpy(TABLE).bfloat16()}, tmp_path / "a.pt")
    same(read_arrays(tmp_path / "a.pt"), {"x": TABLE.astype(np.float32)})


@pytest.mark.parametrize("name", ["evil.pkl", "evil", "evil.npy", "evil.npz", "evil.pt"])
def test_what_would_run_is_refused_unrun(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    held = [np.zeros(3), Evil(mark)]
    array = np.empty(2, object)
    array[:] = held
    if name.endswith("npy"):
        np.save(path, array, allow_pickle=True)
    elif name.endswith("npz"):
        np.savez(path, allow_pickle=True, a=array)
    else:
        path.write_bytes(pickle.dumps(held))
    with pytest.raises(WeightsError, match=r"evil"):
        read_arrays(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(held))  # it is what it seems
    assert mark.exists()


def test_the_refusal_says_what_it_would_run(tmp_path: Path) -> None:
    path = tmp_path / "evil"
    for name in (b"builtins\neval", b"numpy\nload", b"numpy.core.multiarray\nfromfile"):
        path.write_bytes(b"\x80\x02cnumpy\ndtype\n0c" + name + b"\n(S'1'\ntR.")
        with pytest.raises(WeightsError, match="it would run " + name.decode().replace("\n", ".")):
            read_arrays(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pkl", ""])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with path.open("wb") as file:
        if suffix == ".npy":
            np.save(file, TABLE)
        elif suffix == ".npz":
            np.savez(file, x=TABLE)
        else:
            pickle.dump({"x": TABLE}, file)
    whole = path.read_bytes()
    for stop in (0, 1, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:stop])
        with pytest.raises(WeightsError, match=r"^a"):
            read_arrays(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_arrays(tmp_path / f"none{suffix}")


def test_no_room_is_made_for_what_a_header_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"1234")
    with pytest.raises(WeightsError, match="shorter than it says"):
        read_arrays(path)


def test_what_are_no_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["text"]))
    with pytest.raises(WeightsError, match="not numbers"):
        read_arrays(tmp_path / "a.npy")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"numpy": "none"}))
    with pytest.raises(WeightsError, match="holds no numbers"):
        read_arrays(tmp_path / "a.pkl")
