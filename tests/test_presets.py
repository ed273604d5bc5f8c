"""Presets: what ships, and how a model is found."""

import json
import sys
import types

import numpy as np
import pytest
from keras import ops

from rainbownet import presets, systems


@pytest.fixture(scope="module")
def model():
    return systems.get("rainbownet", size=16, filters=2).model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    presets.save_preset(model, folder, {"description": "for tests"})
    return folder


@pytest.fixture
def shipped(folder, monkeypatch):
    """A package that ships one preset, "tiny"."""
    monkeypatch.setattr(presets, "_root", lambda: folder.parent)


def chroma(model):
    l = np.linspace(0, 100, 256, dtype="float32").reshape(1, 16, 16, 1)
    return ops.convert_to_numpy(model.predict_chroma(l))


def test_a_preset_gives_the_same_colors_to_float16(model, folder):
    np.testing.assert_allclose(chroma(presets.load_preset(folder)), chroma(model), atol=0.05)


def test_weights_are_restored_bit_for_bit_once_in_float16(folder, tmp_path):
    first = presets.load_preset(folder)
    presets.save_preset(first, tmp_path / "again")
    for a, b in zip(first.get_weights(), presets.load_preset(tmp_path / "again").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_preset_takes_two_bytes_a_weight(model, folder):
    assert (folder / "model.weights.npz").stat().st_size < 2 * model.count_params() + 20_000


def test_a_preset_of_a_model_in_mixed_precision_is_float32(tmp_path):
    mixed = systems.get("rainbownet", size=16, filters=2).model(precision="mixed_bfloat16")
    presets.save_preset(mixed, tmp_path / "mixed")
    loaded = presets.load_preset(tmp_path / "mixed")
    assert {layer.dtype_policy.name for layer in loaded.network.layers} == {"float32"}
    assert chroma(loaded).dtype == np.float32


def test_all_of_a_preset_may_be_trained_whatever_its_training_left_as_it_was(tmp_path):
    model = systems.get("rainbownet", size=16, filters=2).model()
    model.network.layers[1].trainable = False
    presets.save_preset(model, tmp_path / "frozen")
    loaded = presets.load_preset(tmp_path / "frozen")
    assert all(layer.trainable for layer in loaded.network.layers)
    np.testing.assert_allclose(chroma(loaded), chroma(model), atol=0.05)


def test_metadata_tell_sizes_versions_and_what_the_caller_adds(model, folder):
    facts = json.loads((folder / "metadata.json").read_text())
    assert facts["parameters"] == model.count_params()
    assert facts["size"] == [16, 16]
    assert facts["description"] == "for tests"
    assert facts["bytes"] == (folder / "model.weights.npz").stat().st_size
    assert {"rainbownet", "keras"} <= facts["versions"].keys()


def test_weights_beyond_float16_are_refused(tmp_path):
    model = systems.get("rainbownet", size=16, filters=2).model()
    model.network.weights[0].assign(model.network.weights[0] + 1e6)
    with pytest.raises(ValueError, match="do not fit into float16"):
        presets.save_preset(model, tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_names_and_descriptions_of_what_ships(shipped):
    assert presets.names() == ["tiny"]
    assert presets.describe()["tiny"]["description"] == "for tests"


def test_every_preset_that_ships_is_small_and_whole():
    for name, facts in presets.describe().items():
        assert facts["bytes"] < 35e6
        assert (presets.path(name) / "README.md").is_file()
        presets.load_preset(presets.path(name))


def test_resolve_takes_a_name_a_folder_a_file_and_a_run(shipped, folder, model, tmp_path):
    (tmp_path / "run").mkdir()
    model.save(tmp_path / "run" / "best.keras")
    assert presets.resolve("tiny") == folder
    assert presets.resolve(folder) == folder
    assert presets.resolve(tmp_path / "run") == tmp_path / "run" / "best.keras"
    assert presets.resolve(str(tmp_path / "run" / "best.keras")) == tmp_path / "run" / "best.keras"
    for found in ("tiny", folder, tmp_path / "run"):
        np.testing.assert_allclose(chroma(presets.load(found)), chroma(model), atol=0.05)


def test_an_unknown_name_is_told_with_the_names_there_are(shipped):
    for find in (presets.resolve, presets.path):
        with pytest.raises(FileNotFoundError, match="'huge'.*presets: tiny"):
            find("huge")


@pytest.fixture
def hub(folder, monkeypatch):
    """A Hugging Face Hub that has one preset, someone/tiny."""
    asked = []

    def snapshot_download(repository):
        asked.append(repository)
        if repository != "someone/tiny":
            raise ConnectionError("404 Client Error:\nRepository Not Found")
        return str(folder)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    return asked


def test_a_preset_comes_from_the_hub(hub, model, folder):
    assert presets.resolve("hf://someone/tiny") == folder
    np.testing.assert_allclose(chroma(presets.load("hf://someone/tiny")), chroma(model), atol=0.05)
    assert hub == ["someone/tiny"] * 2


def test_what_the_hub_has_not_is_told(hub):
    with pytest.raises(FileNotFoundError, match="hf://someone/huge cannot be had .*: 404 Client Error: Repository Not"):
        presets.resolve("hf://someone/huge")
    for address in ("hf://tiny", "hf://a/b/c", "hf://"):
        with pytest.raises(ValueError, match="expected hf://user/name"):
            presets.resolve(address)
    assert hub == ["someone/huge"]


def test_without_the_hubs_package_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r'takes the package huggingface_hub: pip install "rainbownet\[hf\]"'):
        presets.resolve("hf://someone/tiny")


def test_a_colorizer_is_called_by_the_address_it_came_from(hub, shipped):
    from rainbownet.colorizer import Colorizer

    for preset in ("hf://someone/tiny", "tiny"):
        assert Colorizer.from_preset(preset).name == Colorizer.load(preset).name == preset


def test_a_preset_brings_how_it_colors_by_default(model, tmp_path):
    from rainbownet.colorizer import Colorizer

    model = presets.color_model.in_float32(model)
    model.defaults = {"flip": True, "saturation": 1.2}
    presets.save_preset(model, tmp_path / "dialled")
    settings = Colorizer.from_preset(tmp_path / "dialled").settings
    assert (settings.flip, settings.saturation, settings.stretch) == (True, 1.2, "none")


def test_cards_and_notices_stay_when_weights_are_saved_again(model, tmp_path):
    presets.save_preset(model, tmp_path / "kept")
    for name in ("README.md", "NOTICE", "LICENSE"):
        (tmp_path / "kept" / name).write_text(name)
    presets.save_preset(model, tmp_path / "kept")
    assert [(tmp_path / "kept" / name).read_text() for name in ("NOTICE", "LICENSE")] == ["NOTICE", "LICENSE"]
    presets.load_preset(tmp_path / "kept")


@pytest.mark.parametrize("name", ["notes.txt", "folder"])
def test_something_else_than_a_model_is_told(name, tmp_path):
    path = tmp_path / name
    path.mkdir() if name == "folder" else path.write_text("no model")
    with pytest.raises(ValueError, match=f"{name} is no model: expected a .keras file"):
        presets.resolve(path)


def test_a_keras_file_of_another_kind_is_told(tmp_path):
    import keras

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="Sequential, not a model of rainbownet"):
        presets.load(tmp_path / "other.keras")


