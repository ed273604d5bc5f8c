import io
import sys

import numpy as np
import pytest

from rainbownet.models.state_dict import read_state_dict


def npy():
    """The bytes of a single array, which is no archive of several."""
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*weights\.pth; give the path of a PyTorch state dict"):
        read_state_dict(tmp_path / "weights.pth")


def test_a_file_without_pytorch_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="pip install torch, or save the weights as .npz"):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken", npy()])
def test_a_damaged_npz_is_told(tmp_path, content):
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.npz cannot be read as an \.npz"):
        read_state_dict(tmp_path / "weights.npz")


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "weights.npz", **{"conv1.weight": np.array([print], dtype=object)})
    with pytest.raises(ValueError, match=r"cannot be read as an \.npz"):
        read_state_dict(tmp_path / "weights.npz")


def test_a_damaged_torch_file_is_told(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "weights.pth").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"weights\.pth cannot be read as a PyTorch state dict"):
        read_state_dict(tmp_path / "weights.pth")


def test_a_whole_torch_network_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    for content in ([1, 2], {"epoch": 3}, torch.nn.Linear(2, 2)):
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(ValueError, match="(holds something else than|cannot be read as) a PyTorch state dict"):
            read_state_dict(tmp_path / "weights.pth")
