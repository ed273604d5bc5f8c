"""Losses over colour buckets, and those that only one document has.

Source of the weighted cross-entropy: Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), equation 2.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("rainbownet")
class WeightedCrossentropy(keras.losses.Loss):
    """Pixel-wise cross-entropy from logits, each pixel weighted by the bucket of its true colour.

    loss = -w(y) log softmax(z)[y], or for a colour shared among k buckets -w(y_1) sum_i s_i log softmax(z)[y_i], where
    y_1 is the nearest. Targets stay sparse, one-hot arrays over all buckets are never made.

    Call with `y_true` (batch, height, width) integer buckets, or (batch, height, width, k, 2) float32 with bucket and
    share of each of the k nearest, nearest first; `y_pred` (batch, height, width, n) float logits. The result of
    `call` is (batch, height, width), so that Keras' `sample_weight` of that shape masks pixels.

    Args:
        weights: (n,) weight of each bucket, or `None` for 1.

    Raises:
        ValueError: when called, the weights are not as many as the logits' buckets.
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
        y_pred = ops.cast(y_pred, "float32")
        if len(y_true.shape) == len(y_pred.shape) + 1:
            nearest = ops.cast(y_true[..., 0, 0], "int32")
            per_pixel = _soft_crossentropy(ops.cast(y_true[..., 0], "int32"), y_true[..., 1], y_pred)
        else:
            nearest = ops.cast(y_true, "int32")
            per_pixel = ops.sparse_categorical_crossentropy(nearest, y_pred, from_logits=True)
        if self.weights is None:
            return per_pixel
        return ops.take(ops.convert_to_tensor(self.weights), nearest) * per_pixel


@keras.saving.register_keras_serializable("rainbownet")
class ClassCrossentropy(keras.losses.SparseCategoricalCrossentropy):
    """The classifier's term of colornet's loss: alpha times the cross-entropy of the kind of photo, from logits.

    Source: Iizuka, Simo-Serra & Ishikawa, "Let there be Color!" (SIGGRAPH 2016), equation 8. Keras adds it to the loss
    of the colours.

    Args:
        alpha: its weight (in the paper 1/300).
    """

    def __init__(self, alpha=1 / 300, reduction="sum_over_batch_size", name="class_crossentropy"):
        super().__init__(from_logits=True, reduction=reduction, name=name)
        self.alpha = alpha

    def get_config(self):
        return {"alpha": self.alpha, "reduction": self.reduction, "name": self.name}

    def call(self, y_true, y_pred):
        return self.alpha * super().call(y_true, y_pred)


@keras.saving.register_keras_serializable("rainbownet")
class LabelDistance(keras.losses.Loss):
    """The first loss of the Dropout CNN's document (section 1.4): mean |label - int((n - 1) sigmoid(output))|.

    It is here to show why it does not converge: the palette's colours stand in no order, yet of two wrong labels that
    of the nearer number costs less. `int` has no gradient; as a straight-through estimate it is given that of its
    argument.

    Call with `y_true` (batch, height, width) integer labels and `y_pred` (batch, height, width, 1) float.

    Args:
        labels: n, the number of labels (32 in the document).
    """

    def __init__(self, labels, reduction="sum_over_batch_size", name="label_distance"):
        super().__init__(reduction=reduction, name=name)
        self.labels = labels

    def get_config(self):
        return {"labels": self.labels, "reduction": self.reduction, "name": self.name}

    def call(self, y_true, y_pred):
        place = (self.labels - 1) * ops.sigmoid(ops.cast(y_pred[..., 0], "float32"))
        place = place + ops.stop_gradient(ops.floor(place) - place)
        return ops.abs(ops.cast(y_true, "float32") - place)


def _soft_crossentropy(indices, shares, logits):
    """-sum_i shares_i log softmax(logits)[indices_i] at each pixel, with a gradient that holds one array of its size.

    Keras has the like for one target a pixel only. Differentiated step by step, the softmax, its logarithm and the
    gradient of each gathered column would each be kept, all of the length of all buckets. Compiled by XLA the gradient
    is the one array there is; TensorFlow's own scatter makes a copy of it on the way.
    """
    shape, buckets = ops.shape(logits)[:-1], logits.shape[-1]
    logits = ops.reshape(logits, (-1, buckets))
    shares = ops.cast(ops.reshape(shares, (-1, shares.shape[-1])), "float32")
    rows = ops.arange(ops.shape(logits)[0], dtype="int32")[:, None]
    # Places in the flattened logits: gathering along an axis would broadcast them first.
    places = rows * buckets + ops.reshape(indices, (-1, indices.shape[-1]))

    @ops.custom_gradient
    def crossentropy(logits):
        highest = ops.max(logits, axis=-1, keepdims=True)
        log_total = highest + ops.log(ops.sum(ops.exp(logits - highest), axis=-1, keepdims=True))
        loss = ops.sum(shares * (log_total - ops.take(ops.reshape(logits, (-1,)), places)), axis=-1)

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            scaled = shares * upstream[:, None]
            softmax = ops.exp(logits - log_total) * ops.sum(scaled, axis=-1, keepdims=True)
            result = ops.scatter_update(
                ops.reshape(softmax, (-1,)), ops.reshape(places, (-1, 1)), ops.reshape(-scaled, (-1,)), reduction="add"
            )
            return ops.reshape(result, ops.shape(logits))

        return loss, gradient

    return ops.reshape(crossentropy(logits), shape)
