"""Networks cut off at stride 16."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from rainbownet import buckets, color, color_model
from rainbownet.codecs import BucketCodec
from rainbownet.models import efficientnet_lite, lite_unet

prune = pytest.importorskip("data_prep.prune", reason="the preparation is in the checkout only")
default_model = pytest.importorskip("experiments.default_model", reason="the recipes are in the checkout only")
FILES = ("run.json", "log.csv", "photos.csv", "prior.json")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(12):
        rgb = draw.integers(20 * i, 20 * i + 30, (4, 5, 3)).astype("uint8")
        Image.fromarray(rgb).resize((80, 64)).save(folder / f"{i}.png")
    return folder


def write_run(folder, deepest):
    folder.mkdir()
    keras.utils.set_random_seed(0)
    network = lite_unet(outputs=112, deepest=deepest, filters=(8,) * (deepest.bit_length() - 2), attention=1)
    efficientnet_lite.load_imagenet_weights(network)
    network.get_layer("attend0_scale1").gamma.assign(np.ones(8))
    color_model.ColorModel(network, BucketCodec(buckets.ab_112()), (64, 64), deepest).save(folder / "best.keras")
    for name in FILES:
        (folder / name).write_text(name)
    return network


def answer(network, photos):
    l = [color.luminance(np.asarray(Image.open(photo).resize((256, 256)))) for photo in sorted(photos.iterdir())]
    return ops.convert_to_numpy(network(np.stack(l)))


def test_what_says_the_same_of_all_photos_is_cut_off_without_a_difference(photos, tmp_path, capsys):
    network = write_run(tmp_path / "run", 32)
    silent = network.get_layer("decode32_norm2")
    silent.gamma.assign(np.zeros(8))
    silent.beta.assign(np.arange(8))
    model = color_model.load(tmp_path / "run" / "best.keras")
    model.network.set_weights(network.get_weights())
    model.save(tmp_path / "run" / "best.keras")
    prune.main([str(tmp_path / "run"), str(photos), "--out", str(tmp_path / "out")])
    pruned = color_model.load(tmp_path / "out" / "best.keras")
    assert pruned.stride == 16 and pruned.network.count_params() < network.count_params() / 2
    assert f"{pruned.network.count_params():,} parameters; 100 %" in capsys.readouterr().out
    np.testing.assert_allclose(answer(pruned.network, photos), answer(network, photos), atol=1e-4)
    assert [(tmp_path / "out" / name).read_text() for name in FILES] == list(FILES)


def test_of_what_says_something_the_mean_of_each_photo_is_kept(photos, tmp_path):
    network = write_run(tmp_path / "run", 32)
    pruned, told = prune.prune(tmp_path / "run", prune.find_photos(photos), tmp_path / "out")
    kept, wanted = (answer(net, photos) for net in (pruned.network, network))
    pruned.network.get_layer("whole_project").set_weights([np.zeros((8, 8)), np.zeros(8)])
    lost = answer(pruned.network, photos)
    assert np.abs(kept - wanted).mean() < 0.7 * np.abs(lost - wanted).mean()
    assert told < 1


def test_the_recipe_makes_its_default_network_of_the_deep_one():
    deep = default_model.NETWORKS["deep"]
    assert default_model.NETWORKS["default"] == {**deep, "deepest": 16, "filters": deep["filters"][1:]}


@pytest.mark.parametrize(("deepest", "sentence"), [(16, "no lite_unet with a stride of 32"), (32, "found 3")])
def test_what_cannot_be_cut_is_told(photos, tmp_path, capsys, deepest, sentence):
    write_run(tmp_path / "run", deepest)
    for photo in sorted(photos.iterdir())[3:]:
        photo.unlink()
    with pytest.raises(SystemExit):
        prune.main([str(tmp_path / "run"), str(photos), "--out", str(tmp_path / "out")])
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()
