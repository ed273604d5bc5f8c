"""The colorizer: luminance kept, chroma enlarged, any photo, any size."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from rainbownet import color, colorizer, systems
from rainbownet.buckets import Palette
from rainbownet.codecs import BucketCodec
from rainbownet.color_model import ColorModel
from rainbownet.colorizer import Colorizer, Frame, SmallChroma, gray_copy
from tests.data.shared import ADOBE_RGB


class Painter:
    """Stands in for a `ColorModel`: its chroma is a function of the place in the network's output.

    Args:
        paint: function from (y, x), both 0..1 over the network's input, to (a, b).
        shrink: how much smaller than its input the network's output is.
    """

    size, stride, name = (32, 32), 8, "painter"
    needs_embedding, fixed_size, default_temperature, defaults = False, False, None, {}

    def __init__(self, paint=lambda y, x: (20 + 0 * y, -30 + 0 * x), shrink=1):
        self.paint, self.shrink, self.inputs = paint, shrink, []

    def predict_chroma(self, l, embedding=None, temperature=None, calm=0.0):
        self.inputs.append(l)
        height, width = (side // self.shrink for side in l.shape[1:3])
        places = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
        ab = np.stack(self.paint(*places), axis=-1).astype("float32")
        return ops.convert_to_tensor(np.broadcast_to(ab, (len(l), *ab.shape)))


@pytest.fixture(scope="module")
def model():
    """A toy model whose colours are vivid enough to be seen."""
    model = systems.get("rainbownet", size=32, filters=2).model()
    logits = model.network.get_layer("logits")
    logits.kernel.assign(logits.kernel * 20)
    return model


@pytest.fixture
def photo():
    """(45, 70, 3) uint8: smooth, in colour."""
    y, x = np.mgrid[:45, :70]
    return np.stack([y * 5, x * 3, 255 - 2 * y - 2 * x], axis=-1).astype("uint8")


def lab(rgb):
    return ops.convert_to_numpy(color.rgb_to_lab(np.asarray(rgb)))


def test_without_chroma_every_gray_comes_back_exactly():
    gray = np.arange(256, dtype="uint8").reshape(16, 16)
    for chroma in (0, 1e-20):
        colored = Colorizer(Painter(lambda y, x, c=chroma: (y * 0 + c, x * 0 + c)))(gray)
        np.testing.assert_array_equal(colored, np.repeat(gray[..., None], 3, axis=-1))


def test_without_saturation_16_bits_come_back_exactly():
    gray = np.arange(65536, dtype="uint16").reshape(256, 256)
    colored = Colorizer(Painter())(gray, saturation=0)
    np.testing.assert_array_equal(colored, np.repeat(gray[..., None], 3, axis=-1))


def join(gray, ab):
    """Joins a photo with chroma of its own size."""
    return colorizer._join(gray, SmallChroma(ab, np.zeros((*ab.shape[:2], 1), "float32"), Frame(*[gray.shape] * 3)))


def test_pixels_are_those_of_lab_to_rgb():
    # Every gray with every hue, and chroma from none to far beyond the gamut.
    gray = np.repeat(np.arange(256, dtype="uint8")[:, None], 500, axis=1)
    l = lab(np.repeat(gray[..., None], 3, axis=-1))[..., :1]
    random = np.random.default_rng(0)
    angle, chroma = random.uniform(0, 2 * np.pi, gray.shape), random.uniform(0, 120, gray.shape)
    ab = np.stack([chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1).astype("float32")
    expected = 255 * ops.convert_to_numpy(color.lab_to_rgb(np.concatenate([l, ab], axis=-1)))
    colored = join(gray, ab)
    # Inside the gamut nothing but rounding is left; outside, a little less exact a search for its border.
    inside = ops.convert_to_numpy(color.in_gamut(np.concatenate([l, ab], axis=-1)))
    assert np.abs(colored - expected)[inside].max() < 0.53
    assert np.linalg.norm(lab(colored) - lab(expected / 255), axis=-1).max() < 1.2  # rounding alone gives 0.8


def test_16_bit_pixels_are_those_of_lab_to_rgb():
    gray = np.repeat(np.arange(0, 65536, 771, dtype="uint16")[:, None], 20, axis=1)
    ab = np.full((*gray.shape, 2), (6, -4), "float32")
    l = lab(np.repeat(gray[..., None] / np.float32(65535), 3, axis=-1))[..., :1]
    expected = 65535 * ops.convert_to_numpy(color.lab_to_rgb(np.concatenate([l, ab], axis=-1)))
    difference = np.abs(join(gray, ab) - expected)
    inside = ops.convert_to_numpy(color.in_gamut(np.concatenate([l, ab], axis=-1)))
    assert difference[inside].max() < 4
    assert difference.max() < 400  # 1.6 levels of 255


def test_colors_beyond_the_gamut_go_where_fit_to_gamut_brings_them():
    random = np.random.default_rng(0)
    l, hue = random.uniform(2, 98, 4000).astype("float32"), random.uniform(-np.pi, np.pi, 4000)
    far = np.stack([l, 130 * np.cos(hue), 130 * np.sin(hue)], axis=-1).astype("float32")
    _, a, b, _ = colorizer._fit_to_gamut(*far.T, colorizer._f_inverse((l + 16) / 116))
    fitted = ops.convert_to_numpy(color.fit_to_gamut(far))
    np.testing.assert_allclose(np.hypot(a, b), np.hypot(fitted[:, 1], fitted[:, 2]), atol=130 / 250)


def test_the_photo_keeps_its_own_luminance(photo):
    colored = Colorizer(Painter(lambda y, x: (20 * y - 10, 20 * x - 10)))(photo)
    assert colored.shape == photo.shape and colored.dtype == np.uint8
    assert np.abs(lab(colored)[..., 0] - lab(photo)[..., 0]).max() < 0.8


def test_chroma_is_enlarged_smoothly_and_lies_where_the_network_put_it():
    gray = np.full((200, 300), 140, "uint8")
    for shrink in (1, 4):
        ab = lab(Colorizer(Painter(lambda y, x: (40 * y - 20, 40 * x - 20), shrink))(gray))[..., 1:]
        # Inside of the outermost pixels of the network, the ramp is continued to the photo's pixels (x is padded to
        # a multiple of 8: 48 of 300 pixels become 32 x 48 exactly).
        y, x = (np.arange(200) + 0.5) / 200, (np.arange(300) + 0.5) / 300
        inner = slice(20, -20)
        np.testing.assert_allclose(ab[inner, 150, 0], (40 * y - 20)[inner], atol=0.7)
        np.testing.assert_allclose(ab[100, inner, 1], (40 * x - 20)[inner], atol=0.7)


def test_padding_is_cropped_and_nothing_is_squashed():
    # 100 x 150 becomes 32 x 48; 100 x 170 becomes 32 x 54, padded to 56: a mark at the right end of the photo is 54/56
    # of the way in the network's input.
    gray = np.full((100, 170), 140, "uint8")
    painter = Painter(lambda y, x: (0 * y, 56 * x))
    b = lab(Colorizer(painter)(gray))[50, :, 2]
    assert painter.inputs[0].shape == (1, 32, 56, 1)
    np.testing.assert_allclose(b[10:160:50], 54 * (np.arange(170)[10:160:50] + 0.5) / 170, atol=0.7)


def test_luminance_is_shrunk_by_area():
    random = np.random.default_rng(0)
    gray = random.integers(0, 256, (96, 128), dtype="uint8")
    l = lab(np.repeat(gray[..., None], 3, axis=-1))[..., 0]
    frame = Frame((96, 128), (32, 32), (32, 32))
    expected = l.reshape(32, 3, 32, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(frame.shrink(gray)[..., 0], expected, atol=1e-3)


@pytest.mark.parametrize(("size", "target"), [(100, 37), (1000, 3), (65, 64), (50, 50)])
def test_shrinking_keeps_the_mean_at_any_ratio(size, target):
    plane = np.random.default_rng(0).random((size, 5), "float32")
    shrunk = colorizer._resize_rows(plane, target)
    assert shrunk.shape == (target, 5)
    np.testing.assert_allclose(shrunk.mean(axis=0), plane.mean(axis=0), rtol=1e-5)


def test_padding_goes_on_as_in_a_mirror():
    assert colorizer._mirror(3, 8).tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
    assert colorizer._mirror(1, 4).tolist() == [0, 0, 0, 0]


def test_frames():
    model = Painter()
    assert Frame.of(model, 64, 96) == Frame((64, 96), (32, 48), (32, 48))
    assert Frame.of(model, 16, 16) == Frame((16, 16), (32, 32), (32, 32))
    # Enlarged three times at the most, at whatever scale.
    assert Frame.of(model, 10, 10) == Frame.of(model, 10, 10, 2.0) == Frame((10, 10), (30, 30), (32, 32))
    # Longer than 3 to 1: three times the training area.
    long = Frame.of(model, 40, 30_000)
    assert long.inner[0] * long.inner[1] < 3.1 * 32 * 32 and long.padded[0] == 8
    model.fixed_size = True
    assert Frame.of(model, 64, 96) == Frame((64, 96), (21, 32), (32, 32))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 5), (2000, 4), (4, 30_000), (33, 31)])
def test_photos_of_any_size(shape, model):
    gray = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    colored = Colorizer(model)(gray)
    assert colored.shape == (*shape, 3) and colored.dtype == np.uint8


def test_a_model_of_fixed_size_gets_the_whole_photo(photo):
    baseline = systems.get("rainbownet", variant="baseline", size=16).model()
    assert Colorizer(baseline)(photo).shape == photo.shape


def test_colors_of_the_photo_change_nothing(photo, model):
    gray = gray_copy(photo)
    np.testing.assert_array_equal(Colorizer(model)(photo), Colorizer(model)(gray))
    assert np.abs(lab(np.repeat(gray[..., None], 3, axis=-1))[..., 0] - lab(photo)[..., 0]).max() < 0.35


def test_no_tint_of_a_sepia_print_is_left():
    gray = np.arange(256, dtype="uint8").reshape(16, 16)
    sepia = np.stack([np.minimum(255, gray * 1.2), gray * 1.0, gray * 0.8], axis=-1).astype("uint8")
    colored = Colorizer(Painter())(sepia, saturation=0)
    assert (colored[..., 0] == colored[..., 1]).all() and (colored[..., 0] == colored[..., 2]).all()


def test_gray_copy_of_each_gray_is_itself():
    for dtype in ("uint8", "uint16"):
        gray = np.arange(np.iinfo(dtype).max + 1).astype(dtype).reshape(256, -1)
        np.testing.assert_array_equal(gray_copy(np.repeat(gray[..., None], 3, axis=-1)), gray)


def test_gray_copies_of_8_and_16_bits_agree(photo):
    deep = gray_copy(photo.astype("uint16") * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - gray_copy(photo)).max() < 0.55


def test_every_kind_of_array(photo, model):
    colorize, gray = Colorizer(model), gray_copy(photo)
    expected = colorize(gray)
    np.testing.assert_array_equal(colorize(gray[..., None]), expected)
    np.testing.assert_array_equal(colorize(np.repeat(gray[..., None], 3, axis=-1)), expected)
    np.testing.assert_array_equal(colorize(ops.convert_to_tensor(gray)), expected)
    floats = colorize(gray.astype("float32") / 255)
    assert floats.dtype == np.uint8 and np.abs(floats.astype(int) - expected).max() <= 1
    deep = colorize(gray.astype("uint16") * 257)
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - expected).max() < 1.1


def test_an_image_gives_an_image(photo, model):
    colored = Colorizer(model)(Image.fromarray(photo))
    assert isinstance(colored, Image.Image) and colored.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(colored), Colorizer(model)(photo))


def test_an_image_keeps_its_transparency(photo, model):
    image = Image.fromarray(photo)
    alpha = Image.fromarray(np.arange(45 * 70, dtype="uint8").reshape(45, 70))
    image.putalpha(alpha)
    colored = Colorizer(model)(image)
    assert colored.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(colored)[..., 3], np.asarray(alpha))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_images_of_any_mode(mode, photo, model):
    image = Image.fromarray(photo)
    image = Image.fromarray(gray_copy(photo).astype("uint16") * 257) if mode == "I;16" else image.convert(mode)
    colored = Colorizer(model)(image)
    assert colored.mode == "RGB" and colored.size == (70, 45)


@pytest.mark.parametrize("gray", [False, True])
def test_an_image_is_turned_and_taken_from_its_profile_as_its_file_is(gray, photo, model, tmp_path):
    image = Image.fromarray(gray_copy(photo) if gray else photo)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.png", exif=exif, icc_profile=ADOBE_RGB)
    expected = Colorizer(model)(tmp_path / "photo.png")
    assert expected.shape == (70, 45, 3)
    np.testing.assert_array_equal(Colorizer(model)(Image.open(tmp_path / "photo.png")), expected)


def test_an_image_of_integers_without_a_white_is_refused(model):
    with pytest.raises(ValueError, match="holds numbers from 0 to 70000"):
        Colorizer(model)(Image.fromarray(np.int32([[0, 70000]]).repeat(9, axis=0)))


def test_a_path_gives_an_array(photo, model, tmp_path):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    expected = Colorizer(model)(photo)
    for path in (tmp_path / "photo.png", str(tmp_path / "photo.png")):
        np.testing.assert_array_equal(Colorizer(model)(path), expected)


def test_a_list_is_one_call_for_each_size(photo):
    painter = Painter()
    photos = [photo, photo[:, ::-1], np.zeros((32, 32), "uint8"), Image.fromarray(photo)]
    together = Colorizer(painter)(photos)
    assert [len(l) for l in painter.inputs] == [3, 1]
    assert isinstance(together[3], Image.Image)
    for one, answer in zip(photos, together, strict=True):
        np.testing.assert_array_equal(np.asarray(answer), np.asarray(Colorizer(Painter())(one)))


def test_a_batch_gives_a_batch(photo, model):
    batch = np.stack([photo, photo[::-1]])
    colored = Colorizer(model)(batch)
    assert colored.shape == batch.shape
    assert np.abs(colored[0].astype(int) - Colorizer(model)(photo)).max() <= 1


def test_an_empty_list_gives_an_empty_list(model):
    assert Colorizer(model)([]) == []


def test_saturation_scales_chroma():
    gray = np.full((40, 40), 120, "uint8")
    for factor in (0.5, 1, 1.5):
        ab = lab(Colorizer(Painter())(gray, saturation=factor))[..., 1:]
        np.testing.assert_allclose(ab, np.broadcast_to((20 * factor, -30 * factor), ab.shape), atol=0.6)


def test_temperature_reaches_the_model(photo, model):
    colorize = Colorizer(model)
    own = colorize(photo)
    np.testing.assert_array_equal(own, colorize(photo, temperature=model.default_temperature))
    assert (own != colorize(photo, temperature=1)).any()


def test_chroma_is_what_coloring_joins_with_the_luminance(photo):
    painter = Painter(lambda y, x: (20 * y - 10, 16 * x - 8), 4)
    gray = [gray_copy(photo), np.full((60, 33), 140, "uint8")]
    l = [lab(np.repeat(plane[..., None], 3, axis=-1))[..., 0] for plane in gray]
    chroma = Colorizer(painter).chroma(l)
    for plane, ab, rgb in zip(l, chroma, Colorizer(painter)(gray), strict=True):
        assert ab.shape == (*plane.shape, 2) and ab.dtype == np.float32
        expected = ops.convert_to_numpy(color.lab_to_rgb(np.concatenate([plane[..., None], ab], axis=-1)))
        assert np.abs(255 * expected - rgb).max() < 1.1  # a search for the gamut's border a little less exact


def test_chroma_takes_the_temperature(photo, model):
    l = lab(photo)[..., 0]
    own, mean = (Colorizer(model).chroma([l], temperature)[0] for temperature in (None, 1))
    np.testing.assert_array_equal(own, Colorizer(model).chroma([l], model.default_temperature)[0])
    assert (own != mean).any()
    with pytest.raises(ValueError, match="`temperature` must be a number from 0 up"):
        Colorizer(model).chroma([l], -1)


@pytest.mark.parametrize(
    ("dial", "value"),
    [
        *((dial, value) for dial in ("temperature", "saturation") for value in (-0.1, float("nan"), float("inf"))),
        *(("calm", value) for value in (-0.1, 1.1, float("nan"))),
        ("ceiling", -1.0),
        ("ceiling", float("nan")),
        ("scales", ()),
        ("scales", (1.0, 0.0)),
        ("stretch", "all"),
    ],
)
def test_dials_out_of_range_are_refused(dial, value, photo):
    with pytest.raises(ValueError, match=f"`{dial}` must be .* received"):
        Colorizer(Painter())(photo, **{dial: value})
    with pytest.raises(ValueError, match=f"`{dial}` must be .* received"):
        Colorizer(Painter(), **{dial: value})


@pytest.mark.parametrize("flip", [False, True])
def test_calm_takes_color_from_what_the_network_is_unsure_of(flip):
    l = keras.Input((None, None, 1), name="l")
    network = keras.Model(l, keras.layers.Conv2D(2, 1, kernel_initializer="zeros")(l))
    codec = BucketCodec(Palette([[40, 30], [-30, -60]]), temperature=1.0)
    colorizer = Colorizer(ColorModel(network, codec, (32, 32), 1), flip=flip)
    gray = np.full((40, 50), 120, "uint8")
    for calm, ab in ((None, (5, -15)), (0.5, (2.5, -7.5)), (1, (0, 0))):
        np.testing.assert_allclose(lab(colorizer(gray, calm=calm))[20, 20, 1:], ab, atol=0.6)


def test_what_a_call_does_not_say_the_colorizer_says_and_then_the_model():
    painter = Painter()
    painter.defaults = {"saturation": 0.5, "flip": True, "scales": [1.0, 1.5]}
    colorizer = Colorizer(painter, saturation=0.25)
    assert (colorizer.settings.saturation, colorizer.settings.flip) == (0.25, True)
    gray = np.full((40, 40), 120, "uint8")
    for dials, factor in (({}, 0.25), ({"saturation": 1.5}, 1.5)):
        np.testing.assert_allclose(lab(colorizer(gray, **dials))[0, 0, 1:], (20 * factor, -30 * factor), atol=0.6)
    painter.defaults = {"sharpness": 1}
    with pytest.raises(ValueError, match="coloured by temperature, .*; received sharpness"):
        Colorizer(painter)


def test_a_ceiling_keeps_hues_and_lowers_what_is_above_it():
    painter = Painter(lambda y, x: (60 * x, -45 * x))
    chroma = [Colorizer(painter, ceiling=ceiling).chroma([np.full((32, 96), 60.0)])[0][16] for ceiling in (30, np.inf)]
    strength = [np.hypot(*ab.T) for ab in chroma]
    assert strength[1].max() > 70 and strength[0].max() <= 30 + 1e-3
    low = strength[1] < 25
    np.testing.assert_allclose(chroma[0][low], chroma[1][low], atol=1e-3)
    np.testing.assert_allclose(chroma[0][:, 0] * -45, chroma[0][:, 1] * 60, atol=1e-2)


def test_the_ceiling_is_that_of_the_saturated_colors():
    ab = Colorizer(Painter(), saturation=3, ceiling=40).chroma([np.full((32, 32), 60.0)])[0]
    np.testing.assert_allclose(np.hypot(ab[..., 0], ab[..., 1]), 40, rtol=1e-5)


def test_the_mirror_image_counts_as_much_as_the_photo():
    painter = Painter(lambda y, x: (40 * x, 20 * y))
    ab = Colorizer(painter, flip=True).chroma([np.tile(np.linspace(0, 100, 48, dtype="float32"), (32, 1))])[0]
    # What rises to the right in each view is flat in their mean.
    np.testing.assert_allclose(ab[..., 0], 20, atol=1e-4)
    np.testing.assert_allclose(ab[10, 0, 1], 20 * 10.5 / 32, atol=1e-4)
    np.testing.assert_allclose(painter.inputs[1], painter.inputs[0][:, :, ::-1])


@pytest.mark.parametrize("shrink", [1, 4])
def test_scales_are_averaged_where_they_lie(shrink):
    painter = Painter(lambda y, x: (40 * y - 20, 40 * x - 20), shrink)
    l = np.full((96, 144), 60.0)
    ab = Colorizer(painter, scales=(1.0, 2.0)).chroma([l])[0]
    assert sorted(plane.shape[1:3] for plane in painter.inputs) == [(32, 48), (64, 96)]
    y, x = np.mgrid[:96, :144]
    inner = slice(16, -16)
    np.testing.assert_allclose(ab[inner, inner, 0], (40 * (y + 0.5) / 96 - 20)[inner, inner], atol=0.05)
    np.testing.assert_allclose(ab[inner, inner, 1], (40 * (x + 0.5) / 144 - 20)[inner, inner], atol=0.05)


def test_the_answers_of_all_scales_count_the_same():
    painter = Painter()
    painter.predict_chroma = lambda l, *_: np.full((*l.shape[:3], 2), l.shape[1], "float32")
    ab = Colorizer(painter, scales=(2.0, 1.0, 4.0)).chroma([np.full((128, 128), 60.0)])[0]
    np.testing.assert_allclose(ab, (32 + 64 + 128) / 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("photo", "scales", "seen"),
    [
        ((500, 700), (1.5,), [(48, 67)]),
        ((40, 56), (1.5,), [(40, 56)]),
        ((20, 28), (1.5,), [(32, 45)]),  # as at a scale of 1
        ((50, 70), (1.5, 1.0, 2.0), [(32, 45), (48, 67), (50, 70)]),
        ((40, 56), (1.0, 1.5, 2.0), [(32, 45), (40, 56)]),
        ((5, 7), (2.0, 1.0), [(15, 21)]),
        ((20, 28), (0.5, 1.0), [(16, 22), (32, 45)]),
    ],
)
def test_no_photo_is_enlarged_for_a_scale_above_1(photo, scales, seen):
    model = Painter()
    assert [frame.inner for frame in colorizer.frames(model, *photo, scales)] == seen
    model.fixed_size = True
    assert len(colorizer.frames(model, *photo, scales)) == 1


def test_a_faded_photo_gets_back_its_black_and_white():
    l = np.linspace(0, 100, 10_000, dtype="float32").reshape(1, 100, 100, 1)
    faded = 30 + 0.4 * l
    restored = ops.convert_to_numpy(colorizer.stretched(faded, *colorizer.tones(faded)))
    # Between the half percents that may be lost: 4 and 94 are the usual points.
    assert np.quantile(restored, 0.005) == pytest.approx(4, abs=0.1)
    assert np.quantile(restored, 0.995) == pytest.approx(94, abs=0.1)
    assert (np.diff(restored.ravel()) >= 0).all()
    # An ordinary photo stays as it is, and so do restored ones.
    for ordinary in (l, restored):
        np.testing.assert_allclose(colorizer.stretched(ordinary, *colorizer.tones(ordinary)), ordinary, atol=0.02)


def test_a_photo_with_black_or_white_in_it_is_left_alone():
    # A night has no white, and is not faded; nor is a photo whose darkest is a dark gray, or whose wall is white.
    bright = np.linspace(50, 94, 10_000, dtype="float32").reshape(1, 100, 100, 1)
    np.testing.assert_array_equal(colorizer.stretched(bright, *colorizer.tones(bright)), bright)
    assert np.ptp(colorizer.stretched(bright - 3, *colorizer.tones(bright - 3))) > 80
    night = np.linspace(22, 60, 10_000, dtype="float32").reshape(1, 100, 100, 1)
    np.testing.assert_array_equal(colorizer.stretched(night, *colorizer.tones(night)), night)
    assert np.ptp(colorizer.stretched(night + 5, *colorizer.tones(night + 5))) > 80


def test_a_blank_photo_is_not_blown_up():
    l = np.full((1, 20, 20, 1), 70, "float32") + np.random.default_rng(0).normal(0, 0.5, (1, 20, 20, 1))
    restored = ops.convert_to_numpy(colorizer.stretched(l.astype("float32"), *colorizer.tones(l.astype("float32"))))
    assert restored.std() < 3.1 * 0.5


def test_only_what_is_asked_for_is_stretched():
    gray = np.tile(np.linspace(110, 150, 90, dtype="uint8"), (64, 1))
    seen = {}
    for stretch in ("none", "network", "photo"):
        painter = Painter()
        colored = Colorizer(painter)(gray, stretch=stretch)
        seen[stretch] = np.ptp(ops.convert_to_numpy(painter.inputs[0])), np.ptp(lab(colored)[..., 0])
    assert seen["none"][0] == pytest.approx(15.6, abs=1) and seen["none"][1] == pytest.approx(16, abs=1.5)
    assert seen["network"][0] == pytest.approx(3 * 15.6, abs=3) and seen["network"][1] == pytest.approx(16, abs=1.5)
    assert seen["photo"][0] == pytest.approx(3 * 15.6, abs=3) and seen["photo"][1] > 40  # once, not twice
    deep = Colorizer(Painter())(gray.astype("uint16") * 257, stretch="photo", saturation=0)
    restored = Colorizer(Painter())(gray, stretch="photo", saturation=0)
    assert np.abs(deep / 257 - restored).max() < 1.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (33, 47), (300, 4), (4, 3000)])
def test_an_output_a_quarter_of_the_input_and_every_setting_at_any_size(shape):
    painter = Painter(shrink=4)
    painter.stride, painter.size = 32, (64, 64)
    gray = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    colorize = Colorizer(painter, flip=True, scales=(1.0, 1.5), stretch="photo", ceiling=50)
    assert colorize(gray).shape == (*shape, 3)
    assert all(side % 32 == 0 for l in painter.inputs for side in l.shape[1:3])
    (ab,) = Colorizer(painter).chroma([gray / 2.55])
    np.testing.assert_allclose(ab, np.broadcast_to((20, -30), ab.shape), rtol=1e-4)


def test_chroma_does_not_bleed_over_a_hard_edge():
    # The network sees the edge: red where it is dark, blue where it is bright.
    painter = Painter()

    def predict(l, *_):
        small = np.asarray(l).reshape(len(l), 16, 4, 16, 4).mean(axis=(2, 4))
        red = np.clip((80 - small) / 40, 0, 1)[..., None]
        return red * np.float32((30, 20)) + (1 - red) * np.float32((0, -30))

    painter.predict_chroma, painter.size = predict, (64, 64)
    l = np.where(np.arange(512) < 200, 40, 80)[None].repeat(512, axis=0)
    b = Colorizer(painter).chroma([l])[0][256, :, 1]
    # Linear interpolation would go from 20 to -30 in steps of 2.
    assert b[199] - b[200] > 25


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.zeros((4, 4, 4), "uint8"), r"received an array of shape \(4, 4, 4\)"),
        (np.zeros((4, 4, 2), "uint8"), r"shape \(4, 4, 2\)"),
        (np.zeros(4, "uint8"), r"shape \(4,\)"),
        (np.zeros((0, 4), "uint8"), r"shape \(0, 4\)"),
        (np.zeros((4, 4), "int32"), "received int32"),
        (np.full((4, 4), 2.0), "values in 0..1"),
        (np.full((4, 4), np.nan), "values in 0..1"),
    ],
)
def test_arrays_that_are_no_photo_are_told(bad, sentence):
    with pytest.raises(ValueError, match=sentence):
        Colorizer(Painter())(bad)


def test_files_that_are_no_photo_are_told(tmp_path, photo):
    (tmp_path / "text.jpg").write_text("no photo")
    Image.fromarray(photo).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    for name in ("text.jpg", "half.jpg"):
        with pytest.raises(ValueError, match=name):
            Colorizer(Painter())(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"none\.jpg"):
        Colorizer(Painter())(tmp_path / "none.jpg")


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's, which is known by its name where another backend runs."""


