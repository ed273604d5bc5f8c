import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import color
from rainbownet.buckets import Palette, ab_112, ab_313
from rainbownet.codecs import BucketCodec, ClusteredRGB, FrequentUV, PaletteCodec, RegressionCodec, UVCodec

# What a codec of each kind may look like; of the buckets, one is gray.
UV = UVCodec(Palette([[0, 0], [0.1, -0.2], [-0.3, 0.1], [0.05, 0.3]]), temperature=0.5)
PALETTE = Palette([[0, 0, 0], [1, 1, 1], [0.8, 0.1, 0.2], [0.1, 0.3, 0.9], [0.2, 0.7, 0.1]])
RGB = PaletteCodec(PALETTE, weights="rec601")
CODECS = [
    BucketCodec(ab_313(), 5, 4.0, 0.5),
    RegressionCodec(110.0),
    RegressionCodec(255.0, -128.0),
    UV,
    RGB,
    PaletteCodec(PALETTE, ordinal=True, temperature=0.3),
]


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


@pytest.mark.parametrize("codec", CODECS)
def test_restored_bit_for_bit(codec):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(codec))
    assert again.get_config() == codec.get_config()


def test_colornets_targets_are_a_sigmoids(photos):
    """(ab + 128) / 255, from 0 to 1."""
    _, target = RegressionCodec(255.0, -128.0).encode(photos)
    ab = ops.convert_to_numpy(color.rgb_to_lab(photos))[..., 1:]
    np.testing.assert_allclose(target, (ab + 128) / 255, atol=1e-5)
    np.testing.assert_allclose(RegressionCodec(255.0, -128.0).decode(target), ab, atol=1e-3)


@pytest.mark.parametrize("codec", [UV, RGB, PaletteCodec(PALETTE)])
def test_of_a_gray_photo_all_see_the_same_in_both_ways(codec):
    gray = np.arange(256, dtype="uint8").reshape(1, 16, 16, 1).repeat(3, -1)
    x, _ = codec.encode(gray / np.float32(255))
    np.testing.assert_allclose(codec.input_from_l(color.luminance(gray)), x, atol=1e-4)


@pytest.mark.parametrize("codec", [UV, RGB])
def test_tables_of_other_spaces_agree_with_the_formulas(codec, photos):
    x, target = (ops.convert_to_numpy(value) for value in codec.encode(photos))
    x_formula, target_formula = (ops.convert_to_numpy(value) for value in codec.encode(photos / np.float32(255)))
    np.testing.assert_allclose(x, x_formula, atol=1e-4)
    np.testing.assert_array_equal(target, target_formula)
    np.testing.assert_array_equal(codec.classify(photos), target)


def test_the_documents_gray_is_its_formula():
    """0.21 R + 0.72 G + 0.007 B over 255, which leaves white at 0.937."""
    x, _ = PaletteCodec(PALETTE).encode(np.float32([[[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]]]))
    np.testing.assert_allclose(x[0, 0, :, 0], [0.21, 0.72, 0.007, 0.937], atol=1e-6)


def test_uv_becomes_the_ab_of_that_luminance(photos):
    """Of a pixel whose gray is known to be its Y, UV gives back the very colour."""
    rgb = photos / np.float32(255)
    yuv = ops.convert_to_numpy(color.rgb_to_yuv(rgb))
    l_of_y = color.luminance(yuv[..., :1].repeat(3, -1))
    # Logits so sure of one bin that the mean is its center.
    codec = UVCodec(Palette(yuv[0, 0, :2, 1:]))
    logits = np.float32([[[[1000, 0], [0, 1000]]]])
    ab = codec.decode(logits, 1, np.asarray(l_of_y)[:1, :1, :2])
    np.testing.assert_allclose(ab[0, 0], color.rgb_to_lab(rgb[0, 0, :2])[:, 1:], atol=0.02)
    with pytest.raises(ValueError, match="give `l` to decode"):
        codec.decode(logits)


def test_uv_of_a_smaller_output_takes_the_averaged_luminance():
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, 4)).astype("float32")
    l = np.float32([20, 40, 60, 80]).reshape(1, 2, 2, 1)
    fine = l.repeat(4, 1).repeat(4, 2) + np.tile(np.float32([-3, 3]), 4).reshape(1, 1, 8, 1)
    np.testing.assert_allclose(UV.decode(logits, l=fine), UV.decode(logits, l=l), atol=1e-3)


