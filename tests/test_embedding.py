"""Embeddings: the gray photo that a network gets, the embedders, the cache."""

import hashlib
import json

import keras
import numpy as np
import pytest
import skimage.data
from skimage.color import rgb2lab

from rainbownet import color, embedding


@keras.saving.register_keras_serializable("tests")
class FakeEmbedder(embedding.Embedder):
    """Three numbers a photo, for the tests of what all embedders share."""

    size = (8, 6)
    outputs = 3

    def __init__(self, scale=1.0):
        self.scale = scale
        self.calls = 0

    def embed(self, images):
        self.calls += len(images)
        return (self.scale * images[:, :3, 0, 0] / 3).astype("float32")

    def weights_hash(self):
        return hashlib.sha256(str(self.scale).encode()).hexdigest()

    def get_config(self):
        return {"scale": self.scale}


class Photo:
    def __init__(self, data):
        self.data = data

    def read(self):
        return self.data


def luminance(data):
    """A photo's luminance from its bytes: here the bytes are the seed of a random plane."""
    return np.random.default_rng(list(data)).uniform(0, 100, (20, 30, 1)).astype("float32")


def rebuilt(embedder):
    """The embedder as a model's file restores it."""
    config = json.dumps(keras.saving.serialize_keras_object(embedder))
    return keras.saving.deserialize_keras_object(json.loads(config))


PHOTOS = [Photo(f"photo {number}".encode()) for number in range(5)]


def test_gray_photo_has_the_luminance_it_was_made_of():
    for l in (0.0, 3.0, 8.0, 53.585, 100.0):
        gray = embedding.gray_photo(np.full((40, 30), l), (10, 20))
        assert gray.shape == (10, 20, 3) and gray.dtype == np.float32
        assert np.all(gray == gray[..., :1])
        np.testing.assert_allclose(rgb2lab(gray)[..., 0], l, atol=0.02)


def test_the_gray_of_l_53_585_is_128_of_255():
    # IEC 61966-2-1: 128 / 255 is 0.21586 in linear light, of which L is 116 * 0.21586^(1/3) - 16 = 53.585.
    gray = embedding.gray_photo(np.full((4, 4), 53.585), (4, 4))
    np.testing.assert_allclose(gray * 255, 128, atol=0.02)


def test_shrinking_a_fine_pattern_gives_its_mean_not_one_of_its_lines():
    lines = np.zeros((400, 400), "float32")
    lines[::2] = 100
    gray = embedding.gray_photo(lines, (20, 20))
    np.testing.assert_allclose(rgb2lab(gray)[..., 0], 50, atol=3)


def test_a_vector_does_not_depend_on_the_photos_beside_it():
    embedder = FakeEmbedder()
    batch = np.stack([luminance(photo.read()) for photo in PHOTOS])
    together = embedder(batch)
    assert together.shape == (5, 3) and together.dtype == np.float32
    for number in range(5):
        np.testing.assert_array_equal(together[number], embedder(batch[number : number + 1])[0])


def test_no_photos_give_no_vectors():
    assert FakeEmbedder()(np.zeros((0, 4, 4, 1))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="batch, height, width, 1"):
        FakeEmbedder()(np.zeros(shape))


def test_identity_follows_the_numbers():
    assert FakeEmbedder().identity == FakeEmbedder().identity
    assert FakeEmbedder().identity != FakeEmbedder(2.0).identity


def test_an_embedder_is_built_again_from_its_configuration():
    assert rebuilt(FakeEmbedder(2.0)).identity == FakeEmbedder(2.0).identity


def test_each_photo_is_embedded_once(tmp_path):
    embedder = FakeEmbedder()
    fresh = np.concatenate([embedder(luminance(photo.read())[None]) for photo in PHOTOS])
    embedder.calls = 0
    first = embedding.EmbeddingCache(tmp_path / "new", embedder).embed([*PHOTOS, PHOTOS[0]], luminance, progress=False)
    assert embedder.calls == 5
    cache = embedding.EmbeddingCache(tmp_path / "new", embedder)
    second = cache.embed(PHOTOS[::-1], luminance, progress=False)
    assert embedder.calls == 5 and len(cache) == 5
    np.testing.assert_array_equal(first, np.concatenate([fresh, fresh[:1]]))
    np.testing.assert_array_equal(second, fresh[::-1])


