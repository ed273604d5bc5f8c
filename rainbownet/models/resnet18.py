"""ResNet-18 to the half of its depth with a decoder (Ke, Fan & Yang, "Colorizing Grayscale Photographs with
Convolutional Neural Network", a student project).

Down-sampling is ResNet-18 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) from conv1 to conv3_x,
with weights from ImageNet where there are any; up-sampling doubles three times to chroma. Padding is symmetric, as in
the authors' framework.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from rainbownet.models.state_dict import assign_state_dict, read_state_dict

STRIDE = 8

# Mean and deviation of ImageNet's R, G and B in 0..1, which torchvision's networks are trained with.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225])

# The names of our layers and torchvision's.
_TORCHVISION = {"conv1": "conv1", "conv1_norm": "bn1"} | {
    f"conv{stage}_{block}_{layer}{i}": f"layer{stage - 1}.{block - 1}.{theirs}{i}"
    for stage in (2, 3)
    for block in (1, 2)
    for i in (1, 2)
    for layer, theirs in (("conv", "conv"), ("norm", "bn"))
}
_TORCHVISION |= {"conv3_1_projection": "layer2.0.downsample.0", "conv3_1_projection_norm": "layer2.0.downsample.1"}

# torchvision's names and keras-hub's.
_KERAS_HUB = {"conv1": "conv1_conv", "bn1": "conv1_bn"} | {
    f"layer{stage}.{block}.{theirs}{i}": f"stack{stage - 1}_block{block}_{i}_{hub}"
    for stage in (1, 2)
    for block in (0, 1)
    for i in (1, 2)
    for theirs, hub in (("conv", "conv"), ("bn", "bn"))
}
_KERAS_HUB |= {"layer2.0.downsample.0": "stack1_block0_0_conv", "layer2.0.downsample.1": "stack1_block0_0_bn"}


def resnet18(input_shape=(None, None, 1), outputs=2, imagenet=False, filters=64):
    """ResNet-18's conv1 to conv3_x and the decoder: 957,218 parameters, 960,354 when prepared for ImageNet's weights.

    The document gives the decoder's kind but not its widths; these are a reading of ours. Doubling is by nearest
    neighbour.

    Args:
        input_shape: (height, width, 1), each divisible by 8 or `None`. The input "l" is L in 0..100.
        outputs: 2 for the document's regression, ab / 110; any other number for logits over that many buckets.
        imagenet: whether the first convolution sees a plane of ones beside the photo, which `load_imagenet_weights`
            needs: 3,136 more parameters. See `fold_first_convolution`.
        filters: filters of the first convolution; all others are multiples of it.

    Returns:
        A `keras.Model` from (batch, height, width, 1) to (batch, height, width, outputs), float32.
    """
    l = keras.Input(input_shape, name="l")
    x = layers.Rescaling(1 / 100, name="scale")(l)
    if imagenet:
        x = layers.Concatenate(name="scale_and_ones")([x, layers.Rescaling(0.0, 1.0, name="ones")(l)])
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(filters, 7, 2, use_bias=False, kernel_initializer="he_normal", name="conv1")(x)
    x = layers.ReLU(name="conv1_relu")(_norm(x, "conv1_norm"))
    # Nothing is below zero after a ReLU, so that the zeros around are never a maximum of their own.
    x = layers.ZeroPadding2D(1, name="conv2_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="conv2_pool")(x)
    x = _basic_block(x, filters, "conv2_1")
    x = _basic_block(x, filters, "conv2_2")
    x = _basic_block(x, 2 * filters, "conv3_1", strides=2)
    x = _basic_block(x, 2 * filters, "conv3_2")
    return keras.Model(l, _up_sampling(x, outputs, filters), name="resnet18")


def fold_first_convolution(kernel):
    """Turns a first convolution for normalized RGB into one for gray that gives the same, up to the border.

    A gray g stands in all three channels, so that the convolution of (g - mean) / deviation is that of g with the sum
    of the kernels, each over its deviation, less that of a constant with the sum of mean x kernel / deviation. Away
    from the border the second is a number for each filter, but a kernel that reaches over the border meets zeros
    there, and not the mean. It is therefore kept as the kernel of a plane of ones, with zeros around it as well.

    Args:
        kernel: (height, width, 3, filters) float, for (rgb - `IMAGENET_MEAN`) / `IMAGENET_DEVIATION`, rgb in 0..1.

    Returns:
        (height, width, 2, filters) float32, for g in 0..1 and a plane of ones.
    """
    scaled = np.asarray(kernel, "float64") / IMAGENET_DEVIATION[:, None]
    ones = -(scaled * IMAGENET_MEAN[:, None]).sum(axis=2)
    return np.stack([scaled.sum(axis=2), ones], axis=2).astype("float32")


def load_imagenet_weights(network, source):
    """Loads ImageNet's weights into the down-sampling half; L / 100 takes the place of R, G and B in 0..1.

    Args:
        network: what `resnet18(imagenet=True)` built.
        source: torchvision's state dict of ResNet-18 (.pth or .pt; needs PyTorch) or the same as .npz, see
            `read_state_dict`; or a preset of keras-hub, by its name ("resnet_18_imagenet") or folder (needs keras-hub).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the source holds other weights, or the network has no plane of ones, or PyTorch or keras-hub is
            needed and is not installed; the network is left as it was.
    """
    if network.get_layer("conv1").kernel.shape[2] != 2:
        raise ValueError("The network is not prepared for ImageNet's weights; build it with `imagenet=True`.")
    is_file = Path(source).suffix in (".pth", ".pt", ".npz")
    state = read_state_dict(source) if is_file else _read_keras_hub(str(source))
    # The deeper half, and the classifier.
    state = {name: value for name, value in state.items() if name.split(".")[0] not in ("layer3", "layer4", "fc")}
    kernel = state.get("conv1.weight")
    if kernel is not None and kernel.shape[1] == 3:
        state["conv1.weight"] = fold_first_convolution(kernel.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    assign_state_dict(network, state, _TORCHVISION, source)


def _read_keras_hub(preset):
    """The part of a preset that is needed here, as a state dict by torchvision's names."""
    try:
        import keras_hub
    except ImportError:
        raise ValueError(
            f"The preset {preset} is read by keras-hub, which is not installed: pip install keras-hub, or give a "
            "torchvision state dict (.pth or .npz)."
        ) from None
    backbone = keras_hub.models.Backbone.from_preset(preset)
    config = backbone.get_config()
    if (config.get("block_type"), list(config.get("stackwise_num_blocks", ()))[:2]) != ("basic_block", [2, 2]):
        raise ValueError(f"{preset} is no preset of ResNet-18, such as resnet_18_imagenet.")
    state = {}
    for theirs, hub in _KERAS_HUB.items():
        weights = [np.asarray(weight) for weight in backbone.get_layer(hub).get_weights()]
        if len(weights) == 1:
            state[f"{theirs}.weight"] = weights[0].transpose(3, 2, 0, 1)
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            state |= {f"{theirs}.{part}": value for part, value in zip(parts, weights, strict=True)}
    return state


