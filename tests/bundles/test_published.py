"""Tensors come out of published files; nothing in them is ever run."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from videdit.bundles.published import below, read_checkpoint
from videdit.errors import InputError, WeightsError

# What writes a pickle as StyleGAN2-ADA's classes do: each object with its class's source and its
# state. Runs in a process of its own, so that the names exist there alone.
_WRITER = """
import pickle, sys, types
import torch
persistence = types.ModuleType("torch_utils.persistence")
sys.modules["torch_utils"] = types.ModuleType("torch_utils")
sys.modules["torch_utils.persistence"] = persistence
dnnlib = types.ModuleType("dnnlib")
util = types.ModuleType("dnnlib.util")
sys.modules["dnnlib"], sys.modules["dnnlib.util"] = dnnlib, util

class EasyDict(dict):
    pass
EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
util.EasyDict = EasyDict

def _reconstruct_persistent_obj(meta):
    raise AssertionError("its source would be run")
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
_reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj

class Persistent(torch.nn.Module):
    def __reduce__(self):
        meta = dict(type="class", version=6, module_src="raise SystemExit(9)",
                    class_name=type(self).__name__, state=dict(self.__dict__))
        return _reconstruct_persistent_obj, (meta,), None

class Layer(Persistent):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
        self.register_buffer("noise_const", torch.full((4, 4), 2.0))
        self.kwargs = EasyDict(up=2)

class Generator(Persistent):
    def __init__(self):
        super().__init__()
        self.synthesis = Layer()
        self.w_avg = torch.nn.Parameter(torch.ones(5, dtype=torch.float16))

with open(sys.argv[1], "wb") as file:
    pickle.dump(dict(G_ema=Generator(), D=None, training_set_kwargs=EasyDict(path="x")), file)
"""


def test_a_network_pickle(tmp_path: Path) -> None:
    path = tmp_path / "network.pkl"
    subprocess.run([sys.executable, "-c", _WRITER, str(path)], check=True)
    found = read_checkpoint(path)
    assert set(found) == {
        *("G_ema.synthesis.weight", "G_ema.synthesis.noise_const", "G_ema.w_avg"),
    }
    own = below(found, "G_ema.")
    torch.testing.assert_close(own["synthesis.weight"], torch.arange(6.0).view(2, 3))
    torch.testing.assert_close(own["synthesis.noise_const"], torch.full((4, 4), 2.0))
    assert own["w_avg"].dtype == torch.float16
    assert not own["synthesis.weight"].requires_grad


def test_pytorch_and_safetensors_files(tmp_path: Path) -> None:
    state = {"conv.weight": torch.rand(2, 3), "latent": torch.rand(4)}
    published = {
        "g_ema": state,
        "latent_avg": torch.zeros(512),
        "opts": argparse.Namespace(output_size=1024),
        "epoch": 7,
    }
    torch.save(published, tmp_path / "g.pt")
    torch.save(published, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, str(tmp_path / "g.safetensors"))
    for name in ("g.pt", "old.pt"):
        found = read_checkpoint(tmp_path / name)
        assert set(found) == {"g_ema.conv.weight", "g_ema.latent", "latent_avg"}
        torch.testing.assert_close(below(found, "g_ema.")["latent"], state["latent"])
    assert set(read_checkpoint(tmp_path / "g.safetensors")) == set(state)


class Evil:
    """Would leave a file if it were unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.where}",)


@pytest.mark.parametrize("suffix", [".pkl", ".pt"])
def test_what_would_run_is_refused_unrun(tmp_path: Path, suffix: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / f"evil{suffix}"
    with path.open("wb") as file:
        pickle.dump({"G_ema": Evil(mark), "w": 1}, file)
    with pytest.raises(WeightsError, match=rf"evil\{suffix}"):
        read_checkpoint(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # it is what it seems
    assert mark.exists()


def test_the_refusal_says_what_it_would_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    for name in (b"builtins\neval", b"posix\nsystem", b"torch.hub\nload", b"torch\nload"):
        path.write_bytes(b"\x80\x02c" + name + b"\n(S'1'\ntR.")
        with pytest.raises(WeightsError, match="it would run " + name.decode().replace("\n", ".")):
            read_checkpoint(path)


def test_a_storage_is_read_as_weights_alone(tmp_path: Path) -> None:
    """The bytes of a storage are a pickle themselves."""
    mark = tmp_path / "mark"
    inner = pickle.dumps(Evil(mark))
    path = tmp_path / "nested.pkl"
    call = b"\x80\x02ctorch.storage\n_load_from_bytes\n" + pickle.dumps(inner, 3)[2:-1] + b"\x85R."
    path.write_bytes(call)
    with pytest.raises(WeightsError, match=r"nested\.pkl"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".safetensors"])
def test_damaged_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    if suffix == ".pkl":
        subprocess.run([sys.executable, "-c", _WRITER, str(path)], check=True)
    elif suffix == ".pt":
        torch.save({"w": torch.rand(100)}, path)
    else:
        save_file({"w": torch.rand(100)}, str(path))
    whole = path.read_bytes()
    for stop in (0, 1, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:stop])
        with pytest.raises(WeightsError, match=rf"g\{suffix}"):
            read_checkpoint(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(tmp_path / f"none{suffix}")


def test_no_tensors(tmp_path: Path) -> None:
    path = tmp_path / "opts.pt"
    torch.save({"opts": {"size": 3}}, path)
    with pytest.raises(WeightsError, match="holds no tensor"):
        read_checkpoint(path)
    path = tmp_path / "self.pkl"
    own: list[object] = []
    own.append(own)
    path.write_bytes(pickle.dumps(own))
    with pytest.raises(WeightsError, match="too deep"):
        read_checkpoint(path)