def test_a_changed_photo_gets_a_new_vector(tmp_path):
    cache = embedding.EmbeddingCache(tmp_path, FakeEmbedder())
    before, after = cache.embed([Photo(b"before"), Photo(b"after")], luminance, progress=False)
    assert np.any(before != after)


def test_an_interrupted_pass_keeps_what_it_computed(tmp_path):
    embedder = FakeEmbedder()

    def interrupted(data):
        if data == b"photo 3":
            raise KeyboardInterrupt
        return luminance(data)

    with pytest.raises(KeyboardInterrupt):
        embedding.EmbeddingCache(tmp_path, embedder).embed(PHOTOS, interrupted, progress=False)
    embedding.EmbeddingCache(tmp_path, embedder).embed(PHOTOS, luminance, progress=False)
    assert embedder.calls == 5


def test_a_record_cut_short_or_garbled_is_computed_again(tmp_path):
    embedder = FakeEmbedder()
    cache = embedding.EmbeddingCache(tmp_path, embedder)
    expected = cache.embed(PHOTOS, luminance, progress=False)
    data = bytearray(cache.path.read_bytes())
    assert len(data) == 5 * (32 + 3 * 4 + 4)
    data[35] ^= 1  # within the first photo's vector
    cache.path.write_bytes(data[:-7])  # the last photo's checksum is gone
    damaged = embedding.EmbeddingCache(tmp_path, embedder)
    assert len(damaged) == 3
    np.testing.assert_array_equal(damaged.embed(PHOTOS, luminance, progress=False), expected)
    assert embedder.calls == 7
    mended = embedding.EmbeddingCache(tmp_path, embedder)
    np.testing.assert_array_equal(mended.embed(PHOTOS, luminance, progress=False), expected)
    assert embedder.calls == 7


def test_embedders_do_not_share_a_file(tmp_path):
    one, two = (embedding.EmbeddingCache(tmp_path, FakeEmbedder(scale)) for scale in (1.0, 2.0))
    np.testing.assert_allclose(
        2 * one.embed(PHOTOS, luminance, progress=False), two.embed(PHOTOS, luminance, progress=False), rtol=1e-6
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_to_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    cache = embedding.EmbeddingCache(tmp_path / "other", FakeEmbedder())
    cache.path = tmp_path / "file" / "x.vectors"
    with pytest.raises(ValueError, match="choose a folder"):
        cache.embed(PHOTOS, luminance, progress=False)


def keras_module(folder, size):
    """A SavedModel as Keras exports it: 5 numbers from images of a size (or of any)."""
    images = keras.Input((*size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, keras.layers.Dense(5)(pooled)).export(folder, verbose=False)
    return folder


def test_hub_embedder_takes_a_keras_export_and_its_size(tmp_path):
    folder = keras_module(tmp_path / "module", (16, 24))
    embedder = embedding.HubEmbedder(folder)
    assert embedder.size == (16, 24) and embedder.outputs == 5
    l = np.random.default_rng(0).uniform(0, 100, (2, 50, 40, 1))
    vectors = embedder(l)
    assert vectors.shape == (2, 5) and vectors.dtype == np.float32
    restored = rebuilt(embedder)
    assert restored.identity == embedder.identity
    np.testing.assert_array_equal(restored(l), vectors)


def test_hub_embedder_of_a_module_for_any_size_takes_299_or_what_is_asked(tmp_path):
    folder = keras_module(tmp_path / "module", (None, None))
    assert embedding.HubEmbedder(folder).size == (299, 299)
    assert embedding.HubEmbedder(folder, size=(32, 48)).size == (32, 48)
    assert embedding.HubEmbedder(folder).identity != embedding.HubEmbedder(folder, size=(32, 48)).identity


def test_hub_embedder_calls_a_module_without_signatures(tmp_path):
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=(1, 2))

    tf.saved_model.save(Module(), str(tmp_path / "module"))
    embedder = embedding.HubEmbedder(tmp_path / "module")
    # L 50 is the gray 118.9 of 255.
    np.testing.assert_allclose(embedder(np.full((1, 10, 10, 1), 50.0)) * 255, 118.9, atol=0.1)


def test_hub_embedder_refuses_what_gives_no_vector(tmp_path):
    images = keras.Input((8, 8, 3))
    keras.Model(images, keras.layers.Conv2D(2, 1)(images)).export(tmp_path / "module", verbose=False)
    with pytest.raises(ValueError, match=r"must give a vector.*\(1, 8, 8, 2\)"):
        embedding.HubEmbedder(tmp_path / "module")


def test_hub_embedder_refuses_what_takes_no_images(tmp_path):
    numbers = keras.Input((4,))
    keras.Model(numbers, keras.layers.Dense(2)(numbers)).export(tmp_path / "module", verbose=False)
    with pytest.raises(ValueError, match="must take one input, images"):
        embedding.HubEmbedder(tmp_path / "module")


def test_hub_embedder_tells_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        embedding.HubEmbedder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="saved_model.pb"):
        embedding.HubEmbedder(tmp_path)
    with pytest.raises(FileNotFoundError, match="could not be downloaded"):
        embedding.HubEmbedder("https://localhost:1/module")


