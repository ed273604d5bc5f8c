import keras
import numpy as np
import pytest

from rainbownet.buckets import ab_313
from rainbownet.priors import ColorPrior


def test_a_stream_counts_as_one_pass():
    indices = np.random.default_rng(0).integers(0, 7, (10, 4, 4))
    stream, whole = ColorPrior(7), ColorPrior(7)
    for photo in indices:
        stream.update(photo)
    whole.update(indices)
    np.testing.assert_array_equal(stream.counts, whole.counts)
    np.testing.assert_allclose(stream.probabilities(), np.bincount(indices.ravel(), minlength=7) / 160)


def test_weights_by_hand():
    """P = (3/4, 1/4, 0), lambda = 1/2: 1 / w is 1/2 (P + 1/3) = 13/24, 7/24, 4/24 up to the scale."""
    weights = ColorPrior([3, 1, 0]).weights(0.5)
    expected = np.array([24 / 13, 24 / 7, 24 / 4])
    expected /= 3 / 4 * expected[0] + 1 / 4 * expected[1]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("mix", [0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 5.0])
def test_the_expected_weight_is_one(mix, smoothing):
    grid = ab_313()
    prior = ColorPrior(len(grid))
    prior.update(np.random.default_rng(0).integers(100, 200, 5000))
    weights = prior.weights(mix, grid.centers, smoothing)
    shares = prior.probabilities(grid.centers, smoothing)
    np.testing.assert_allclose(np.sum(weights * shares), 1, rtol=1e-5)


def test_all_of_the_uniform_distribution_leaves_no_weighting():
    np.testing.assert_allclose(ColorPrior([5, 1, 9]).weights(1.0), np.ones(3), rtol=1e-6)


def test_smoothing_spreads_to_neighbors_and_keeps_the_sum():
    grid = ab_313()
    prior = ColorPrior(len(grid))
    middle = int(np.argmin(np.abs(grid.centers).sum(1)))
    prior.update([middle])
    shares = prior.probabilities(grid.centers, 5.0)
    np.testing.assert_allclose(shares.sum(), 1)
    beside = np.abs(grid.centers - grid.centers[middle]).sum(1) == 10
    assert (shares[beside] > 0.05).all() and shares.argmax() == middle


def test_restored_bit_for_bit():
    prior = ColorPrior([3, 0, 2**60])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(prior))
    np.testing.assert_array_equal(again.counts, prior.counts)


def test_user_mistakes_are_told():
    with pytest.raises(ValueError, match="counted no pixels"):
        ColorPrior(5).weights(0.5)
    with pytest.raises(ValueError, match="must be in 0..1"):
        ColorPrior([1, 2]).weights(1.5)
    with pytest.raises(ValueError, match="never occurs"):
        ColorPrior([1, 0]).weights(0)
    with pytest.raises(ValueError, match="number of at least 2"):
        ColorPrior([[1, 2], [3, 4]])
