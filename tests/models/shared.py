"""What the tests of the networks share."""

import keras
import numpy as np

from rainbownet import models

# Every network at a width that trains in milliseconds, by a name for the test's: each takes the input's shape. The
# third is whether the network takes one size only, the fourth by how much its output is smaller than its input.
TOYS = {
    "rainbownet_plain": (lambda shape: models.rainbownet_plain(shape, outputs=5, filters=2), False, 1),
    "rainbownet_fusion": (lambda shape: models.rainbownet_fusion(shape, 5, embedding=3, filters=2), False, 1),
    "rainbownet_without_fusion": (lambda shape: models.rainbownet_fusion(shape, 5, None, filters=2), False, 1),
    "rainbownet_baseline": (lambda shape: models.rainbownet_baseline(shape, hidden=4), True, 1),
    "color_unet": (lambda shape: models.color_unet(shape, outputs=5, filters=2), False, 1),
    "color_unet_batch": (lambda shape: models.color_unet(shape, 5, norm="batch", filters=2), False, 1),
    "colornet": (lambda shape: models.colornet(shape, global_size=32, filters=2), False, 1),
    "colornet_classes": (lambda shape: models.colornet(shape, classes=3, global_size=32, filters=2), False, 1),
    "colornet_local": (lambda shape: models.colornet(shape, global_features=False, filters=2), False, 1),
    "resnet18": (lambda shape: models.resnet18(shape, filters=2), False, 1),
    "resnet18_imagenet": (lambda shape: models.resnet18(shape, imagenet=True, filters=2), False, 1),
    "dropout_cnn": (lambda shape: models.dropout_cnn(shape, outputs=5, filters=2), True, 1),
    "dropout_cnn_dense": (lambda shape: models.dropout_cnn(shape, outputs=5, head="dense", filters=2), True, 1),
    "eccv16": (lambda shape: models.eccv16(shape, outputs=5, filters=2), False, 4),
    "lite_unet": (lambda shape: models.lite_unet(shape, outputs=5, deepest=16, filters=(8, 8, 8)), False, 4),
    "lite_unet_attention": (lambda shape: models.lite_unet(shape, 5, 16, (8, 8, 8), attention=1), False, 4),
}


def count_without_allocating(build):
    """Counts the parameters of the network that `build` builds, whose weights get shapes and no memory."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            return build().count_params()
    finally:
        # Keras keeps a list of the weights that it still owes a value, and would fill them at the next occasion.
        keras.utils.clear_session()


def conv(inputs, outputs, size=3, bias=True):
    """Parameters of a convolution."""
    return size * size * inputs * outputs + (outputs if bias else 0)


def dense(inputs, outputs):
    """Parameters of a dense layer."""
    return inputs * outputs + outputs


def batch_norm(channels):
    """Parameters of a batch normalization: scale, shift, mean and variance."""
    return 4 * channels


def randomize(network, seed=0):
    """Gives all weights random values, variances positive ones, so that no two layers can be mistaken."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        values = [random.normal(0, 1 / np.sqrt(max(np.prod(w.shape[:-1]), 1)), w.shape) for w in layer.weights]
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (random.normal(0, 0.3, w.shape) for w in layer.weights)
            values = [1 + gamma, beta, mean, np.exp(variance)]
        layer.set_weights(values)


def state_dict_of(network, prefixes):
    """The weights of layers under PyTorch's names and in its layout: the way back of `assign_state_dict`."""
    state = {}
    for name, prefix in prefixes.items():
        weights = network.get_layer(name).get_weights()
        parts = ("weight", "bias", "running_mean", "running_var")[: len(weights)]
        for part, value in zip(parts, weights, strict=True):
            state[f"{prefix}.{part}"] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
    return state
