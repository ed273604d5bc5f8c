import numpy as np
import pytest

from rainbownet import models
from tests.models.shared import batch_norm, conv, count_without_allocating, dense, randomize


def test_parameters_are_those_of_the_document():
    def normed(parameters, width):
        return parameters + batch_norm(width)

    def convs(inputs, *widths):
        return sum(normed(conv(i, o), o) for i, o in zip((inputs, *widths), widths, strict=False))

    low = convs(1, 64, 128, 128, 256, 256, 512)
    mid = convs(512, 512, 256)
    dense_layers = sum(normed(dense(i, o), o) for i, o in ((7 * 7 * 512, 1024), (1024, 512), (512, 256)))
    global_features = convs(512, 512, 512, 512, 512) + dense_layers
    fusion = normed(conv(256 + 256, 256, size=1), 256)
    regressor = convs(256, 128, 64, 64, 32) + conv(32, 2)
    assert (low, mid, global_features, fusion, regressor) == (2_292_864, 3_542_784, 35_801_856, 132_352, 425_954)
    total = low + mid + global_features + fusion + regressor
    assert total == 42_195_810 == count_without_allocating(models.colornet)

    classifier = normed(dense(512, 256), 256) + dense(256, 205)
    assert classifier == 132_352 + 257 * 205 == 185_037
    assert total + classifier == 42_380_847 == count_without_allocating(lambda: models.colornet(classes=205))

    local = low + mid + convs(256, 256) + regressor
    assert local == 6_852_706 == count_without_allocating(lambda: models.colornet(global_features=False))

    buckets = total - conv(32, 2) + conv(32, 313)
    assert buckets == 42_285_689 == count_without_allocating(lambda: models.colornet(outputs=313))


def test_at_the_global_size_both_passes_over_the_photo_are_one():
    fixed = models.colornet((32, 32, 1), global_size=32, filters=2)
    free = models.colornet((None, None, 1), global_size=32, filters=2)
    assert len(fixed.get_layer("low1_conv")._inbound_nodes) == 1
    assert len(free.get_layer("low1_conv")._inbound_nodes) == 2
    randomize(free)
    for layer in free.layers:
        if layer.weights:
            fixed.get_layer(layer.name).set_weights(layer.get_weights())
    l = np.random.default_rng(0).uniform(0, 100, (1, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(fixed(l), free(l), atol=1e-5)


def test_global_features_reach_every_position():
    # At 128x128 a change in one corner is out of the local features' sight of the opposite one.
    l = np.random.default_rng(0).uniform(0, 100, (1, 128, 128, 1)).astype("float32")
    other = l.copy()
    other[:, :16, :16] = 100 - other[:, :16, :16]
    changed = {}
    for global_features in (True, False):
        network = models.colornet(global_features=global_features, global_size=32, filters=8)
        changed[global_features] = np.abs(np.asarray(network(l) - network(other)))[:, -8:, -8:].max()
    assert changed[True] > 1e-4 and changed[False] == 0


def test_buckets_are_logits():
    for outputs, activation in ((2, "sigmoid"), (313, "linear")):
        network = models.colornet(outputs=outputs, global_size=32, filters=2)
        assert network.get_layer("color5").activation.__name__ == activation
        assert network.output_shape == (None, None, None, outputs)


def test_a_classifier_without_global_features_is_refused():
    with pytest.raises(ValueError, match="works on the global features"):
        models.colornet(classes=3, global_features=False)
