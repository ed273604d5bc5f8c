"""Every system by name, at toy width, from photos to coloured photos."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image
from rich.console import Console

from rainbownet import color, color_model, systems, training
from rainbownet.colorizer import Colorizer
from rainbownet.embedding import Embedder
from rainbownet.export import export
from rainbownet.priors import ColorPrior

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains through tf.data")


@keras.saving.register_keras_serializable("tests")
class Brightness(Embedder):
    """Mean and deviation of the photo."""

    size, outputs = (8, 8), 2

    def embed(self, images):
        return np.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], -1).astype("float32")

    def weights_hash(self):
        return "none"

    def get_config(self):
        return {}


# What makes a toy of each system, and of its variants.
TOYS = {
    "rainbownet": {"filters": 2},
    "rainbownet fusion": {"variant": "fusion", "embedder": Brightness(), "filters": 2},
    "rainbownet baseline": {"variant": "baseline"},
    "color_unet": {"filters": 2},
    "color_unet of 6 bins": {"bins": 6, "cells": 16, "norm": "batch", "filters": 2},
    "colornet": {"filters": 2},
    "colornet with classes": {"alpha": 1 / 300, "filters": 2},
    "colornet with classes and buckets": {"head": "buckets", "alpha": 0.1, "rebalance": 0.5, "filters": 2},
    "colornet without global features": {"global_features": False, "filters": 2},
    "resnet18": {"filters": 4},
    "resnet18 of buckets": {"head": "buckets", "grid": 112, "filters": 4},
    "dropout_cnn": {"filters": 4},
    "dropout_cnn of label distance": {"loss": "label_distance", "gray": "rec601", "filters": 4},
    "dropout_cnn of dense layers": {"head": "dense", "colors": 5, "filters": 2},
    "eccv16": {"filters": 2},
    "eccv16 of hard targets": {"neighbors": 1, "grid": 112, "filters": 2},
    "lite_unet": {"encoder": None, "deepest": 16, "filters": (8, 8, 8)},
}
# Trained from files; the variants differ in nothing that training from files sees.
TRAINED = ("color_unet", "colornet with classes", "resnet18", "dropout_cnn", "eccv16")


def toy(name, **options):
    return systems.get(name.split()[0], **{"size": 32, "batch": 4, **TOYS[name], **options})


@pytest.fixture(scope="module")
def rgb():
    coarse = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    return coarse.repeat(4, 1).repeat(4, 2)


def test_every_system_is_tried():
    assert set(systems.SYSTEMS) <= set(TOYS)


@pytest.mark.parametrize("name", TOYS)
def test_a_step_of_training_and_a_file(name, rgb, tmp_path):
    system = toy(name).fitted([rgb])
    prior = None
    if system.recipe.rebalance is not None:
        prior = ColorPrior(len(system.codec.buckets))
        prior.update(ops.convert_to_numpy(system.codec.classify(rgb)))
    model = system.model(prior, classes=2 if system.alpha else None)
    floats = rgb / np.float32(255)
    x, target = system.codec.encode(floats)
    if system.shrink > 1:
        small = floats.reshape(4, 32 // system.shrink, system.shrink, 32 // system.shrink, system.shrink, 3)
        _, target = system.codec.encode(small.mean((2, 4)))
    if system.alpha:
        target = {"color": target, "class": np.array([0, 1, 0, 1])}
    embedding = np.ones((4, 2), "float32") if model.needs_embedding else None
    inputs = x if embedding is None else {"l": x, "embedding": embedding}
    model.compile(system.recipe.build_optimizer(), system.loss(prior), run_eagerly=True)
    assert np.isfinite(model.train_on_batch(inputs, target, return_dict=True)["loss"])

    l = color.luminance(rgb)
    ab = ops.convert_to_numpy(model.predict_chroma(l, embedding))
    assert ab.shape == (4, 32 // system.shrink, 32 // system.shrink, 2) and np.isfinite(ab).all()
    model.save(tmp_path / "model.keras")
    again = color_model.load(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict_chroma(l, embedding), ab, atol=1e-4)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 photos of 40x32 in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(24):
        kind = folder / ("sunsets" if i % 2 else "markets")
        kind.mkdir(exist_ok=True)
        coarse = rng.integers(0, 256, (8, 10, 3)).astype("uint8")
        Image.fromarray(coarse).resize((40, 32), Image.Resampling.BICUBIC).save(kind / f"{i}.png")
    return folder


@pytest.fixture
def eagerly():
    """Compiling a graph for each network would take longer than all else here."""
    tensorflow = pytest.importorskip("tensorflow")
    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the .tf.config.experimental_run_functions_eagerly")
@pytest.mark.parametrize("name", TRAINED)
def test_from_a_folder_of_photos_to_a_served_model(name, photos, eagerly, tmp_path):
    system, quiet = toy(name), Console(quiet=True)
    result = training.train(system, photos, tmp_path, steps=2, epoch_steps=2, console=quiet)
    assert np.isfinite(result.rows["model"]["psnr"])
    # The second time everything is taken from the run: the codec, the kinds, the weights.
    again = training.train(system, photos, tmp_path, steps=2, epoch_steps=2, console=quiet)
    assert again.rows["model"]["psnr"] == pytest.approx(result.rows["model"]["psnr"])

    model = color_model.load(tmp_path / "best.keras")
    gray = np.random.default_rng(1).integers(0, 256, (9, 11), dtype="uint8").repeat(5, 0).repeat(5, 1)
    colored = Colorizer(model)(gray)
    # Whatever the colour space: the photo keeps its own luminance, up to what fitting to 8 bits costs.
    difference = color.luminance(colored)[..., 0] - color.luminance(gray[..., None].repeat(3, -1))[..., 0]
    assert np.abs(ops.convert_to_numpy(difference)).mean() < 1


# One for each colour space, and one whose output is smaller; test_export.py has the others.
@pytest.mark.parametrize("name", ["color_unet", "dropout_cnn", "eccv16 of hard targets"])
def test_a_served_model_gives_the_colorizers_photos(name, rgb, tmp_path):
    assert export(toy(name).fitted([rgb]).model(), tmp_path / "served")["mean"] < 1
