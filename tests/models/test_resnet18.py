import sys

import keras
import numpy as np
import pytest

from rainbownet import models
from rainbownet.models.resnet18 import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    fold_first_convolution,
    load_imagenet_weights,
)
from tests.models.shared import batch_norm, conv, count_without_allocating, randomize, state_dict_of

# Our layers and torchvision's names, written out.
PREFIXES = {
    "conv1": "conv1", "conv1_norm": "bn1",
    "conv2_1_conv1": "layer1.0.conv1", "conv2_1_norm1": "layer1.0.bn1",
    "conv2_1_conv2": "layer1.0.conv2", "conv2_1_norm2": "layer1.0.bn2",
    "conv2_2_conv1": "layer1.1.conv1", "conv2_2_norm1": "layer1.1.bn1",
    "conv2_2_conv2": "layer1.1.conv2", "conv2_2_norm2": "layer1.1.bn2",
    "conv3_1_conv1": "layer2.0.conv1", "conv3_1_norm1": "layer2.0.bn1",
    "conv3_1_conv2": "layer2.0.conv2", "conv3_1_norm2": "layer2.0.bn2",
    "conv3_1_projection": "layer2.0.downsample.0", "conv3_1_projection_norm": "layer2.0.downsample.1",
    "conv3_2_conv1": "layer2.1.conv1", "conv3_2_norm1": "layer2.1.bn1",
    "conv3_2_conv2": "layer2.1.conv2", "conv3_2_norm2": "layer2.1.bn2",
}  # fmt: skip


@pytest.fixture(name="l")
def luminance():
    return np.random.default_rng(0).uniform(0, 100, (2, 24, 40, 1)).astype("float32")


@pytest.fixture
def published():
    """A state dict for toy width with random weights, in torchvision's names and layout, for RGB."""
    network = models.resnet18(imagenet=True, filters=4)
    randomize(network)
    kernel = np.random.default_rng(1).normal(0, 0.3, (4, 3, 7, 7)).astype("float32")
    return state_dict_of(network, PREFIXES) | {
        "conv1.weight": kernel,
        "bn1.num_batches_tracked": np.array(3),
        "layer3.0.conv1.weight": np.zeros((8, 8, 3, 3)),
        "fc.bias": np.zeros(1000),
    }


def normalized(l):
    """The gray photo three times, as ImageNet's networks take it."""
    return ((np.repeat(l / 100, 3, axis=-1) - IMAGENET_MEAN) / IMAGENET_DEVIATION).astype("float32")


def test_parameters_are_those_of_the_document():
    def conv_norm(inputs, outputs, size=3, bias=False):
        return conv(inputs, outputs, size, bias) + batch_norm(outputs)

    first = conv_norm(1, 64, size=7)
    conv2 = 4 * conv_norm(64, 64)
    conv3 = conv_norm(64, 128) + conv_norm(128, 128) + conv_norm(64, 128, size=1) + 2 * conv_norm(128, 128)
    down = first + conv2 + conv3
    assert down == 678_720
    ups = ((128, 128), (128, 64), (64, 64), (64, 32))
    up = sum(conv_norm(i, o, bias=True) for i, o in ups) + conv(32, 2)
    assert up == 278_498
    assert down + up == 957_218 == count_without_allocating(models.resnet18)
    # The plane of ones is a second input channel of the first convolution.
    ones = 7 * 7 * 64
    assert down + up + ones == 960_354 == count_without_allocating(lambda: models.resnet18(imagenet=True))
    buckets = down + up - conv(32, 2) + conv(32, 313)
    assert buckets == count_without_allocating(lambda: models.resnet18(outputs=313))


@pytest.mark.parametrize("size", [(24, 40), (8, 8)])
def test_folded_on_gray_is_unfolded_on_gray_three_times(tmp_path, published, size):
    l = np.random.default_rng(0).uniform(0, 100, (2, *size, 1)).astype("float32")
    np.savez(tmp_path / "resnet18.npz", **published)
    network = models.resnet18(imagenet=True, filters=4)
    load_imagenet_weights(network, tmp_path / "resnet18.npz")
    # The same network with the first convolution as it was published: RGB, normalized, then zeros around.
    rgb = keras.Input((None, None, 3))
    unfolded = keras.layers.Conv2D(4, 7, 2, use_bias=False, name="unfolded")
    first = unfolded(keras.layers.ZeroPadding2D(3)(rgb))
    unfolded.set_weights([published["conv1.weight"].transpose(2, 3, 1, 0)])
    rest = keras.Model(network.get_layer("conv1").output, network.output)
    ours = keras.Model(network.input, network.get_layer("conv1").output)(l)
    theirs = keras.Model(rgb, first)(normalized(l))
    assert np.abs(np.asarray(theirs)).max() > 1
    # To the rounding of float32, at the border as inside.
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    np.testing.assert_allclose(network(l), rest(theirs), atol=1e-4)


