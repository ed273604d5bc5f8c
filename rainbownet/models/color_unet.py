"""ColorUNet (Billaut, de Rochemonteix & Thibault, "ColorUNet: A convolutional classification approach to colorization",
arXiv 1811.03120, 2018), as a later poster trained it with layer normalization.

A U-Net: DownConv cells halve the photo four times, UpConv cells double it again and see what the DownConv cell of the
same size saw, and the Output cell ends in logits over colour bins at every pixel. Convolutions are 3x3 with 'same'
padding, followed by normalization and ReLU.
"""

import keras
from keras import layers

STRIDE = 16


def color_unet(input_shape=(None, None, 1), outputs=32, norm="layer", filters=64):
    """ColorUNet: 13,396,192 parameters with layer normalization, 13,404,128 with batch normalization.

    The poster gives the cells but not their widths; these are a reading of ours, after Ronneberger's U-Net. Doubling is
    by nearest neighbour.

    Args:
        input_shape: (height, width, 1), each divisible by 16 or `None`. The input "l" is Y of YUV in 0..1.
        outputs: number of bins.
        norm: "layer" normalizes over height, width and channels with a scale and a shift for each channel, the
            poster's choice; "batch" is the original's.
        filters: filters of the first convolution; all others are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to logits (batch, height, width, outputs), float32.

    Raises:
        ValueError: `norm` is neither.
    """
    if norm not in ("layer", "batch"):
        raise ValueError(f"`norm` must be 'layer' or 'batch'; received {norm!r}.")
    l = keras.Input(input_shape, name="l")
    x, skips = l, []
    for i in range(4):
        x = _convs(x, filters * 2**i, norm, f"down{i + 1}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{i + 1}_pool")(x)
    x = _convs(x, 8 * filters, norm, "bottom")
    for i, width in enumerate((4 * filters, 2 * filters, filters), 1):
        x = _convs(_up(x, skips.pop(), f"up{i}"), width, norm, f"up{i}")
    x = _convs(_up(x, skips.pop(), "output"), filters, norm, "output")
    # float32 also under mixed precision: the loss takes differences of logits.
    return keras.Model(l, layers.Conv2D(outputs, 1, dtype="float32", name="logits")(x), name="color_unet")


def _up(x, skip, name):
    x = layers.UpSampling2D(2, name=f"{name}_up")(x)
    return layers.Concatenate(name=f"{name}_skip")([x, skip])


def _convs(x, filters, norm, name):
    for i in (1, 2):
        x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv{i}")(x)
        if norm == "layer":
            # One group of all channels is layer normalization that takes photos of any size.
            x = layers.GroupNormalization(groups=1, name=f"{name}_norm{i}")(x)
        else:
            x = layers.BatchNormalization(name=f"{name}_norm{i}")(x)
        x = layers.ReLU(name=f"{name}_relu{i}")(x)
    return x