@pytest.mark.parametrize(
    ("colors", "left"),
    [
        ([(20, 40), (-10, -70)], 0.0),  # orange or blue: the violet between them is neither
        ([(20, 20), (20, 22)], 1.0),  # one orange or another
        ([(5, -40), (0, -40)], 1.0),  # one blue or another: the sky
        ([(10, 14), (-10, 10)], 1.0),  # orange or green: a yellow, which is quiet by itself
    ],
)
def test_calm_leaves_cool_colors_only_where_the_distribution_agrees(colors, left):
    codec = BucketCodec(Palette(colors), temperature=1.0)
    logits = np.zeros((1, 1, 1, 2), "float32")
    loud, half, calm = (ops.convert_to_numpy(codec.decode(logits, calm=calm))[0, 0, 0] for calm in (0, 0.5, 1))
    np.testing.assert_allclose(loud, codec.colors(logits)[0, 0, 0])
    np.testing.assert_allclose(calm, left * loud, atol=1e-4)
    np.testing.assert_allclose(half, (1 + left) / 2 * loud, atol=1e-4)
    np.testing.assert_allclose(codec.decode(logits, 0, calm=1), codec.decode(logits, 0), atol=1e-4)


def _at(hue):
    return np.array([np.cos(np.radians(hue)), np.sin(np.radians(hue))])


@pytest.mark.parametrize(
    ("hue", "agreement", "turned", "left"),
    [(255, 0.3, 255, 0), (255, 0.45, 255, 0.5), (255, 0.6, 255, 1), (180, 0.45, 180, 0.5), (165, 0.15, 165, 0.5),
     (150, 0.1, 150, 1), (300, 0.45, 300, 0.5), (315, 0.3, 35, 0.5), (315, 0.45, 31.6667, 1), (315, 0.7, 15, 1),
     (330, 0.3, 37.6667, 0.5), (0, 0.15, 43, 0), (0, 0.3, 43, 0.5), (0, 0.55, 33, 1), (0, 0.7, 23, 1),
     (20, 0.3, 49, 0.5), (45, 0.1, 63, 1), (45, 0.55, 54, 1), (45, 0.7, 45, 1), (65, 0.4, 75, 1), (90, 0.1, 90, 1)],
)  # fmt: skip
def test_calm_goes_by_hue_and_by_agreement(hue, agreement, turned, left):
    """Of m + v and m - v, v at a right angle to m, the mean's length is |m| and the mean of lengths |m + v|: 15."""
    across = np.sqrt(1 - agreement**2) * _at(hue + 90)
    codec = BucketCodec(Palette(15 * np.stack([agreement * _at(hue) + across, agreement * _at(hue) - across])))
    ab = codec.decode(np.zeros((1, 1, 1, 2), "float32"), 1.0, calm=1)
    np.testing.assert_allclose(ab[0, 0, 0], left * 15 * agreement * _at(turned), atol=1e-3)


@pytest.mark.parametrize(
    ("hue", "chroma", "calm", "turned", "left"),
    [(40, 65, 1, 40, 58.3333), (30, 65, 1, 32, 47.6667), (45, 65, 1, 45, 65), (120, 65, 1, 120, 65),
     (285, 65, 1, 285, 65), (300, 65, 1, 300, 45), (300, 25, 1, 300, 25), (300, 65, 0.5, 300, 55),
     (300, 65, 0, 300, 65), (315, 65, 1, 15, 25), (0, 65, 1, 23, 36.4133),
     (0, 65, 0.5, 11.5, 45), (0, 65, 0, 0, 65), (0, 15, 1, 23, 15)],
)  # fmt: skip
def test_calm_turns_magenta_to_red_and_takes_of_strong_violet_and_red(hue, chroma, calm, turned, left):
    codec = BucketCodec(Palette(chroma * np.stack([_at(hue), _at(hue)])))
    ab = codec.decode(np.zeros((1, 1, 1, 2), "float32"), 1.0, calm=calm)
    np.testing.assert_allclose(ab[0, 0, 0], left * _at(turned), rtol=1e-4, atol=1e-3)


