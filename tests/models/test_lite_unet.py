import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import models
from rainbownet.models import efficientnet_lite
from rainbownet.models.lite_unet import options_of
from tests.models.shared import batch_norm, conv, count_without_allocating, dense


def decoder_stage(skip, filters, before=None):
    """Parameters of a stage: the deeper features narrowed, the skip, a convolution and two batch normalizations."""
    narrowed = conv(before, filters, 1, bias=False) if before else 0
    return narrowed + conv(skip, filters, 1, bias=False) + conv(filters, filters, bias=False) + 2 * batch_norm(filters)


def test_parameters_stay_below_eight_millions():
    encoder = 4_630_424 - dense(1280, 1000)
    whole = dense(1280, 256) + dense(256, 256)
    decoder = [
        decoder_stage(320, 256),
        decoder_stage(112, 256, before=256),
        decoder_stage(40, 128, before=256),
        decoder_stage(24, 96, before=128),
        conv(96, 313, 1),
    ]
    assert encoder + whole + sum(decoder) == 5_418_057 == count_without_allocating(models.lite_unet) < 8_000_000


def test_a_transformer_block_has_two_normalizations_four_projections_and_two_dense_layers():
    with_blocks = count_without_allocating(lambda: models.lite_unet(attention=2))
    block = 2 * 2 * 256 + 4 * dense(256, 256) + dense(256, 512) + dense(512, 256) + 2 * batch_norm(256)
    assert with_blocks == 5_418_057 + 2 * block == 6_476_361 < 8_000_000


def test_a_new_transformer_block_leaves_a_network_as_it_is():
    plain = models.lite_unet(outputs=5, deepest=16, filters=(8, 8, 8))
    attending = models.lite_unet(outputs=5, deepest=16, filters=(8, 8, 8), attention=1)
    known = {layer.name: layer for layer in plain.layers}
    for layer in attending.layers:
        if layer.name in known:
            layer.set_weights(known[layer.name].get_weights())
    l = np.random.default_rng(0).uniform(0, 100, (1, 64, 96, 1)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(attending(l)), ops.convert_to_numpy(plain(l)), atol=1e-6)


def test_a_transformer_block_lets_each_place_see_all_others():
    network = models.lite_unet(outputs=5, deepest=16, filters=(8, 8, 8), attention=1)
    block = keras.Model(network.get_layer("decode16_relu2").output, network.get_layer("attend0_add2").output)
    network.get_layer("attend0_scale1").gamma.assign(np.ones(8))
    features = np.random.default_rng(0).normal(0, 1, (1, 6, 9, 8)).astype("float32")
    changed = features.copy()
    changed[:, -1, -1] = [9, 0, 0, 0, 0, 0, 0, 0]
    difference = np.abs(ops.convert_to_numpy(block(features) - block(changed)))
    assert difference.max(-1).min() > 1e-5


def test_the_default_preset_ends_at_stride_16():
    def inverted(before, kernel, width):
        """Parameters of a block of the encoder, whose batch normalization is folded into biases."""
        return conv(before, 6 * before, 1) + (kernel**2 + 1) * 6 * before + conv(6 * before, width, 1)

    cut = inverted(112, 5, 192) + 3 * inverted(192, 5, 192) + inverted(192, 3, 320) + conv(320, 1280, 1)
    stage = decoder_stage(320, 256) + decoder_stage(112, 256, before=256) - decoder_stage(112, 256)
    whole = dense(1280, 256) - dense(112, 256)
    count = count_without_allocating(lambda: models.lite_unet(deepest=16, filters=(256, 128, 96), attention=2))
    assert count == 6_476_361 - cut - stage - whole == 2_780_713


def test_the_fast_one_stays_below_one_and_a_half():
    count = count_without_allocating(lambda: models.lite_unet(deepest=16, filters=(128, 96, 64)))
    assert count == 1_051_145 < 1_500_000


@pytest.mark.parametrize(
    "options",
    [
        {"deepest": 32, "filters": (8, 8, 6, 4), "attention": 0},
        {"deepest": 16, "filters": (8, 6, 4), "attention": 2},
    ],
)
def test_a_network_tells_what_it_was_built_with(options):
    assert options_of(models.lite_unet(outputs=5, **options)) == options


def test_another_network_is_told():
    l = keras.Input((None, None, 1))
    with pytest.raises(ValueError, match="no lite_unet, but other"):
        options_of(keras.Model(l, l, name="other"))


def test_every_place_sees_the_whole_photo():
    network = models.lite_unet(outputs=5, deepest=16, filters=(8, 8, 8))
    efficientnet_lite.load_imagenet_weights(network)
    l = np.full((1, 64, 256, 1), 50, "float32")
    changed = l.copy()
    changed[:, :, 192:] = np.random.default_rng(0).uniform(0, 100, (1, 64, 64, 1))
    difference = np.abs(ops.convert_to_numpy(network(l) - network(changed)))
    assert difference[:, :, :4].max() > 1e-4


@pytest.mark.parametrize("deepest", [16, 32])
def test_the_output_is_a_quarter_of_the_photo(deepest):
    network = models.lite_unet(outputs=5, deepest=deepest, filters=(8,) * (3 if deepest == 16 else 4))
    assert network(np.zeros((2, deepest, 3 * deepest, 1), "float32")).shape == (2, deepest // 4, 3 * deepest // 4, 5)


def test_filters_must_be_one_for_each_stride():
    with pytest.raises(ValueError, match="must be 4 for a stride of 32, or 3 for one of 16"):
        models.lite_unet(deepest=16)
