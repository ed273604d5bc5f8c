"""The network of Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), which other documents call ModelZ.

Eight blocks of convolutions, of which three halve the photo, two see far by dilation and the last doubles once: logits
over colour buckets at a quarter of the photo's size. Padding is symmetric, as in the authors' framework.
"""

import keras
import numpy as np
from keras import layers

from rainbownet.models.state_dict import assign_state_dict, read_state_dict

STRIDE = 8
SHRINK = 4  # the output is that many times smaller than the input

# Of each block: convolutions, filters as a multiple of the first one's, stride of the last one, dilation.
_BLOCKS = ((2, 1, 2, 1), (2, 2, 2, 1), (3, 4, 2, 1), (3, 8, 1, 1), (3, 8, 1, 2), (3, 8, 1, 2), (3, 8, 1, 1))
_AB_SCALE = 110.0  # Lab units for 1 in the published network's last layer


def eccv16(input_shape=(None, None, 1), outputs=313, filters=64):
    """Zhang et al.'s network: 32,240,377 parameters.

    The published network ends in a layer of 626 more numbers, the colours of its buckets; here these are the codec's.
    Layers are named as in the authors' Caffe model.

    Args:
        input_shape: (height, width, 1), each divisible by 8 or `None`; 256x256 in the paper. The input "l" is L in
            0..100.
        outputs: number of buckets.
        filters: filters of the first convolution; all others are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to logits (batch, height / 4, width / 4, outputs), float32.
    """
    l = keras.Input(input_shape, name="l")
    x = layers.Rescaling(1 / 100, -0.5, name="scale")(l)
    for block, (convs, width, strides, dilation) in enumerate(_BLOCKS, 1):
        for i in range(1, convs + 1):
            x = _conv(x, width * filters, f"conv{block}_{i}", strides if i == convs else 1, dilation)
        # The epsilon of the published weights.
        x = layers.BatchNormalization(epsilon=1e-5, name=f"conv{block}_{convs}norm")(x)
    x = layers.Conv2DTranspose(
        4 * filters, 4, 2, padding="same", activation="relu", kernel_initializer="he_normal", name="conv8_1"
    )(x)
    x = _conv(_conv(x, 4 * filters, "conv8_2"), 4 * filters, "conv8_3")
    # float32 also under mixed precision: the loss takes differences of logits.
    return keras.Model(l, layers.Conv2D(outputs, 1, dtype="float32", name="conv8_313")(x), name="eccv16")


def load_torch_weights(network, path):
    """Loads the weights of the authors' PyTorch release into the network.

    The published network decodes by the mean over its buckets (temperature 1) and enlarges bilinearly; the paper takes
    the annealed mean at temperature 0.38.

    Args:
        network: what `eccv16` built.
        path: the state dict, as published (.pth; needs PyTorch) or as .npz, see `read_state_dict`.

    Returns:
        (outputs, 2) float32: the colours of the buckets as the file has them, ab in Lab units.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds other weights, or PyTorch is needed and is not installed; the network is left as it
            was.
    """
    state = read_state_dict(path)
    prefixes = {}
    for block, (convs, *_) in enumerate(_BLOCKS, 1):
        # A ReLU without weights follows each convolution, so that the numbers go up by two.
        prefixes |= {f"conv{block}_{i + 1}": f"model{block}.{2 * i}" for i in range(convs)}
        prefixes[f"conv{block}_{convs}norm"] = f"model{block}.{2 * convs}"
    prefixes |= {f"conv8_{i + 1}": f"model8.{2 * i}" for i in range(3)}
    prefixes["conv8_313"] = "model8.6"
    outputs = network.output_shape[-1]
    colors = state.pop("model_out.weight", np.empty(0))
    if colors.shape != (2, outputs, 1, 1):
        raise ValueError(
            f"{path} should have the colors of {outputs} buckets as model_out.weight of shape (2, {outputs}, 1, 1), "
            f"but {'has ' + str(colors.shape) if colors.size else 'lacks it'}; it holds the weights of another network."
        )
    assign_state_dict(network, state, prefixes, path)
    return colors[:, :, 0, 0].T * np.float32(_AB_SCALE)


def _conv(x, filters, name, strides=1, dilation=1):
    padding = "same"
    if strides > 1:
        # Keras pads a layer with a stride at the bottom and right only; the authors' framework all around.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    return layers.Conv2D(
        filters, 3, strides, padding, dilation_rate=dilation, activation="relu", kernel_initializer="he_normal",
        name=name,
    )(x)  # fmt: skip
