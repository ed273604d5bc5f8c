import keras
import numpy as np
import pytest
from keras import ops

from rainbownet.losses import ClassCrossentropy, LabelDistance, WeightedCrossentropy


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def dense(logits, one_hot, weights):
    """The formula with everything written out, in float64."""
    logits = logits.astype("float64")
    log_softmax = logits - logits.max(-1, keepdims=True)
    log_softmax -= np.log(np.exp(log_softmax).sum(-1, keepdims=True))
    return -(one_hot * log_softmax).sum(-1) * weights


def test_two_buckets_by_hand():
    """softmax of (0, log 3) is (1/4, 3/4); the weights are 1 and 5."""
    loss = WeightedCrossentropy([1.0, 5.0])
    logits = np.array([[[[0.0, np.log(3)], [0.0, np.log(3)]]]], "float32")
    expected = np.mean([np.log(4), 5 * np.log(4 / 3)])
    np.testing.assert_allclose(float(loss(np.array([[[0, 1]]]), logits)), expected, rtol=1e-6)


def test_hard_targets_equal_the_dense_formula(rng):
    logits = (rng.normal(size=(2, 6, 5, 30)) * 4).astype("float32")
    targets, weights = rng.integers(0, 30, (2, 6, 5)), rng.uniform(0.1, 9, 30).astype("float32")
    expected = dense(logits, np.eye(30)[targets], weights[targets])
    np.testing.assert_allclose(WeightedCrossentropy(weights).call(targets, logits), expected, rtol=1e-5, atol=1e-5)


def test_soft_targets_equal_the_dense_formula(rng):
    logits = (rng.normal(size=(2, 6, 5, 30)) * 4).astype("float32")
    indices = np.argsort(rng.random((2, 6, 5, 30)), -1)[..., :5]
    shares = rng.dirichlet(np.ones(5), (2, 6, 5))
    weights = rng.uniform(0.1, 9, 30).astype("float32")
    one_hot = (np.eye(30)[indices] * shares[..., None]).sum(-2)
    expected = dense(logits, one_hot, weights[indices[..., 0]])
    packed = np.stack([indices, shares], -1).astype("float32")
    np.testing.assert_allclose(WeightedCrossentropy(weights).call(packed, logits), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("soft", [False, True])
def test_gradient_equals_the_dense_formula(rng, soft):
    """d loss / d z = w (softmax(z) sum_i s_i - one_hot) / pixels, by central differences of the dense formula."""
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow here")
    logits = rng.normal(size=(1, 2, 3, 7)).astype("float32")
    weights = rng.uniform(0.1, 9, 7).astype("float32")
    if soft:
        indices = np.argsort(rng.random((1, 2, 3, 7)), -1)[..., :3]
        shares = rng.dirichlet(np.ones(3), (1, 2, 3))
        targets = np.stack([indices, shares], -1).astype("float32")
        one_hot, weight = (np.eye(7)[indices] * shares[..., None]).sum(-2), weights[indices[..., 0]]
    else:
        targets = rng.integers(0, 7, (1, 2, 3))
        one_hot, weight = np.eye(7)[targets], weights[targets]
    variable = tensorflow.Variable(logits)
    with tensorflow.GradientTape() as tape:
        value = WeightedCrossentropy(weights)(targets, variable)
    gradient = tape.gradient(value, variable).numpy()
    numeric = np.zeros(logits.shape)
    for place in np.ndindex(*logits.shape):
        step = np.zeros(logits.shape)
        step[place] = 1e-4
        difference = dense(logits + step, one_hot, weight) - dense(logits - step, one_hot, weight)
        numeric[place] = difference.mean() / 2e-4
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_sample_weights_mask_pixels(rng):
    logits = rng.normal(size=(1, 2, 2, 4)).astype("float32")
    targets = rng.integers(0, 4, (1, 2, 2))
    loss = WeightedCrossentropy()
    per_pixel = ops.convert_to_numpy(loss.call(targets, logits))
    mask = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    np.testing.assert_allclose(float(loss(targets, logits, sample_weight=mask)), per_pixel[0, 0, 0] / 4, rtol=1e-5)


def test_huge_logits_stay_finite():
    logits = np.array([[[[1e4, -1e4, 0.0]]]], "float32")
    assert np.isfinite(float(WeightedCrossentropy()(np.array([[[1]]]), logits)))


def test_serialized_and_restored(rng):
    loss = WeightedCrossentropy(rng.uniform(0, 1, 5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_array_equal(again.weights, loss.weights)


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match="5 weights for logits over 4 buckets"):
        WeightedCrossentropy(np.ones(5))(np.zeros((1, 1, 1), int), np.zeros((1, 1, 1, 4), "float32"))


def test_the_kind_of_photo_weighs_alpha():
    """softmax of (0, log 3) is (1/4, 3/4)."""
    loss = ClassCrossentropy(1 / 300)
    value = float(loss(np.array([0, 1]), np.array([[0, np.log(3)]] * 2, "float32")))
    np.testing.assert_allclose(value, (np.log(4) + np.log(4 / 3)) / 2 / 300, rtol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.alpha == 1 / 300 and float(again(np.array([0]), np.float32([[0, 0]]))) > 0


def test_label_distance_by_hand():
    """The document's formula for 32 labels; sigmoid(0) is 1/2, and int(15.5) is 15."""
    loss = LabelDistance(32)
    outputs = np.float32([0, 0, 50, -50]).reshape(1, 2, 2, 1)
    labels = np.array([[[15, 3], [30, 7]]])
    np.testing.assert_allclose(loss.call(labels, outputs), [[[0, 12], [1, 7]]], atol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.labels == 32


def test_label_distance_goes_straight_through_int():
    """d |label - 31 sigmoid(z)| / dz at z = 0 is 31 / 4, toward the label."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        outputs = tensorflow.Variable(np.zeros((1, 1, 2, 1), "float32"))
        with tensorflow.GradientTape() as tape:
            value = ops.sum(LabelDistance(32).call(np.array([[[3, 20]]]), outputs))
        gradient = tape.gradient(value, outputs)
    else:
        jax = pytest.importorskip("jax")
        gradient = jax.grad(lambda z: LabelDistance(32).call(np.array([[[3, 20]]]), z).sum())(np.zeros((1, 1, 2, 1)))
    np.testing.assert_allclose(np.ravel(gradient), [31 / 4, -31 / 4], rtol=1e-5)
