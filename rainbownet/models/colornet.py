"""colornet: the network of Iizuka, Simo-Serra & Ishikawa, "Let there be Color!" (SIGGRAPH 2016), trained on faces by a
student project of that name (Das & Bhadra, "Deep Colorization with CNNs").

Low-level features at 1/8 of the size go two ways: mid-level features keep their place, global features say with a
vector what the whole photo shows. Both are fused at every position, and a regressor doubles three times to chroma. From
the global features a classifier can name the kind of photo, which helps them along in training. Written from the paper.
"""

import keras
from keras import layers, ops

STRIDE = 8


def colornet(
    input_shape=(None, None, 1), outputs=2, classes=None, global_features=True, global_size=224, filters=64
):  # fmt: skip
    """colornet: 42,195,810 parameters, 42,380,847 with 205 classes, 6,852,706 without global features.

    Every convolution and dense layer is followed by batch normalization and ReLU, the last ones excepted. For the
    fusion the paper repeats the 256 global numbers at every position, concatenates them with the mid-level features and
    convolves 1x1. The product with the repeated part is the same everywhere, so it is computed once here and added: the
    same function with the same weights. Nearest upsampling, and bilinear resizing for the global features, are readings
    of ours.

    Args:
        input_shape: (height, width, 1), each divisible by 8 or `None`. The input "l" is L in 0..100.
        outputs: 2 for the document's regression, (ab + 128) / 255 by a sigmoid; any other number for logits over that
            many buckets (42,285,689 parameters for 313).
        classes: number of kinds of photos for the classifier, or `None` for no classifier.
        global_features: whether there are any; else a 3x3 convolution takes the fusion's place.
        global_size: side in pixels that photos are resized to for the global features. At just this size the features
            are those of the photo itself, and nothing is computed twice.
        filters: filters of the first convolution; all other widths are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to (batch, height, width, outputs), float32. With `classes`, to a
        dict of "color" with that, and "class" with logits (batch, classes), float32.

    Raises:
        ValueError: a classifier without global features.
    """
    if classes is not None and not global_features:
        raise ValueError("The classifier works on the global features; set `classes=None` to do without both.")
    l = keras.Input(input_shape, name="l")
    scaled = layers.Rescaling(1 / 100, name="scale")(l)
    low_level = _low_level(filters)
    low = _apply(low_level, scaled)
    x = _conv(_conv(low, 8 * filters, "mid1"), 4 * filters, "mid2")
    if not global_features:
        return keras.Model(l, _regressor(_conv(x, 4 * filters, "fusion"), outputs, filters), name="colornet")
    if tuple(input_shape[:2]) != (global_size, global_size):
        # Not the layer `Resizing`: its default, training=True, would reach all layers after it (Keras 3.15).
        low = _apply(low_level, ops.image.resize(scaled, (global_size, global_size)))
    vector, class_features = _global_features(low, filters)
    color = _regressor(_fusion(x, vector, 4 * filters), outputs, filters)
    if classes is None:
        return keras.Model(l, color, name="colornet")
    y = _norm_relu(layers.Dense(4 * filters, kernel_initializer="he_normal", name="class1")(class_features), "class1")
    y = layers.Dense(classes, dtype="float32", name="class")(y)
    return keras.Model(l, {"color": color, "class": y}, name="colornet")


def _low_level(filters):
    """Layers of the low-level features, 1/8 of the size: applied to the photo and to its resized copy alike."""
    stack = []
    for i, (width, strides) in enumerate(((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1)), 1):
        stack += [
            layers.Conv2D(
                width * filters, 3, strides, padding="same", kernel_initializer="he_normal", name=f"low{i}_conv"
            ),
            layers.BatchNormalization(name=f"low{i}_norm"),
            layers.ReLU(name=f"low{i}_relu"),
        ]
    return stack


def _apply(stack, x):
    for layer in stack:
        x = layer(x)
    return x


def _global_features(x, filters):
    """The vector for the fusion, and the one before it for the classifier."""
    for i, strides in enumerate((2, 1, 2, 1), 1):
        x = _conv(x, 8 * filters, f"global{i}", strides)
    x = layers.Flatten(name="global_flatten")(x)
    for i, width in enumerate((16 * filters, 8 * filters, 4 * filters), 5):
        class_features = x
        x = _norm_relu(layers.Dense(width, kernel_initializer="he_normal", name=f"global{i}_dense")(x), f"global{i}")
    return x, class_features


def _fusion(x, vector, filters):
    x = layers.Conv2D(filters, 1, kernel_initializer="he_normal", name="fusion_local")(x)
    shared = layers.Dense(filters, use_bias=False, kernel_initializer="he_normal", name="fusion_global")(vector)
    shared = layers.Reshape((1, 1, filters), name="fusion_everywhere")(shared)
    return _norm_relu(layers.Add(name="fusion_add")([x, shared]), "fusion")


def _regressor(x, outputs, filters):
    x = _conv(x, 2 * filters, "color1")
    x = layers.UpSampling2D(2, name="color1_up")(x)
    x = _conv(_conv(x, filters, "color2"), filters, "color3")
    x = layers.UpSampling2D(2, name="color3_up")(x)
    x = _conv(x, filters // 2, "color4")
    # float32 also under mixed precision: the loss takes differences of these.
    activation = "sigmoid" if outputs == 2 else None
    x = layers.Conv2D(outputs, 3, padding="same", activation=activation, dtype="float32", name="color5")(x)
    return layers.UpSampling2D(2, dtype="float32", name="color")(x)


def _conv(x, filters, name, strides=1):
    conv = layers.Conv2D(filters, 3, strides, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")
    return _norm_relu(conv(x), name)


def _norm_relu(x, name):
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))