def test_a_text_file_named_keras_is_told(tmp_path):
    (tmp_path / "fake.keras").write_text("no zip")
    with pytest.raises(ValueError, match="fake.keras cannot be read as a model"):
        presets.load(tmp_path / "fake.keras")


@pytest.fixture
def copy(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_damaged_weights_are_noticed(copy):
    data = bytearray((copy / "model.weights.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.weights.npz").write_bytes(data)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        presets.load_preset(copy)


def test_a_missing_file_is_told(copy):
    (copy / "model.weights.npz").unlink()
    with pytest.raises(FileNotFoundError, match="has no model.weights.npz"):
        presets.load_preset(copy)


def test_damaged_metadata_and_configuration_are_told(copy):
    (copy / "config.json").write_text('{"class_name": "Nothing"}')
    with pytest.raises(ValueError, match="cannot be read as a model"):
        presets.load_preset(copy)
    (copy / "metadata.json").write_text("{")
    with pytest.raises(ValueError, match="metadata.json is damaged"):
        presets.load_preset(copy)


def test_codec_and_network_that_disagree_are_told(copy):
    config = json.loads((copy / "config.json").read_text())
    config["config"]["codec"] = {
        "module": "rainbownet.codecs",
        "class_name": "RegressionCodec",
        "config": {"scale": 128.0},
        "registered_name": "rainbownet>RegressionCodec",
    }
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="gives 112 numbers a pixel, but its codec decodes 2"):
        presets.load_preset(copy)


def test_a_preset_is_not_complete_before_its_metadata_are_written(copy, model, monkeypatch):
    monkeypatch.setattr(presets, "_sha256", lambda file: 1 / 0)
    changed = systems.get("rainbownet", size=16, filters=2).model()
    changed.set_weights([weight + 1 for weight in changed.get_weights()])
    with pytest.raises(ZeroDivisionError):
        presets.save_preset(changed, copy)
    monkeypatch.undo()
    # The new weights do not go with the old metadata, and that is noticed.
    with pytest.raises(ValueError, match="SHA-256 differs"):
        presets.load_preset(copy)