def test_a_number_for_each_filter_would_be_wrong_at_the_border(l):
    # Why there is a plane of ones: its kernel's sum, taken everywhere, is right inside only.
    kernel = np.random.default_rng(1).normal(0, 0.3, (7, 7, 3, 4)).astype("float32")
    folded = fold_first_convolution(kernel)
    first = keras.ops.conv(np.pad(normalized(l), ((0, 0), (3, 3), (3, 3), (0, 0))), kernel, 2, "valid")
    gray = keras.ops.conv(np.pad(l / 100, ((0, 0), (3, 3), (3, 3), (0, 0))), folded[:, :, :1], 2, "valid")
    difference = np.abs(np.asarray(first) - (np.asarray(gray) + folded[:, :, 1].sum((0, 1))))
    assert difference[:, 2:-2, 2:-2].max() < 2e-5 and difference[:, 0].max() > 0.5


def test_pytorch_gives_the_same(tmp_path, published, l):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in published.items()}
    torch.save(state, tmp_path / "resnet18.pth")
    network = models.resnet18(imagenet=True, filters=4)
    load_imagenet_weights(network, tmp_path / "resnet18.pth")
    functional = torch.nn.functional

    def norm(x, name):
        parts = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{name}.{part}"] for part in parts), eps=1e-5)

    def block(x, name, stride=1):
        y = norm(functional.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1").relu()
        y = norm(functional.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
        if stride > 1:
            x = norm(functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
        return (x + y).relu()

    x = torch.from_numpy(normalized(l)).permute(0, 3, 1, 2)
    x = norm(functional.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1").relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    x = block(block(x, "layer1.0"), "layer1.1")
    x = block(block(x, "layer2.0", stride=2), "layer2.1")
    down = keras.Model(network.input, network.get_layer("conv3_2_relu2").output)(l)
    np.testing.assert_allclose(down, x.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_a_preset_of_keras_hub_gives_the_same(tmp_path, l):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[2, 2], stackwise_num_strides=[1, 2], block_type="basic_block",
    )  # fmt: skip
    randomize(backbone)
    backbone.save_to_preset(tmp_path / "preset")
    network = models.resnet18(imagenet=True)
    load_imagenet_weights(network, tmp_path / "preset")
    down = keras.Model(network.input, network.get_layer("conv3_2_relu2").output)(l)
    np.testing.assert_allclose(down, backbone(normalized(l)), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer2.0.downsample.0.weight"), r"lacks layer2\.0\.downsample\.0\.weight"),
        (lambda state: state.pop("conv1.weight"), r"lacks conv1\.weight"),
        (lambda state: state.update({"layer1.2.bn1.bias": np.zeros(4)}), r"no layer for: layer1\.2\.bn1\.bias"),
        (lambda state: state.update({"bn1.bias": np.zeros(8)}), r"bn1\.bias .* shape \(8,\), .* takes \(4,\)"),
    ],
)
def test_weights_of_other_networks_are_refused(tmp_path, published, change, message):
    change(published)
    np.savez(tmp_path / "resnet18.npz", **published)
    with pytest.raises(ValueError, match=message):
        load_imagenet_weights(models.resnet18(imagenet=True, filters=4), tmp_path / "resnet18.npz")


def test_a_network_without_the_plane_of_ones_is_refused():
    with pytest.raises(ValueError, match="build it with `imagenet=True`"):
        load_imagenet_weights(models.resnet18(filters=4), "resnet18.npz")


def test_a_preset_without_keras_hub_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ValueError, match="pip install keras-hub, or give a torchvision state dict"):
        load_imagenet_weights(models.resnet18(imagenet=True, filters=4), "resnet_18_imagenet")
