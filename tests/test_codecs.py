import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import color
from rainbownet.buckets import ab_112, ab_313
from rainbownet.codecs import BucketCodec, RegressionCodec


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype("uint8")


@pytest.fixture(scope="module")
def codec():
    return BucketCodec(ab_112())


def test_the_table_agrees_with_the_formulas(codec, photos):
    l, target = (ops.convert_to_numpy(x) for x in codec.encode(photos))
    l_formula, target_formula = (ops.convert_to_numpy(x) for x in codec.encode(photos / np.float32(255)))
    assert np.abs(l - l_formula).max() < 1e-3
    np.testing.assert_array_equal(target, target_formula)
    assert l.shape == (2, 16, 24, 1) and target.shape == (2, 16, 24)


def test_targets_decode_to_the_nearest_they_can(codec, photos):
    _, target = codec.encode(photos)
    ab = ops.convert_to_numpy(color.rgb_to_lab(photos))[..., 1:]
    logits = 100 * np.eye(112, dtype="float32")[np.asarray(target)]
    for temperature in (0, 0.38, 1):
        assert np.abs(np.asarray(codec.decode(logits, temperature)) - ab).max() <= 9  # half a cell, and its truncation


def test_soft_targets_hold_buckets_and_shares(photos):
    codec = BucketCodec(ab_313(), neighbors=5)
    l, target = codec.encode(photos)
    target = ops.convert_to_numpy(target)
    assert target.shape == (2, 16, 24, 5, 2)
    np.testing.assert_allclose(target[..., 1].sum(-1), 1, atol=1e-5)
    assert (np.diff(target[..., 1], axis=-1) <= 1e-6).all(), "nearest first"
    np.testing.assert_array_equal(target[..., 0, 0], codec.buckets.assign(color.rgb_to_lab(photos)[..., 1:]))


def test_annealed_mean_by_hand(codec):
    """Two buckets with probabilities 1/4 and 3/4: the mean, the mode, and at T = 1/2 their squares' shares, 1:9."""
    probabilities = np.full(112, 1e-30)
    probabilities[[10, 90]] = 0.25, 0.75
    logits = np.log(probabilities).astype("float32")[None, None, None]
    first, second = codec.buckets.centers[[10, 90]]
    np.testing.assert_allclose(codec.decode(logits, 1)[0, 0, 0], first / 4 + second * 3 / 4, rtol=1e-5)
    np.testing.assert_allclose(codec.decode(logits, 0.5)[0, 0, 0], first * 0.1 + second * 0.9, rtol=1e-5)
    np.testing.assert_allclose(codec.decode(logits, 0)[0, 0, 0], second)


def test_own_temperature_is_the_default():
    codec = BucketCodec(ab_112(), temperature=0.7)
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, 112)).astype("float32")
    np.testing.assert_array_equal(codec.decode(logits), codec.decode(logits, 0.7))


def test_regression_gives_back_what_it_took(photos):
    codec = RegressionCodec()
    _, target = codec.encode(photos)
    np.testing.assert_allclose(codec.decode(target), color.rgb_to_lab(photos)[..., 1:], atol=1e-4)


@pytest.mark.parametrize("codec", [BucketCodec(ab_313(), 5, 4.0, 0.5), RegressionCodec(110.0)])
def test_restored_bit_for_bit(codec):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(codec))
    assert again.get_config() == codec.get_config()


def test_encode_compiles(codec, photos):
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("compiled with TensorFlow here")
    codec.prepare()
    compiled = tensorflow.function(codec.encode, jit_compile=True)
    (l, target), (l_compiled, target_compiled) = codec.encode(photos), compiled(photos)
    np.testing.assert_allclose(l_compiled, l, rtol=1e-6)
    np.testing.assert_array_equal(target_compiled, target)


def test_user_mistakes_are_told(codec):
    with pytest.raises(ValueError, match="0 or more"):
        codec.decode(np.zeros((1, 1, 1, 112), "float32"), -1)
    with pytest.raises(ValueError, match="in 1..112"):
        BucketCodec(ab_112(), neighbors=0)
