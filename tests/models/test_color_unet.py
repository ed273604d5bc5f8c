import keras
import numpy as np
import pytest

from rainbownet import models
from tests.models.shared import conv, count_without_allocating


def test_parameters_are_those_of_the_document():
    def cell(inputs, width, norm=2):
        # Two convolutions, each with the numbers of its normalization: a scale and a shift a channel.
        return conv(inputs, width) + conv(width, width) + 2 * norm * width

    down = [cell(1, 64), cell(64, 128), cell(128, 256), cell(256, 512)]
    assert down == [37_824, 221_952, 886_272, 3_542_016]
    bottom = cell(512, 512)
    assert bottom == 4_721_664
    # Each sees what comes from below beside the skip of its size.
    up = [cell(512 + 512, 256), cell(256 + 256, 128), cell(128 + 128, 64)]
    assert up == [2_950_656, 738_048, 184_704]
    output = [cell(64 + 64, 64), conv(64, 32, size=1)]
    assert output == [110_976, 2_080]
    total = sum(down) + bottom + sum(up) + sum(output)
    assert total == 13_396_192 == count_without_allocating(models.color_unet)
    # Batch normalization has two numbers more a channel: 3,968 channels in eighteen normalizations.
    channels = 2 * (64 + 128 + 256 + 512 + 512 + 256 + 128 + 64 + 64)
    assert count_without_allocating(lambda: models.color_unet(norm="batch")) == total + 2 * channels


def test_layer_norm_is_over_height_width_and_channels():
    network = models.color_unet((16, 16, 1), outputs=3, filters=2)
    l = np.random.default_rng(0).uniform(0, 1, (2, 16, 16, 1)).astype("float32")
    ends = [network.get_layer(name).output for name in ("down1_conv1", "down1_norm1")]
    before, after = (np.asarray(x) for x in keras.Model(network.input, ends)(l))
    mean, variance = before.mean((1, 2, 3), keepdims=True), before.var((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(after, (before - mean) / np.sqrt(variance + 1e-3), atol=1e-5)


def test_another_norm_is_refused():
    with pytest.raises(ValueError, match="'layer' or 'batch'; received 'group'"):
        models.color_unet(norm="group")
