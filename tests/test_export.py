"""The SavedModel: it needs no rainbownet and gives the colorizer's photos."""

import io
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from rainbownet import export as module
from rainbownet import systems
from rainbownet.colorizer import Colorizer
from rainbownet.embedding import InceptionResNetV2Embedder
from rainbownet.export import export


def vivid(model):
    logits = model.network.get_layer("logits")
    logits.kernel.assign(logits.kernel * 20)
    return model


@pytest.fixture(scope="module")
def model():
    return vivid(systems.get("rainbownet", size=32, filters=2).model())


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The folder of the SavedModel, and what `export` returned."""
    out = tmp_path_factory.mktemp("export") / "served" / "1"
    return out, export(model, out)


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported[0]))


def photo(*shape):
    coarse = np.random.default_rng(0).integers(0, 256, (*[max(1, side // 8) for side in shape[:2]], 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC))


def encoded(array, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_difference_to_the_colorizer_is_rounding(exported):
    assert exported[1]["largest"] <= 2
    assert exported[1]["mean"] < 0.5


def test_a_savedmodel_that_cannot_be_replaced_stays(model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "saved_model.pb").write_text("the older one")

    class Archive:
        def track(self, network):
            pass

        add_endpoint = write_out = lambda self, *args, **options: None

    replace, calls = os.replace, []

    def full(old, new):
        calls.append(new)
        if len(calls) == 2:
            raise OSError("the disk is full")
        replace(old, new)

    monkeypatch.setattr(keras.export, "ExportArchive", Archive)
    monkeypatch.setattr(module, "_difference", lambda *_: {})
    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(ValueError, match="cannot be written .the disk is full"):
        export(model, out, overwrite=True)
    assert len(calls) == 3 and (out / "saved_model.pb").read_text() == "the older one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_names_of_inputs_and_outputs(served):
    assert set(served.signatures) == {"serving_default", "colorize"}
    for name, inputs, outputs in (
        ("serving_default", {"image_bytes"}, {"colorized_image_bytes"}),
        ("colorize", {"images"}, {"colorized"}),
    ):
        signature = served.signatures[name]
        assert set(signature.structured_input_signature[1]) == inputs
        assert set(signature.structured_outputs) == outputs


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 57), (200, 31), (4, 3000)])
def test_arrays_of_any_size(size, served, model):
    rgb = photo(*size, 3)
    colored = served.signatures["colorize"](images=rgb[None])["colorized"].numpy()[0]
    assert colored.dtype == np.uint8
    assert np.abs(colored.astype(int) - Colorizer(model)(rgb)).max() <= 3


def test_a_batch_is_its_photos(served):
    batch = np.stack([photo(40, 60, 3), photo(40, 60, 3)[::-1]])
    together = served.signatures["colorize"](images=batch)["colorized"].numpy()
    for rgb, colored in zip(batch, together, strict=True):
        alone = served.signatures["colorize"](images=rgb[None])["colorized"].numpy()[0]
        assert np.abs(alone.astype(int) - colored).max() <= 1


def test_one_channel_is_as_good_as_three(served):
    gray = photo(40, 60, 3)[None, ..., :1]
    one = served.signatures["colorize"](images=gray)["colorized"]
    three = served.signatures["colorize"](images=np.repeat(gray, 3, axis=-1))["colorized"]
    np.testing.assert_array_equal(one, three)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["colorize"](images=np.repeat(gray, 2, axis=-1))


def test_large_photos_are_taken_in_strips(served, model):
    # Of a width that leaves a rest in the last strip.
    rgb = photo(700, 1001, 3)
    colored = served.signatures["colorize"](images=rgb[None])["colorized"].numpy()[0]
    assert np.abs(colored.astype(int) - Colorizer(model)(rgb)).max() <= 3


@pytest.fixture
def dialled():
    """A network whose output is a quarter of its input, with everything set that can be."""
    codec = systems.get("rainbownet").codec
    model = systems.ColorModel(systems.models.eccv16(outputs=codec.outputs, filters=2), codec, (32, 32), 8)
    model.network.layers[-1].kernel.assign(model.network.layers[-1].kernel * 20)
    model.defaults = {"temperature": 0.2, "saturation": 1.2, "calm": 0.7, "ceiling": 40, "flip": True}
    model.defaults |= {"scales": [1, 2], "stretch": "photo"}
    return model


@pytest.mark.parametrize("size", [(1, 1), (40, 56), (100, 140), (5, 300)])
def test_the_graph_goes_by_the_models_own_settings(size, dialled):
    rgb = photo(*size, 3) // 3 + 80  # faded
    colored = module._Graph(dialled).color_images(tf.constant(rgb[None]))["colorized"].numpy()[0].astype(int)
    assert np.abs(colored - Colorizer(dialled)(rgb)).max() <= 3
    dialled.defaults = {}
    assert np.abs(colored - Colorizer(dialled)(rgb)).mean() > 5


@pytest.mark.slow
def test_settings_are_in_the_file_too(dialled, tmp_path):
    difference = export(dialled, tmp_path / "out")
    assert difference["mean"] < 0.5 and difference["largest"] <= 3


SCRIPT = """
import io, sys
sys.modules["rainbownet"] = None  # importing it is an error now
import numpy as np, tensorflow as tf
from PIL import Image

