import io

import keras
import numpy as np
import pytest
from PIL import Image

from rainbownet import color
from rainbownet.buckets import ab_112
from rainbownet.codecs import BucketCodec, RegressionCodec
from rainbownet.data.files import find_photos
from rainbownet.data.pipeline import middle_square, padded_square, squares, training_batches, validation_batches

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data compiles with TensorFlow")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Seven photos of one colour each, 24x16 to 24x22: a batch tells by its colours which photos it holds."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(7):
        Image.new("RGB", (24, 16 + i), (30 * i, 255 - 30 * i, 128)).save(folder / f"{i}.png")
    return find_photos(folder)


@pytest.fixture(scope="module")
def codec():
    return BucketCodec(ab_112())


def read(dataset, count):
    return [(np.asarray(l), np.asarray(target)) for l, target in dataset.take(count)]


def test_batches_hold_luminance_and_target_of_the_photos(photos, codec):
    (l, target), *_ = read(validation_batches(photos, codec, 16, 4), 1)
    rgb = np.stack([middle_square(photo.read(), 16) for photo in photos[:4]])
    assert l.shape == (4, 16, 16, 1) and target.shape == (4, 16, 16)
    np.testing.assert_allclose(l, color.luminance(rgb), atol=1e-3)
    np.testing.assert_array_equal(target, codec.buckets.assign(color.rgb_to_lab(rgb)[..., 1:]))


def test_each_pass_holds_every_photo_once_in_another_order(photos, codec):
    brightness = np.concatenate([l[:, 0, 0, 0] for l, _ in read(training_batches(photos, codec, 16, 7), 3)])
    first, second, third = brightness.reshape(3, 7)
    np.testing.assert_array_equal(np.sort(first), np.sort(second))
    assert (first != second).any() and (second != third).any()


@pytest.mark.parametrize("start", [1, 4])
def test_a_stream_begun_later_is_the_same_stream(photos, codec, start):
    whole = read(training_batches(photos, codec, 8, 3, seed=5), 6)
    rest = read(training_batches(photos, codec, 8, 3, seed=5, start=start), 6 - start)
    for (l, target), (l_again, target_again) in zip(whole[start:], rest, strict=True):
        np.testing.assert_array_equal(l, l_again)
        np.testing.assert_array_equal(target, target_again)


def test_another_seed_is_another_stream(photos, codec):
    one, other = (read(training_batches(photos, codec, 16, 7, seed=seed), 1)[0][0] for seed in (0, 1))
    assert (one != other).any()


def test_crops_and_flips_differ_from_pass_to_pass(tmp_path, codec):
    ramp = np.linspace(0, 255, 64).astype("uint8")
    Image.fromarray(np.repeat(np.tile(ramp, (16, 1))[..., None], 3, -1)).save(tmp_path / "ramp.png")
    batches = read(training_batches(find_photos(tmp_path), codec, 16, 1), 12)
    slopes = {np.sign(l[0, 0, -1, 0] - l[0, 0, 0, 0]) for l, _ in batches}
    assert slopes == {-1, 1}
    assert len({float(l.mean()) for l, _ in batches}) > 5


def test_embeddings_stay_with_their_photo(photos, codec):
    vectors = np.stack([np.asarray(color.luminance(middle_square(p.read(), 16))).mean((0, 1)) for p in photos])
    for inputs, _ in training_batches(photos, codec, 16, 4, embeddings=vectors).take(3):
        np.testing.assert_allclose(inputs["embedding"][:, 0], np.mean(inputs["l"], (1, 2, 3)), atol=1e-2)


def test_the_last_validation_batch_is_not_lost(photos, codec):
    data = validation_batches(photos, codec, 16, 4)
    assert [len(l) for l, _ in data] == [4, 3]
    assert int(data.cardinality()) == 2  # Keras warns of a pass whose end it cannot foresee


def test_regression_targets_are_scaled_ab(photos):
    (l, target), *_ = read(validation_batches(photos, RegressionCodec(100.0), 16, 2), 1)
    rgb = np.stack([middle_square(photo.read(), 16) for photo in photos[:2]])
    np.testing.assert_allclose(target * 100, color.rgb_to_lab(rgb)[..., 1:], atol=1e-2)


def test_the_middle_is_cut_out():
    picture = np.zeros((10, 30, 3), "uint8")
    picture[:, 10:20] = 255
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    assert (middle_square(stream.getvalue(), 10) == 255).all()


def test_targets_of_a_smaller_output_are_of_the_averaged_photo(tmp_path, codec):
    # Fields of 4x4 pixels, half red and half blue: of the one colour that their mean is.
    picture = np.zeros((16, 16, 3), "uint8")
    picture[::2], picture[1::2] = (200, 40, 40), (40, 40, 200)
    Image.fromarray(picture).save(tmp_path / "stripes.png")
    ((l, target),) = read(validation_batches(find_photos(tmp_path), codec, 16, 1, shrink=4), 1)
    assert l.shape == (1, 16, 16, 1) and target.shape == (1, 4, 4)
    mean = codec.buckets.assign(color.rgb_to_lab(np.uint8([120, 40, 120]))[1:])
    assert (target == int(mean)).all()
    np.testing.assert_allclose(l[0], color.luminance(picture), atol=1e-3)


def test_a_padded_square_holds_the_whole_photo_on_white():
    picture = np.zeros((10, 30, 3), "uint8")
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    square = padded_square(stream.getvalue(), 12)
    assert square.shape == (12, 12, 3)
    assert (square[4:8] == 0).all() and (square[:4] == 255).all() and (square[8:] == 255).all()


def test_the_frame_holds_for_training_validation_and_counting(photos, codec):
    # Photos of 24x16 and more, all darker than white, which the last row of a padded one is.
    for data in (
        training_batches(photos, codec, 16, 7, frame="pad"),
        validation_batches(photos, codec, 16, 7, frame="pad"),
    ):
        ((l, _),) = read(data, 1)
        np.testing.assert_allclose(l[:, -1], 100, atol=1e-2)
        assert (l[:, 8] < 99).all()
    counted = list(squares(photos, 16, "pad", batch=4))
    assert [len(rgb) for rgb in counted] == [4, 3] and (counted[0][:, -1] == 255).all()


def test_labels_stay_with_their_photo(photos, codec):
    for _, target in training_batches(photos, codec, 16, 4, labels=range(7)).take(3):
        # The photos' colours tell which they are: from green to red.
        rgb = np.uint8([(30 * i, 255 - 30 * i, 128) for i in np.asarray(target["class"])])
        expected = codec.buckets.assign(color.rgb_to_lab(rgb)[:, 1:])
        np.testing.assert_array_equal(np.asarray(target["color"])[:, 0, 0], expected)