def _basic_block(x, filters, name, strides=1):
    shortcut = x
    if strides > 1:
        shortcut = layers.Conv2D(
            filters, 1, strides, use_bias=False, kernel_initializer="he_normal", name=f"{name}_projection"
        )(x)
        shortcut = _norm(shortcut, f"{name}_projection_norm")
    x = _conv(x, filters, f"{name}_conv1", strides)
    x = layers.ReLU(name=f"{name}_relu1")(_norm(x, f"{name}_norm1"))
    x = _norm(_conv(x, filters, f"{name}_conv2"), f"{name}_norm2")
    return layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv(x, filters, name, strides=1):
    # Keras pads a layer with a stride at the bottom and right only; the authors' framework all around.
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.Conv2D(filters, 3, strides, use_bias=False, kernel_initializer="he_normal", name=name)(x)


def _norm(x, name):
    # The epsilon and the momentum of the authors' framework, which ImageNet's weights were trained with.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _up_sampling(x, outputs, filters):
    for stage, widths in enumerate(((2 * filters,), (filters, filters), (filters // 2,)), 1):
        for i, width in enumerate(widths, 1):
            name = f"up{stage}_{i}"
            x = layers.Conv2D(width, 3, padding="same", kernel_initializer="he_normal", name=f"{name}_conv")(x)
            x = layers.ReLU(name=f"{name}_relu")(_norm(x, f"{name}_norm"))
        if stage < 3:
            x = layers.UpSampling2D(2, name=f"up{stage}_up")(x)
    # float32 also under mixed precision: the loss takes differences of these.
    x = layers.Conv2D(outputs, 3, padding="same", dtype="float32", name="output")(x)
    return layers.UpSampling2D(2, dtype="float32", name="color")(x)