@pytest.mark.parametrize("error", [MemoryError(), ResourceExhaustedError("OOM when allocating tensor")])
def test_running_out_of_memory_is_an_error_and_not_the_gray_photo(error, photo):
    painter = Painter()

    def fail(*_):
        raise error

    painter.predict_chroma = fail
    with pytest.raises(MemoryError, match="Memory ran out in the network, on 1 photo"):
        Colorizer(painter)(photo)


def test_running_out_of_memory_in_a_strip_is_an_error_too(photo, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(colorizer, "_linear_from_lab", fail)
    with pytest.raises(MemoryError, match="70 x 45 pixels"):
        Colorizer(Painter())(photo)


def test_other_errors_of_the_network_are_not_hidden(photo):
    painter = Painter()
    painter.predict_chroma = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Colorizer(painter)(photo)


def test_a_model_with_an_embedding_gets_it(photo):
    painter = Painter()
    painter.needs_embedding = True
    painter.embedder = lambda l: np.array([[l.shape[1], l.mean()]], "float32")
    seen = []

    def predict(l, embedding, *dials):
        seen.append(embedding)
        return Painter.predict_chroma(painter, l)

    painter.predict_chroma = predict
    Colorizer(painter)([photo, photo])
    l = lab(np.repeat(gray_copy(photo)[..., None], 3, axis=-1))[..., 0]
    np.testing.assert_allclose(seen[0], [[45, l.mean()]] * 2, rtol=1e-4)


def test_load_names_the_model_for_the_metadata(model, tmp_path):
    model.save(tmp_path / "best.keras")
    assert Colorizer.load(tmp_path / "best.keras").name == f"{tmp_path.name}/best.keras"
    assert Colorizer.load(tmp_path).name == f"{tmp_path.name}/best.keras"
    with pytest.raises(FileNotFoundError, match="'nothing'"):
        Colorizer.load("nothing")
    with pytest.raises(FileNotFoundError, match="'nothing'"):
        Colorizer.from_preset("nothing")