def test_calm_changes_as_slowly_as_the_hue():
    """Rounding errors turn the hue a little, in an exported model otherwise than here."""
    around = np.radians(np.arange(0, 360, 45))
    codec = BucketCodec(Palette(25 * np.stack([np.cos(around), np.sin(around)], axis=-1)))
    hues = np.radians(np.linspace(0, 360, 3601))
    logits = np.cos(hues[:, None] - around).astype("float32")[None, None]
    loud, calm = (ops.convert_to_numpy(codec.decode(logits, 1.0, calm=calm))[0, 0] for calm in (0, 1))
    assert np.ptp(np.linalg.norm(calm, axis=-1) / np.linalg.norm(loud, axis=-1)) > 0.5
    assert np.linalg.norm(np.diff(loud, axis=0), axis=-1).max() < 0.03
    assert np.linalg.norm(np.diff(calm, axis=0), axis=-1).max() < 0.3


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_calm_never_adds_color_and_turns_none_from_yellow_to_violet(codec):
    draw = np.random.default_rng(1)
    logits = draw.normal(scale=4, size=(1, 8, 8, codec.outputs)).astype("float32")
    l = np.full((1, 8, 8, 1), 50, "float32")
    loud, calm = (ops.convert_to_numpy(codec.decode(logits, 1.0, l, calm)) for calm in (0, 1))
    assert (np.linalg.norm(calm, axis=-1) < np.linalg.norm(loud, axis=-1) + 1e-3).all()
    hue = np.degrees(np.arctan2(loud[..., 1], loud[..., 0])) % 360
    left = (hue > 90) & (hue < 300)
    assert left.any()
    share = np.sum(calm * loud, axis=-1) / np.maximum(np.sum(loud * loud, axis=-1), 1e-9)
    np.testing.assert_allclose(calm[left], (share[..., None] * loud)[left], atol=1e-3)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_calm_is_traced_as_it_is_computed(codec):
    """As in an exported model, in whose graph nothing is a number yet."""
    logits = np.random.default_rng(2).normal(size=(1, 2, 2, codec.outputs)).astype("float32")
    l = np.full((1, 2, 2, 1), 50, "float32")

    def decode(logits):
        return codec.decode(logits, 1.0, l, 1)

    if keras.backend.backend() == "jax":
        import jax

        traced = jax.jit(decode)(logits)
    else:
        import tensorflow as tf

        traced = tf.function(decode)(ops.convert_to_tensor(logits))
    np.testing.assert_allclose(traced, decode(logits), atol=1e-4)


def test_a_palette_gives_its_own_colors_and_their_ab():
    logits = 100 * np.eye(5, dtype="float32")[None, None]
    np.testing.assert_allclose(RGB.colors(logits)[0, 0], PALETTE.centers)
    np.testing.assert_allclose(RGB.decode(logits)[0, 0], color.rgb_to_lab(PALETTE.centers)[:, 1:], atol=1e-4)
    # At temperature 1, the mean is taken in RGB: of black and white, gray.
    even = np.float32([[[[0, 0, -1000, -1000, -1000]]]])
    np.testing.assert_allclose(RGB.colors(even, 1)[0, 0, 0], [0.5, 0.5, 0.5], atol=1e-6)


def test_an_ordinal_palette_means_the_colors_by_their_place():
    """int(4 sigmoid(z)) for 5 colours: 0 below logit(1/4), 1 from there to 0, ..., 3 above logit(3/4)."""
    codec = PaletteCodec(PALETTE, ordinal=True)
    assert codec.outputs == 1
    z = np.float32([-9, -1.2, -1.0, -0.1, 0.1, 1.0, 1.2, 9]).reshape(1, 1, 8, 1)
    np.testing.assert_allclose(codec.colors(z)[0, 0], PALETTE.centers[[0, 0, 1, 1, 2, 2, 3, 3]])


def test_the_most_frequent_bins_are_chosen_in_a_stream():
    # Three colours, 5, 3 and 2 times in each of four photos; and a different one in each photo.
    colors = np.float32([[0.9, 0.2, 0.1], [0.1, 0.6, 0.2], [0.5, 0.5, 0.5]])
    rows = np.repeat(colors, [5, 3, 2], axis=0)
    photos = [np.concatenate([rows, np.float32([[0.1, 0.2 * i, 0.9]])]).reshape(1, 1, 11, 3) for i in range(4)]
    fit = FrequentUV(3)
    centers = fit.fit(np.uint8(photo * 255) for photo in photos).buckets.centers
    uv = ops.convert_to_numpy(color.rgb_to_yuv(np.uint8(colors * 255)))[:, 1:]
    # Each within its cell, whose side is a 64th of the range of V.
    assert np.abs(centers - uv).max() <= 1.23 / 64 / 2 + 1e-6
    np.testing.assert_allclose(centers[2], 0, atol=1e-7)
    with pytest.raises(ValueError, match="fall into 7 cells only"):
        FrequentUV(8).fit(np.uint8(photo * 255) for photo in photos)


def test_a_palette_is_clustered_in_a_stream(monkeypatch):
    from rainbownet.buckets import ColorClusters

    monkeypatch.setattr(ColorClusters, "_SAMPLE", 500)
    rng = np.random.default_rng(0)
    true = np.float32([[220, 40, 40], [40, 200, 60], [40, 60, 210], [230, 220, 60]])
    stream = (np.uint8(true[rng.integers(0, 4, (2, 8, 8))] + rng.normal(0, 5, (2, 8, 8, 3))) for _ in range(20))
    centers = ClusteredRGB(4).fit(stream).buckets.centers * 255
    distances = np.linalg.norm(centers[:, None] - true, axis=-1)
    assert sorted(distances.argmin(1)) == [0, 1, 2, 3] and distances.min(1).max() < 3
    with pytest.raises(ValueError, match="2 different colors only"):
        ClusteredRGB(3).fit([np.uint8([[[[0, 0, 0], [255, 255, 255]]]])])


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
    with pytest.raises(ValueError, match="document, rec601; received 'mean'"):
        ClusteredRGB(weights="mean")