served = tf.saved_model.load(sys.argv[1])
data = [open(path, "rb").read() for path in sys.argv[3:]]
colored = served.signatures["serving_default"](image_bytes=tf.constant(data))["colorized_image_bytes"].numpy()
arrays = [np.asarray(Image.open(io.BytesIO(png))) for png in colored]
first = np.asarray(Image.open(sys.argv[3]).convert("RGB"))
arrays.append(served.signatures["colorize"](images=first[None])["colorized"].numpy()[0])
np.savez(sys.argv[2], *arrays)
nothing = served.signatures["serving_default"](image_bytes=tf.constant([], tf.string))["colorized_image_bytes"]
assert nothing.shape == (0,)
buffer = io.BytesIO()
frames = [Image.fromarray(np.full((8, 8, 3), level, "uint8")) for level in (0, 255)]
frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
for bad in (b"no photo", data[0][: len(data[0]) // 2], buffer.getvalue()):
    try:
        served.signatures["serving_default"](image_bytes=tf.constant([bad]))
    except tf.errors.InvalidArgumentError:
        print("refused")
"""


def test_it_works_where_rainbownet_is_not_installed(exported, model, tmp_path):
    photos = [photo(45, 61, 3), photo(30, 20, 3), np.asarray(Image.fromarray(photo(32, 32, 3)).convert("L"))]
    for i, (rgb, kind) in enumerate(zip(photos, ("PNG", "WEBP", "BMP"), strict=True)):
        (tmp_path / f"{i}.photo").write_bytes(encoded(rgb, kind, **({"lossless": True} if kind == "WEBP" else {})))
    paths = [str(tmp_path / f"{i}.photo") for i in range(3)]
    command = [sys.executable, "-c", SCRIPT, str(exported[0]), str(tmp_path / "colored.npz"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 3
    with np.load(tmp_path / "colored.npz") as colored:
        for rgb, name in zip([*photos, photos[0]], colored.files, strict=True):
            assert np.abs(colored[name].astype(int) - Colorizer(model)(rgb)).max() <= 3


def test_an_existing_folder_is_left_alone(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="out exists already"):
        export(model, out)
    with pytest.raises(FileExistsError, match="is no SavedModel, so it is not overwritten"):
        export(model, out, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "notes.txt"]


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what takes time: the graph around the network, and the comparison."""
    monkeypatch.setattr(module._Graph, "_color", lambda self, images: images)
    monkeypatch.setattr(module, "_difference", lambda model, folder: {"largest": 0.0, "mean": 0.0})


def test_a_saved_model_is_replaced_when_told_to(model, tmp_path, quick):
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is none that could be lost
    export(model, out)
    (out / "old").touch()
    export(model, out, overwrite=True)
    assert not (out / "old").exists() and (out / "saved_model.pb").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_leaves_what_was_there(model, tmp_path, quick, monkeypatch):
    out = tmp_path / "out"
    export(model, out)
    (out / "old").touch()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "_difference", fail)
    with pytest.raises(ValueError, match="cannot be written .*No space left"):
        export(model, out, overwrite=True)
    assert (out / "old").exists() and list(tmp_path.iterdir()) == [out]


def test_a_place_that_cannot_be_written_to_is_told(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        export(model, tmp_path / "file" / "out")


def test_a_model_of_fixed_size_and_a_regression(tmp_path):
    baseline = systems.get("rainbownet", variant="baseline", size=16).model()
    # Its colours are random and wild, so that a gray one level lighter changes some of them a good deal.
    assert export(baseline, tmp_path / "baseline")["mean"] < 1


class TinyEmbedder(InceptionResNetV2Embedder):
    """InceptionResNetV2's place taken by a network that is built at once."""

    def _build(self):
        image = keras.Input((299, 299, 3))
        return keras.Model(image, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(image)))


@pytest.fixture
def fusion():
    network = systems.models.rainbownet_fusion(embedding=10, filters=2)
    codec = systems.get("rainbownet").codec
    model = systems.ColorModel(network, codec, (32, 32), 8)
    return vivid(model)


def test_an_embedding_is_computed_in_the_graph(fusion, tmp_path, monkeypatch):
    fusion.embedder = TinyEmbedder(weights=None)
    dense = fusion.network.get_layer("fusion_global")
    dense.kernel.assign(dense.kernel * 10)  # so that the embedding matters
    difference = export(fusion, tmp_path / "fusion")
    assert difference["mean"] < 0.6 and difference["largest"] <= 6


def test_an_embedding_that_cannot_be_exported_is_told(fusion, tmp_path):
    fusion.embedder = lambda l: np.zeros((len(l), 10))
    with pytest.raises(ValueError, match="takes an embedding by function, which cannot be exported"):
        export(fusion, tmp_path / "fusion")
    assert not (tmp_path / "fusion").exists()