def test_an_embedder_is_found_by_its_folder_and_nothing_by_a_wrong_name(tmp_path):
    found = embedding.get(str(keras_module(tmp_path / "module", (12, 12))))
    assert isinstance(found, embedding.HubEmbedder) and found.size == (12, 12)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        embedding.get(str(tmp_path / "nothing"))


def test_a_missing_weights_file_is_told_before_anything_is_built(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.h5 is no file"):
        embedding.InceptionResNetV2Embedder(weights=tmp_path / "nowhere.h5")


def test_a_failed_download_names_the_file_its_folder_and_its_hash(tmp_path, monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on the weights: None -- no route to host")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "InceptionResNetV2", offline)
    with pytest.raises(FileNotFoundError) as raised:
        embedding.InceptionResNetV2Embedder()
    sentence = str(raised.value)
    assert "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels.h5" in sentence
    assert "e693bd0210a403b3192acc6073ad2e96" in sentence and str(tmp_path / "models") in sentence


@pytest.fixture(scope="module")
def inception():
    """InceptionResNetV2 with random weights, built while the policy asks for half precision."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        embedder = embedding.InceptionResNetV2Embedder(weights=None)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    return embedder


def test_inception_resnet_v2_gives_1000_probabilities(inception):
    assert inception.network.count_params() == 55_873_736
    assert not inception.network.trainable_variables
    assert inception.network.compute_dtype == "float32"
    l = np.random.default_rng(0).uniform(0, 100, (2, 40, 30, 1))
    vectors = inception(l)
    assert vectors.shape == (2, 1000) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(inception(l[1:]), vectors[1:])


@pytest.mark.slow
def test_inception_resnet_v2_from_a_weights_file(inception, tmp_path):
    inception.network.save_weights(tmp_path / "inception.weights.h5")
    path = str(tmp_path / "inception.weights.h5")
    restored = rebuilt(embedding.InceptionResNetV2Embedder(path))
    assert restored.get_config() == {"weights": path, "activation": "softmax"}
    assert restored.identity == inception.identity
    l = np.random.default_rng(0).uniform(0, 100, (1, 40, 30, 1))
    np.testing.assert_array_equal(restored(l), inception(l))

    (tmp_path / "other.h5").write_text("no weights")
    with pytest.raises(ValueError, match="does not hold the weights of InceptionResNetV2"):
        embedding.InceptionResNetV2Embedder(weights=tmp_path / "other.h5")


def test_efficientnet_lite0_needs_no_download_and_knows_an_espresso():
    embedder = embedding.get("efficientnet_lite0")
    square = skimage.data.coffee()[:, 100:500]
    vector = embedder(keras.ops.convert_to_numpy(color.luminance(square))[None])
    assert vector.shape == (1, 1000) and vector.dtype == np.float32
    assert vector[0].argmax() == 967 and abs(vector.sum() - 1) < 1e-5
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(embedder))
    assert again.identity == embedder.identity
