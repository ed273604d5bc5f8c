"""Losses over color buckets.

Source of the weighted form: Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), equation 2.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("rainbownet")
class WeightedCrossentropy(keras.losses.Loss):
    """Pixel-wise cross-entropy from logits, each pixel weighted by the bucket of its true color.

    loss = -w(y) log softmax(z)[y], or for a color shared among k buckets -w(y_1) sum_i s_i log softmax(z)[y_i], where
    y_1 is the nearest. Targets stay sparse: beside the logits and their gradient no array with the length of all
    buckets is kept.

    Call with `y_true` (batch, height, width) integer buckets, or (batch, height, width, k, 2) float32 with bucket and
    share of each of the k nearest, nearest first; `y_pred` (batch, height, width, n) float logits. The result of
    `call` is (batch, height, width), so that Keras' `sample_weight` of that shape masks pixels.

    Args:
        weights: (n,) weight of each bucket, or `None` for 1.
    """

    def __init__(self, weights=None, reduction="sum_over_batch_size", name="weighted_crossentropy"):
        super().__init__(reduction=reduction, name=name)
        self.weights = None if weights is None else np.asarray(weights, "float32")

    def get_config(self):
        weights = None if self.weights is None else self.weights.tolist()
        return {"weights": weights, "reduction": self.reduction, "name": self.name}

    def call(self, y_true, y_pred):
        buckets = y_pred.shape[-1]
        if self.weights is not None and len(self.weights) != buckets:
            raise ValueError(f"There are {len(self.weights)} weights for logits over {buckets} buckets.")
        if len(y_true.shape) == len(y_pred.shape) + 1:
            indices, shares = ops.cast(y_true[..., 0], "int32"), ops.cast(y_true[..., 1], "float32")
        else:
            indices = ops.cast(y_true, "int32")[..., None]
            shares = ops.ones_like(indices, dtype="float32")
        if self.weights is not None:
            shares = shares * ops.take(ops.convert_to_tensor(self.weights), indices[..., :1])
        per_pixel = _sparse_crossentropy(ops.reshape(y_pred, (-1, buckets)), indices, shares)
        return ops.reshape(per_pixel, ops.shape(y_pred)[:-1])


def _sparse_crossentropy(logits, indices, shares):
    """-sum_i shares_i log softmax(logits)[indices_i] for each row, with a gradient that holds one array of its size.

    Differentiated step by step, the softmax, its logarithm and the one-hot targets would each be kept until the
    backward pass.
    """
    neighbors = indices.shape[-1]
    indices = ops.reshape(indices, (-1, neighbors))
    shares = ops.reshape(shares, (-1, neighbors))

    @ops.custom_gradient
    def crossentropy(logits):
        highest = ops.max(logits, axis=-1, keepdims=True)
        log_total = highest + ops.log(ops.sum(ops.exp(logits - highest), axis=-1, keepdims=True))
        loss = ops.sum(shares * (log_total - ops.take_along_axis(logits, indices, axis=-1)), axis=-1)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            scale = upstream[..., None]
            total = ops.sum(shares, axis=-1, keepdims=True)
            result = ops.exp(logits - log_total) * (total * scale)
            rows = ops.arange(ops.shape(logits)[0], dtype="int32")
            for i in range(neighbors):
                column = indices[:, i : i + 1]
                value = ops.take_along_axis(result, column, axis=-1) - shares[:, i : i + 1] * scale
                result = ops.scatter_update(result, ops.stack([rows, column[:, 0]], axis=-1), value[:, 0])
            return result

        return loss, gradient

    return crossentropy(ops.cast(logits, "float32"))
