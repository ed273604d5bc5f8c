import keras
import numpy as np
import pytest
from keras import layers, ops
from skimage import data

from rainbownet import color
from rainbownet.models import efficientnet_lite
from tests.models.shared import conv, count_without_allocating, dense

SHIPPED = efficientnet_lite.shipped_weights()


def block(inputs, outputs, kernel, expand=6):
    """Parameters of a block whose batch normalization is folded: each convolution has a bias instead."""
    wide = expand * inputs
    depthwise = kernel * kernel * wide + wide
    return (conv(inputs, wide, 1) if expand > 1 else 0) + depthwise + conv(wide, outputs, 1)


def test_parameters_are_those_of_the_published_network():
    encoder = [
        conv(1, 32),  # gray: the three channels are one
        block(32, 16, 3, expand=1),
        block(16, 24, 3) + block(24, 24, 3),
        block(24, 40, 5) + block(40, 40, 5),
        block(40, 80, 3) + 2 * block(80, 80, 3),
        block(80, 112, 5) + 2 * block(112, 112, 5),
        block(112, 192, 5) + 3 * block(192, 192, 5) + block(192, 320, 3),
        conv(320, 1280, 1) + dense(1280, 1000),
    ]
    assert sum(encoder) == 4_630_424 == count_without_allocating(efficientnet_lite.efficientnet_lite0)


def reference(random):
    """The first layers as published: colour, no bias, batch normalization; and random weights by name."""
    arrays = {}

    def norm(x, name):
        channels = x.shape[-1]
        arrays[f"{name}/gamma"] = random.uniform(0.5, 2, channels)
        arrays[f"{name}/beta"] = random.normal(0, 1, channels)
        arrays[f"{name}/moving_mean"] = random.normal(0, 1, channels)
        arrays[f"{name}/moving_variance"] = random.uniform(0.5, 2, channels)
        layer = layers.BatchNormalization(epsilon=1e-3)
        layer.build(x.shape)
        layer.set_weights([arrays[f"{name}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")])
        return layer(x)

    def convolve(x, name, layer, weight):
        layer.build(x.shape)
        arrays[f"{name}/{weight}"] = random.normal(0, 0.3, layer.weights[0].shape)
        layer.set_weights([arrays[f"{name}/{weight}"]])
        return layer(x)

    rgb = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 128, -127 / 128)(rgb)
    x = convolve(x, "stem_conv", layers.Conv2D(32, 3, 2, padding="same", use_bias=False), "kernel")
    x = ops.relu6(norm(x, "stem_bn"))
    depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    x = ops.relu6(norm(convolve(x, "block00_dw_conv", depthwise, "depthwise_kernel"), "block00_dw_bn"))
    x = convolve(x, "block00_project_conv", layers.Conv2D(16, 1, use_bias=False), "kernel")
    return keras.Model(rgb, norm(x, "block00_project_bn")), arrays


def test_folding_leaves_what_the_network_says_of_gray_photos(tmp_path):
    random = np.random.default_rng(0)
    published, arrays = reference(random)
    np.savez(tmp_path / "weights.npz", **arrays)
    l = keras.Input((None, None, 1), name="l")
    folded = keras.Model(l, efficientnet_lite.features(l, deepest=2)[2])
    efficientnet_lite.load_imagenet_weights(folded, tmp_path / "weights.npz")
    gray = random.uniform(0, 255, (1, 17, 24, 1)).astype("float32")
    wanted = published(np.repeat(gray, 3, axis=-1))
    np.testing.assert_allclose(folded(gray / 2.55), wanted, atol=1e-4)


@pytest.mark.parametrize(("photo", "name"), [("chelsea", 285), ("coffee", 967)])  # Egyptian cat, espresso
def test_the_shipped_weights_know_what_is_in_a_gray_photo(photo, name):
    network = efficientnet_lite.efficientnet_lite0()
    efficientnet_lite.load_imagenet_weights(network)
    rgb = getattr(data, photo)()
    top, left = (np.array(rgb.shape[:2]) - min(rgb.shape[:2])) // 2
    square = rgb[top : top + min(rgb.shape[:2]), left : left + min(rgb.shape[:2])]
    l = ops.image.resize(color.luminance(square)[None], (224, 224), antialias=True)
    logits = ops.convert_to_numpy(network(l))[0]
    assert logits.argmax() == name and logits.max() - np.sort(logits)[-2] > 1


def test_weights_of_another_network_are_refused(tmp_path):
    network = efficientnet_lite.efficientnet_lite0((32, 32, 1), classes=3)
    before = network.get_weights()
    with pytest.raises(ValueError, match="shapes .* for top"):
        efficientnet_lite.load_imagenet_weights(network)
    np.savez(tmp_path / "other.npz", kernel=np.zeros(3))
    with pytest.raises(ValueError, match="has no 'stem_conv/kernel'; it holds the weights of another network"):
        efficientnet_lite.load_imagenet_weights(network, tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        efficientnet_lite.load_imagenet_weights(network, tmp_path / "none.npz")
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_training_may_begin_at_a_block():
    network = efficientnet_lite.efficientnet_lite0(classes=3)
    efficientnet_lite.train_from(network, 5)
    kept = {layer.name[:7] for layer in efficientnet_lite.encoder_layers(network) if not layer.trainable}
    assert kept == {"stem_co", "block00", "block01", "block02", "block03", "block04"}
    efficientnet_lite.train_from(network, 0, depthwise=False)
    kept = {layer.name for layer in efficientnet_lite.encoder_layers(network) if not layer.trainable}
    assert kept == {f"block{i:02}_dw_conv" for i in range(16)}
    efficientnet_lite.train_from(network, 0)
    assert all(layer.trainable for layer in network.layers)
