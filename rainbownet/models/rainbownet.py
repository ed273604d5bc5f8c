"""RainbowNet (Lin, Ling & Wang, "RainbowNet: Color Extrapolation from Grayscale Images", CS 229, Stanford, 2018).

An encoder that halves the photo three times, an optional fusion with the embedding of an image classifier after Iizuka
et al. 2016, and a decoder that doubles three times and ends in logits over colour buckets at every pixel. Convolutions
are 3x3 with 'same' padding, ReLU and He-normal weights.
"""

import math

import keras
from keras import layers

STRIDE = 8


def rainbownet_plain(input_shape=(None, None, 1), outputs=112, filters=64):
    """The network without fusion and normalization ("v2" of the paper): 7,358,128 parameters.

    Args:
        input_shape: (height, width, 1), each divisible by 8 or `None`. The input "l" is L in 0..100.
        outputs: number of buckets.
        filters: filters of the first convolution; all others are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to logits (batch, height, width, outputs), float32.
    """
    l = keras.Input(input_shape, name="l")
    x = _encoder(layers.Rescaling(1 / 100, name="scale")(l), filters, normalize=False)
    x = _stage(x, [4 * filters, 4 * filters], "decoder1", up=True)
    x = _stage(x, [2 * filters, 2 * filters], "decoder2", up=True)
    x = _stage(x, [filters, filters], "decoder3", up=True)
    x = _stage(x, [2 * filters, 2 * filters], "decoder4")
    return keras.Model(l, _logits(x, outputs), name="rainbownet_plain")


def rainbownet_fusion(input_shape=(None, None, 1), outputs=112, embedding=1000, filters=64):
    """The poster's network ("v1"), with batch normalization: 13,007,408 parameters, 12,232,752 without the fusion.

    The document repeats the embedding at every position, concatenates it with the encoder's features and convolves
    1x1. The product with the repeated part is the same everywhere, so it is computed once here and added: the same
    function with the same weights. The third convolution of decoder4 is a reading of ours: it makes the poster's count
    of 12. Normalization follows the ReLU, as in the authors' notebook.

    Args:
        input_shape: (height, width, 1), each divisible by 8 or `None`. The input "l" is L in 0..100.
        outputs: number of buckets.
        embedding: length of the second input, "embedding", or `None` for the same network without fusion.
        filters: filters of the first convolution; all others are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1), or from a dict of "l" of that shape and "embedding" of shape
        (batch, embedding), to logits (batch, height, width, outputs), float32.
    """
    l = keras.Input(input_shape, name="l")
    x = _encoder(layers.Rescaling(1 / 100, name="scale")(l), filters, normalize=True)
    inputs = l
    if embedding is not None:
        vector = keras.Input((embedding,), name="embedding")
        inputs = {"l": l, "embedding": vector}
        x = _fusion(x, vector, 8 * filters)
    x = _stage(x, [8 * filters, 8 * filters], "decoder1", normalize=True, up=True)
    x = _stage(x, [4 * filters, 4 * filters], "decoder2", normalize=True, up=True)
    x = _stage(x, [2 * filters, 2 * filters], "decoder3", normalize=True, up=True)
    x = _stage(x, [filters, filters, 2 * filters, 2 * filters, 2 * filters], "decoder4")
    return keras.Model(inputs, _logits(x, outputs), name="rainbownet_fusion")


def rainbownet_baseline(input_shape=(224, 224, 1), hidden=224):
    """The authors' first attempt ("v0"), one hidden layer and a regression: 33,818,848 parameters at 224x224.

    It is here to show how a mean squared error drains colour.

    Args:
        input_shape: (height, width, 1), fixed. The input "l" is L in 0..100.
        hidden: neurons of the hidden layer.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to (batch, height, width, 2), ab over 128 in -1..1, float32.
    """
    height, width, _ = input_shape
    if not height or not width:
        raise ValueError(f"The baseline's layers are dense, so its size is fixed; received {input_shape}.")
    l = keras.Input(input_shape, name="l")
    x = layers.Flatten(name="flatten")(l)
    x = layers.Dense(hidden, "relu", kernel_initializer="he_normal", name="hidden")(x)
    x = layers.Dense(math.prod((height, width, 2)), "tanh", dtype="float32", name="ab_over_128")(x)
    return keras.Model(l, layers.Reshape((height, width, 2), dtype="float32", name="ab")(x), name="rainbownet_baseline")


def _encoder(x, filters, normalize):
    """1/8 of the size, 8 times the filters."""
    for i in range(3):
        width = filters * 2**i
        x = _conv(x, width, f"encoder{i + 1}_conv1")
        x = _conv(x, width, f"encoder{i + 1}_conv2", strides=2)
        if normalize:
            x = layers.BatchNormalization(name=f"encoder{i + 1}_norm")(x)
    return _stage(x, [8 * filters, 8 * filters], "encoder4", normalize)


def _fusion(x, vector, filters):
    fan_in = x.shape[-1] + vector.shape[-1]

    def he_normal(inputs):
        # He's variance, 2 / fan_in, of the one convolution of which both layers are parts.
        return keras.initializers.VarianceScaling(2 * inputs / fan_in, "fan_in")

    local = layers.Conv2D(filters, 1, kernel_initializer=he_normal(x.shape[-1]), name="fusion_local")(x)
    shared = layers.Dense(filters, use_bias=False, kernel_initializer=he_normal(vector.shape[-1]), name="fusion_global")
    shared = layers.Reshape((1, 1, filters), name="fusion_everywhere")(shared(vector))
    return layers.ReLU(name="fusion_relu")(layers.Add(name="fusion_add")([local, shared]))


def _stage(x, widths, name, normalize=False, up=False):
    for i, width in enumerate(widths, 1):
        x = _conv(x, width, f"{name}_conv{i}")
    if normalize:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.UpSampling2D(2, name=f"{name}_up")(x) if up else x


def _conv(x, filters, name, strides=1):
    return layers.Conv2D(
        filters, 3, strides, padding="same", activation="relu", kernel_initializer="he_normal", name=name
    )(x)


def _logits(x, outputs):
    # float32 also under mixed precision: the loss takes differences of logits.
    return layers.Conv2D(outputs, 3, padding="same", kernel_initializer="he_normal", dtype="float32", name="logits")(x)
