"""EfficientNet-Lite0, an encoder that knows what things are (Tan & Le, "EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks", ICML 2019; the Lite variant of Google's TPU repository: no squeeze-and-excite, ReLU6).

Its weights come from ImageNet, in colour and with batch normalization; here it sees luminance, and its batch
normalization is folded into the convolutions, which leaves its answers as they were and a third of the layers.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

STRIDE = 32

# Kernel, stride and output channels of each block; all but the first expand their input sixfold.
BLOCKS = (
    (3, 1, 16), (3, 2, 24), (3, 1, 24), (5, 2, 40), (5, 1, 40), (3, 2, 80), (3, 1, 80), (3, 1, 80), (5, 1, 112),
    (5, 1, 112), (5, 1, 112), (5, 2, 192), (5, 1, 192), (5, 1, 192), (5, 1, 192), (3, 1, 320),
)  # fmt: skip
# The last block at each stride: where a decoder takes its features.
TAPS = {2: 0, 4: 2, 8: 4, 16: 10, 32: 15}

_SHIPPED = "efficientnet_lite0/imagenet.npz"
_EPSILON = 1e-3  # of its batch normalization
# What ImageNet's pixels, 0..255, were normalized with.
_MEAN, _DEVIATION = 127.0, 128.0


def efficientnet_lite0(input_shape=(None, None, 1), classes=1000):
    """EfficientNet-Lite0 on luminance: 4,630,424 parameters with the classifier.

    Args:
        input_shape: (height, width, 1), each divisible by 32 or `None`. The input "l" is L in 0..100.
        classes: of the classifier.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to (batch, classes) logits, float32.
    """
    l = keras.Input(input_shape, name="l")
    x = layers.GlobalAveragePooling2D(name="pool")(head(features(l)[32]))
    return keras.Model(l, layers.Dense(classes, dtype="float32", name="top")(x), name="efficientnet_lite0")


def features(l, deepest=32):
    """The encoder's layers on luminance.

    Args:
        l: (batch, height, width, 1) tensor, L in 0..100.
        deepest: stride at which the encoder ends: 4, 8, 16 or 32.

    Returns:
        Dict from stride (2, 4, ... `deepest`) to the tensor there, (batch, height / stride, width / stride, channels).
    """
    # The normalization stays in front of the convolution, whose padding must mean the photos' mean, not black.
    x = layers.Rescaling(255 / 100 / _DEVIATION, -_MEAN / _DEVIATION, name="normalize")(l)
    x = layers.ReLU(6.0, name="stem_relu")(layers.Conv2D(32, 3, 2, padding="same", name="stem_conv")(x))
    taps = {}
    for number, (kernel, stride, width) in enumerate(BLOCKS[: TAPS[deepest] + 1]):
        x = _block(x, f"block{number:02d}", kernel, stride, width)
        taps |= {tap: x for tap, last in TAPS.items() if last == number}
    return taps


def head(x):
    """The last convolution before the classifier, (batch, height, width, 1280)."""
    return layers.ReLU(6.0, name="head_relu")(layers.Conv2D(1280, 1, name="head_conv")(x))


def shipped_weights():
    """Finds the weights that ship: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "saved_models"
    return (installed if installed.is_dir() else package.parent / "saved_models") / _SHIPPED


def load_imagenet_weights(network, path=None):
    """Loads ImageNet's weights into the encoder's layers of a network, its batch normalization folded in.

    A gray photo is the same in all three channels, so that the first kernel is summed over them.

    Args:
        network: a `keras.Model` with `features`, and `head` and `top` or without.
        path: .npz of arrays by LAYER/WEIGHT; `None` for the file that ships.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file lacks a layer's weights, or they have another shape; the network is left as it was.
    """
    path = shipped_weights() if path is None else Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the .npz of EfficientNet-Lite0's weights.")
    with np.load(path) as file:
        arrays = {name: file[name].astype("float32") for name in file.files}
    found = [(layer, _folded(layer, arrays, path)) for layer in encoder_layers(network)]
    found += [(layer, _folded(layer, arrays, path)) for layer in network.layers if layer.name == "top"]
    for layer, weights in found:
        layer.set_weights(weights)


def encoder_layers(network):
    """Lists the convolutions of the encoder in a network, from the photo inwards."""
    return [
        layer
        for layer in network.layers
        if layer.name.startswith(("stem_", "block", "head_")) and layer.name.endswith("_conv")
    ]


def train_from(network, block, depthwise=True):
    """Leaves the encoder as it is up to a block, and trains it from there on.

    Edges are edges in photos of all kinds; and the first layers, on the largest maps, cost most.

    Args:
        network: a `keras.Model` with `features`.
        block: number of the first block that is trained, 0..15; 0 trains the stem too.
        depthwise: whether the depthwise filters are trained too, one weight in 18 of the encoder: on a CPU their
            gradients are a third of a step's time.
    """
    for layer in encoder_layers(network):
        number = int(layer.name[5:7]) if layer.name.startswith("block") else -1 if layer.name == "stem_conv" else 16
        layer.trainable = (block == 0 or number >= block) and (depthwise or not layer.name.endswith("dw_conv"))


def _folded(layer, arrays, path):
    name = layer.name
    kind = "depthwise_kernel" if name.endswith("dw_conv") else "kernel"
    norm = name.removesuffix("conv") + "bn"
    try:
        kernel = arrays[f"{name}/{kind}"]
        if name == "top":
            return _checked(layer, [kernel, arrays["top/bias"]], path)
        gamma, beta, mean, variance = (
            arrays[f"{norm}/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
    except KeyError as error:
        raise ValueError(f"{path} has no {error}; it holds the weights of another network.") from None
    if name == "stem_conv":
        kernel = kernel.sum(axis=2, keepdims=True)
    scale = gamma / np.sqrt(variance + _EPSILON)
    # A depthwise kernel has its channels before its last axis.
    kernel = kernel * (scale[:, None] if kind == "depthwise_kernel" else scale)
    return _checked(layer, [kernel, beta - mean * scale], path)


def _checked(layer, weights, path):
    wanted, given = [tuple(w.shape) for w in layer.weights], [w.shape for w in weights]
    if wanted != given:
        raise ValueError(f"{path} has weights of shapes {given} for {layer.name}, which takes {wanted}.")
    return weights


def _block(x, name, kernel, stride, width):
    """An inverted residual (Sandler et al., "MobileNetV2", CVPR 2018)."""
    inputs, channels = x, x.shape[-1]
    if name != "block00":
        x = layers.Conv2D(6 * channels, 1, name=f"{name}_expand_conv")(x)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", name=f"{name}_dw_conv")(x)
    x = layers.ReLU(6.0, name=f"{name}_dw_relu")(x)
    x = layers.Conv2D(width, 1, name=f"{name}_project_conv")(x)
    return layers.Add(name=f"{name}_add")([inputs, x]) if stride == 1 and channels == width else x
