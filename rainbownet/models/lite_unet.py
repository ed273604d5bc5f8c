"""LiteUNet, the network of the models that ship: our own.

Its idea: what colour a thing has follows from what it is, and a network that a few hours must suffice for had better
know things already. So the encoder is EfficientNet-Lite0 with its knowledge of ImageNet; the decoder is as light as
U-Net's can be (a convolution for each stride, skips added, not concatenated); the whole photo speaks through features
pooled over all of it, which are added everywhere at the coarsest stride (as the fusion of Iizuka et al. 2016 does), and
through transformer blocks at stride 16 (Vaswani et al. 2017, section 3), where places that show the same sky or wall
can agree on its colour; and the answer is a distribution over ab buckets at a quarter of the photo's size (Zhang et al.
2016), because chroma has little detail of its own: its edges come from the luminance when it is enlarged.
"""

import keras
from keras import layers

from rainbownet.models import efficientnet_lite

STRIDE = 32
ATTENDED = 16  # the stride whose features attend to each other
HEAD = 32  # channels of an attention head
DROPOUT = 0.2  # of what a transformer block adds
WHOLE_DROPOUT = 0.3  # of what is known of the whole photo
SHRINK = 4  # the output is that many times smaller than the input


def lite_unet(input_shape=(None, None, 1), outputs=313, deepest=32, filters=(256, 256, 128, 96), attention=0):
    """Builds LiteUNet.

    Args:
        input_shape: (height, width, 1), each divisible by `deepest` or `None`. The input "l" is L in 0..100.
        outputs: logits a pixel.
        deepest: stride of the encoder's coarsest features, 16 or 32: 16 leaves out the encoder's blocks 11 to 15.
        filters: of the decoder, from the coarsest stride to 4.
        attention: transformer blocks at stride 16; they add nothing before they are trained, so that weights of a
            network without them stay what they are.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to (batch, height / 4, width / 4, outputs) logits, float32.

    Raises:
        ValueError: the filters are not as many as the strides from `deepest` to 4.
    """
    if deepest not in (16, 32) or len(filters) != deepest.bit_length() - 2:
        raise ValueError(f"`filters` must be 4 for a stride of 32, or 3 for one of 16; received {filters}, {deepest}.")
    l = keras.Input(input_shape, name="l")
    taps = efficientnet_lite.features(l, deepest)
    deep = taps[deepest]
    whole = layers.GlobalAveragePooling2D(name="pool")(efficientnet_lite.head(deep) if deepest == 32 else deep)
    whole = layers.Dense(filters[0], activation="relu", name="whole_dense")(whole)
    whole = layers.Dropout(WHOLE_DROPOUT, name="whole_drop")(whole)
    whole = layers.Dense(filters[0], name="whole_project")(whole)
    whole = layers.Reshape((1, 1, filters[0]), name="whole")(whole)
    x = layers.Conv2D(filters[0], 1, use_bias=False, name=f"decode{deepest}_skip")(deep)
    x = _norm(layers.Add(name=f"decode{deepest}_add")([x, whole]), f"decode{deepest}_norm1")
    x = _conv(x, filters[0], f"decode{deepest}_conv", "norm2")
    if deepest == ATTENDED:
        x = _attend(x, attention)
    stride = deepest
    for width in filters[1:]:
        stride //= 2
        name = f"decode{stride}"
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_narrow")(x)
        x = layers.UpSampling2D(2, name=f"{name}_up")(x)
        skip = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_skip")(taps[stride])
        x = _norm(layers.Add(name=f"{name}_add")([x, skip]), f"{name}_norm1")
        x = _conv(x, width, f"{name}_conv", "norm2")
        if stride == ATTENDED:
            x = _attend(x, attention)
    # float32 also under mixed precision: softmax over hundreds of classes needs it.
    x = layers.Conv2D(outputs, 1, dtype="float32", name="logits")(x)
    return keras.Model(l, x, name="lite_unet")


def options_of(network):
    """Reads from a network what its layers were built with.

    Args:
        network: a `keras.Model` that `lite_unet` gave.

    Returns:
        Dict of `deepest`, `filters` and `attention`.

    Raises:
        ValueError: it is another network.
    """
    named = {layer.name: layer for layer in network.layers}
    strides = [stride for stride in (32, 16, 8, 4) if f"decode{stride}_conv" in named]
    if "whole_dense" not in named or not strides:
        raise ValueError(f"The network is no lite_unet, but {network.name}.")
    return {
        "deepest": strides[0],
        "filters": tuple(named[f"decode{stride}_conv"].filters for stride in strides),
        "attention": sum(f"attend{i}_heads" in named for i in range(len(named))),
    }


def _conv(x, filters, name, norm):
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(x)
    return _norm(x, name.replace("conv", norm))


def _norm(x, name):
    return layers.ReLU(name=name.replace("norm", "relu"))(layers.BatchNormalization(name=name)(x))


def _attend(x, blocks):
    """Transformer blocks over all places of a map, normalized before each part (Xiong et al. 2020, section 3)."""
    channels = x.shape[-1]
    for i in range(blocks):
        name = f"attend{i}"
        y = layers.LayerNormalization(name=f"{name}_norm1")(x)
        heads = layers.MultiHeadAttention(max(1, channels // HEAD), HEAD, attention_axes=(1, 2), name=f"{name}_heads")
        x = _residual(x, layers.Dropout(DROPOUT, name=f"{name}_drop1")(heads(y, y)), f"{name}_scale1")
        y = layers.LayerNormalization(name=f"{name}_norm2")(x)
        y = layers.Dense(2 * channels, activation="gelu", name=f"{name}_widen")(y)
        y = layers.Dense(channels, name=f"{name}_narrow")(layers.Dropout(DROPOUT, name=f"{name}_drop2")(y))
        x = _residual(x, y, f"{name}_scale2")
    return x


def _residual(x, y, name):
    # Scaled by 0 at first (Goyal et al. 2017, section 5.1): the block may be added to a network that knows things.
    y = layers.BatchNormalization(gamma_initializer="zeros", name=name)(y)
    return layers.Add(name=name.replace("scale", "add"))([x, y])
