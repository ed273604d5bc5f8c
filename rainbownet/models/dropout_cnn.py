"""The Dropout CNN (Li, Zhang, Xie & Yan, "Colorization", a student project): a palette colour for each of 64x64 pixels.

One convolution, one dense layer for the context of the whole photo, and logits over the palette; dropout against
overfitting on few photos. The layers are dense, so the size is fixed.
"""

import math

import keras
from keras import layers

STRIDE = 8
_GRID = 8  # side of the averaged copy that head="conv" takes its context from


def dropout_cnn(input_shape=(64, 64, 1), outputs=32, head="conv", dropout=0.5, filters=32):
    """The Dropout CNN: 1,090,208 parameters, or 1,073,877,312 with the document's own head.

    The document says "fully connected, 64x64": a neuron for each pixel, dense from the convolution and dense to the
    outputs. That is `head="dense"`; it takes 4.3 GB in float32. `head="conv"` is ours and trains on a small machine:
    the dense layers see an average over 8x8 fields and give 8x8 features, which the next convolution sees beside those
    of the first.

    Args:
        input_shape: (height, width, 1), fixed; each divisible by 8 for `head="conv"`. The input "l" is the gray photo
            in 0..1.
        outputs: number of palette colours.
        head: "conv" or "dense".
        dropout: share of the features that a training step leaves out.
        filters: filters of the first convolution; those of the conv head are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to logits (batch, height, width, outputs), float32.

    Raises:
        ValueError: the size is not fixed or not divisible, or there is no such head.
    """
    height, width, _ = input_shape
    if not height or not width:
        raise ValueError(f"The Dropout CNN's layers are dense, so its size is fixed; received {input_shape}.")
    if head not in ("conv", "dense"):
        raise ValueError(f"`head` must be 'conv' or 'dense'; received {head!r}.")
    if head == "conv" and (height % _GRID or width % _GRID):
        raise ValueError(f"The size must be divisible by {_GRID} for head='conv'; received {height}x{width}.")
    l = keras.Input(input_shape, name="l")
    x = _conv(l, filters, "conv1")
    x = (_dense_head if head == "dense" else _conv_head)(x, outputs, dropout)
    return keras.Model(l, x, name="dropout_cnn")


def _dense_head(x, outputs, dropout):
    height, width = x.shape[1:3]
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(height * width, "relu", kernel_initializer="he_normal", name="dense")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # float32 also under mixed precision: the loss takes differences of logits.
    x = layers.Dense(math.prod((height, width, outputs)), dtype="float32", name="output")(x)
    return layers.Reshape((height, width, outputs), dtype="float32", name="logits")(x)


def _conv_head(x, outputs, dropout):
    height, width, filters = x.shape[1:]
    field = height // _GRID, width // _GRID
    context = layers.AveragePooling2D(field, name="context_pool")(x)
    context = layers.Flatten(name="context_flatten")(context)
    context = layers.Dense(8 * filters, "relu", kernel_initializer="he_normal", name="context_dense1")(context)
    context = layers.Dropout(dropout, name="context_dropout")(context)
    context = layers.Dense(math.prod((_GRID, _GRID, filters)), name="context_dense2")(context)
    context = layers.Reshape((_GRID, _GRID, filters), name="context_grid")(context)
    context = layers.UpSampling2D(field, name="context_up")(context)
    x = layers.Concatenate(name="context")([x, context])
    x = _conv(x, 2 * filters, "conv2")
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Conv2D(outputs, 1, dtype="float32", name="logits")(x)


def _conv(x, filters, name):
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name)(x)
