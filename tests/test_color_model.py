import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import color_model, models
from rainbownet.buckets import ab_112
from rainbownet.codecs import BucketCodec
from rainbownet.color_model import ColorModel
from rainbownet.priors import ColorPrior


def tiny(network=None, **options):
    network = network or models.rainbownet_plain(filters=2)
    return ColorModel(network, BucketCodec(ab_112()), size=(32, 32), stride=8, **options)


@pytest.fixture(name="l")
def luminance():
    return np.random.default_rng(0).uniform(0, 100, (2, 32, 40, 1)).astype("float32")


def test_a_file_holds_all_that_coloring_needs(tmp_path, l):
    model = tiny(prior=ColorPrior(np.arange(112)))
    model.save(tmp_path / "model.keras")
    again = color_model.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_chroma(l), model.predict_chroma(l))
    np.testing.assert_array_equal(again.prior.counts, np.arange(112))
    np.testing.assert_array_equal(again.codec.buckets.centers, model.codec.buckets.centers)
    assert (again.size, again.stride, again.fixed_size, again.needs_embedding) == ((32, 32), 8, False, False)


def test_temperature_reaches_the_codec(l):
    model = tiny()
    logits = model.network(l)
    np.testing.assert_allclose(model.predict_chroma(l), model.codec.decode(logits, 0.38), atol=1e-4)
    np.testing.assert_allclose(model.predict_chroma(l, temperature=1), model.codec.decode(logits, 1), atol=1e-4)


def test_it_predicts_the_same_before_and_after_it_compiles(l):
    model = tiny()
    first, small = np.asarray(model.predict_chroma(l)), np.asarray(model.predict_chroma(l[:1, :, :32]))
    assert model.network.predict_function is None
    for _ in range(color_model._UNCOMPILED_CALLS):
        model.predict_chroma(l)
    assert model.network.predict_function is not None
    np.testing.assert_allclose(model.predict_chroma(l), first, atol=1e-3)
    # Of another size too, which the compiled one has not seen.
    np.testing.assert_allclose(model.predict_chroma(l[:1, :, :32]), small, atol=1e-3)


def test_fusion_asks_for_its_embedding(l):
    model = tiny(models.rainbownet_fusion(filters=2, embedding=5))
    assert model.needs_embedding
    with pytest.raises(ValueError, match="embedding of the photo"):
        model.predict_chroma(l)
    one, other = model.predict_chroma(l, np.zeros((2, 5))), model.predict_chroma(l, np.full((2, 5), 9.0))
    assert one.shape == (2, 32, 40, 2)
    assert np.abs(ops.convert_to_numpy(one - other)).max() > 1e-3


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="divisible by 8; received 30x32"):
        tiny().predict_chroma(np.zeros((1, 30, 32, 1), "float32"))
    fixed = tiny(models.rainbownet_plain((32, 32, 1), filters=2))
    with pytest.raises(ValueError, match="takes 32x32 only; received 40x32"):
        fixed.predict_chroma(np.zeros((1, 40, 32, 1), "float32"))


def test_network_and_codec_that_disagree_are_refused():
    with pytest.raises(ValueError, match="gives 100 numbers a pixel, but its codec decodes 112"):
        tiny(models.rainbownet_plain(outputs=100, filters=2))


def test_mixed_precision_is_copied_into_float32(l):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = tiny(models.rainbownet_plain(filters=2))
    finally:
        keras.config.set_dtype_policy(policy)
    copy = color_model.in_float32(mixed)
    assert {layer.compute_dtype for layer in copy.network.layers} == {"float32"}
    for a, b in zip(copy.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_keeps_how_photos_are_colored_by_default(tmp_path):
    model = tiny(models.rainbownet_plain(filters=2))
    assert model.defaults == {}
    model.defaults = {"flip": True, "scales": [1.0, 1.5]}
    color_model.in_float32(model).save(tmp_path / "model.keras")
    assert color_model.load(tmp_path / "model.keras").defaults == {"flip": True, "scales": [1.0, 1.5]}


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        color_model.load(tmp_path / "nothing.keras")
    text = tmp_path / "text.keras"
    text.write_text("no model")
    with pytest.raises(ValueError, match=r"text\.keras cannot be read as a model"):
        color_model.load(text)
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(other)
    with pytest.raises(ValueError, match="holds a Sequential, not a model of rainbownet"):
        color_model.load(other)


def test_a_classifier_beside_the_colors_is_no_part_of_coloring(l):
    network = models.colornet(outputs=112, classes=3, global_size=32, filters=2)
    assert tiny(network).predict_chroma(l).shape == (2, 32, 40, 2)


def test_a_smaller_output_gives_smaller_chroma(l):
    assert tiny(models.eccv16(outputs=112, filters=2)).predict_chroma(l).shape == (2, 8, 10, 2)
