"""Weights between two runs."""

import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import buckets, color_model
from rainbownet.codecs import BucketCodec
from rainbownet.models import efficientnet_lite, lite_unet

blend = pytest.importorskip("data_prep.blend", reason="the preparation is in the checkout only")


def write_run(folder, attention, seed):
    folder.mkdir()
    keras.utils.set_random_seed(seed)
    codec = BucketCodec(buckets.ab_112())
    network = lite_unet(outputs=112, deepest=16, filters=(8, 8, 8), attention=attention)
    for layer in network.layers:
        if layer.name.startswith("attend0_scale"):
            layer.gamma.assign(np.ones(8))
    model = color_model.ColorModel(network, codec, (32, 32), 16)
    model.save(folder / "best.keras")
    for name in ("run.json", "log.csv", "photos.csv", "prior.json"):
        (folder / name).write_text(f"{name} of {folder.name}")
    return model


@pytest.fixture
def runs(tmp_path):
    older, new = write_run(tmp_path / "older", 0, 0), write_run(tmp_path / "new", 1, 1)
    return tmp_path, older, new


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_at_its_ends_it_is_one_of_the_runs(runs, share):
    folder, older, new = runs
    blend.main([str(folder / "new"), str(folder / "older"), str(folder / "out"), "--share", str(share)])
    l = np.random.default_rng(0).uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    mixed = color_model.load(folder / "out" / "best.keras").network(l)
    wanted = (new if share else older).network(l)
    np.testing.assert_allclose(ops.convert_to_numpy(mixed), ops.convert_to_numpy(wanted), atol=1e-5)
    for name in ("run.json", "log.csv", "photos.csv", "prior.json"):
        assert (folder / "out" / name).read_text() == f"{name} of new"


def test_between_them_every_weight_is_a_mean(runs):
    folder, older, new = runs
    mixed = blend.blend(folder / "new", folder / "older", folder / "out", 0.7).network
    kernels = (model.get_layer("logits").kernel for model in (mixed, new.network, older.network))
    kernel, wanted, unwanted = (ops.convert_to_numpy(kernel) for kernel in kernels)
    np.testing.assert_allclose(kernel, 0.7 * wanted + 0.3 * unwanted, atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(mixed.get_layer("attend0_scale2").gamma), 0.7, atol=1e-6)


def test_with_imagenet_only_the_encoder_is_mixed(runs):
    folder, _, new = runs
    arguments = [str(folder / "new"), "imagenet", str(folder / "out"), "--share", "0.7"]
    blend.main(arguments)
    mixed = color_model.load(folder / "out" / "best.keras").network
    imagenet = efficientnet_lite.efficientnet_lite0()
    efficientnet_lite.load_imagenet_weights(imagenet)
    for name, share in (("stem_conv", 0.7), ("block10_project_conv", 0.7), ("logits", 1.0)):
        kernel, wanted = (ops.convert_to_numpy(model.get_layer(name).kernel) for model in (mixed, new.network))
        other = 0.0 if share == 1 else ops.convert_to_numpy(imagenet.get_layer(name).kernel)
        np.testing.assert_allclose(kernel, share * wanted + (1 - share) * other, atol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(mixed.get_layer("attend0_scale2").gamma), 1)


def test_a_network_without_the_encoder_is_told(tmp_path):
    l = keras.Input((32, 32, 1), name="l")
    network = keras.Model(l, keras.layers.Conv2D(112, 1, name="logits")(l), name="plain")
    color_model.ColorModel(network, BucketCodec(buckets.ab_112()), (32, 32), 1).save(tmp_path / "best.keras")
    with pytest.raises(ValueError, match="no encoder with ImageNet's weights; its network is plain"):
        blend.blend(tmp_path, "imagenet", tmp_path / "out", 0.5)


def test_a_run_without_a_prior_is_mixed_too(runs):
    folder, *_ = runs
    (folder / "new/prior.json").unlink()
    blend.blend(folder / "new", folder / "older", folder / "out", 0.5)
    assert not (folder / "out/prior.json").exists()


def test_a_share_is_a_share(tmp_path):
    with pytest.raises(ValueError, match="must be in 0..1; received 2"):
        blend.blend(tmp_path, tmp_path, tmp_path, 2)
