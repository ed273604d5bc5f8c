"""The protocol, on stand-ins for a model and on toy models: what they are shown, and what they are held against."""

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from rainbownet import codecs, embedding, systems
from rainbownet import evaluation as ev
from rainbownet.colorizer import Colorizer
from rainbownet.damage import DAMAGES
from rainbownet.data.files import find_photos
from rainbownet.data.photos import decode_rgb

from .shared import SHARED, Painter, from_luminance, gray, write_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


def _evaluate(paint, photos, **kwargs):
    attributes = {
        key: kwargs.pop(key) for key in ("fixed_size", "needs_embedding", "embedder", "codec") if key in kwargs
    }
    model = Painter(paint, **attributes)
    return ev.evaluate(model, photos, progress=False, **kwargs), model


def test_rows_of_a_model_that_knows(folder):
    photos = find_photos(folder)
    report, model = _evaluate(from_luminance, photos)
    assert list(report.rows) == [ev.MODEL, ev.GRAY, ev.SINGLE, ev.ANOTHER]
    assert report.rows[ev.MODEL]["auc"] > 98
    assert report.rows[ev.MODEL]["psnr"] > 38
    assert report.rows[ev.GRAY]["colorfulness"] < 0.5  # gray Lab rounds to RGB that is off by a step here and there
    assert report.rows[ev.GRAY]["near_gray"] == 1
    assert report.rows[ev.SINGLE]["auc"] >= report.rows[ev.GRAY]["auc"] - 0.2
    assert report.rows[ev.ANOTHER]["colorfulness"] > 0.6 * report.truth["colorfulness"]
    assert report.rows[ev.MODEL]["photos"] == report.protocol["photos"] == 15
    # 14 crops of 32x32 and one of 18x18, in batches of equal size; the network works at 32x32.
    assert sorted(model.shapes) == [(1, 32, 32, 1), (14, 32, 32, 1)]
    assert report.protocol["smaller"] == 1
    assert report.rows[ev.MODEL]["pixels"] == 14 * 32 * 32 + 18 * 18
    assert report.skipped == []


def test_the_gray_model_equals_the_gray_row(folder):
    report, _ = _evaluate(gray, find_photos(folder))
    assert report.rows[ev.MODEL] == report.rows[ev.GRAY]


def test_rows_follow_from_the_protocol(folder):
    """The whole protocol once more, with scikit-image."""
    photos = find_photos(folder)[:12]  # all of 48x40, decoded to 32 by the same resampling
    report, _ = _evaluate(gray, photos)
    crops = np.stack([decode_rgb(photo.read(), 32)[:, 3:35] for photo in photos])
    lab = rgb2lab(crops)
    truth = lab[..., 1:]
    pictures = np.rint(lab2rgb(np.concatenate([lab[..., :1], 0 * truth], -1)) * 255)
    expected = np.mean([peak_signal_noise_ratio(t, g, data_range=255) for t, g in zip(crops, pictures, strict=True)])
    assert report.rows[ev.GRAY]["psnr"] == pytest.approx(expected, abs=0.01)
    assert report.rows[ev.GRAY]["auc"] == pytest.approx(ev.auc(0 * truth, truth), abs=0.02)
    another = np.roll(truth, -1, axis=0)
    assert report.rows[ev.ANOTHER]["auc"] == pytest.approx(ev.auc(another, truth), abs=0.02)
    constants = [(a, b) for a in range(-20, 21, 2) for b in range(-40, 41, 2)]
    expected = max(ev.auc(np.broadcast_to(constant, truth.shape), truth) for constant in constants)
    assert report.rows[ev.SINGLE]["auc"] == pytest.approx(expected, abs=0.1)
    np.testing.assert_allclose(report.truth["colorfulness"], np.mean([ev.colorfulness(x) for x in crops]), rtol=1e-6)


def test_per_photo_means_are_the_rows(folder):
    report, _ = _evaluate(from_luminance, find_photos(folder), batch=4)
    assert sorted(photo["name"] for photo in report.per_photo) == [f"{i:02}.png" for i in range(15)]
    for row, figures in report.rows.items():
        assert figures["psnr"] == pytest.approx(np.mean([photo["psnr"][row] for photo in report.per_photo]))


def test_batches_do_not_change_the_figures(folder):
    one, _ = _evaluate(from_luminance, find_photos(folder), batch=1)
    many, _ = _evaluate(from_luminance, find_photos(folder), batch=16)
    for row in one.rows:
        assert one.rows[row] == pytest.approx(many.rows[row], rel=1e-5)


def test_whole_photos_are_measured_whole(folder):
    report, model = _evaluate(from_luminance, find_photos(folder), crop="none")
    assert {(p["height"], p["width"]) for p in report.per_photo} == {(32, 38), (51, 32), (19, 18)}
    # The network takes multiples of 8: the photos are continued to the next.
    assert {shape[1:3] for shape in model.shapes} == {(32, 40), (56, 32), (40, 32)}
    assert report.rows[ev.MODEL]["auc"] > 98
    assert "the network saw 32 x 40 to 56 x 32" in report.protocol_line()


def test_photos_are_as_large_as_the_network_sees_them(folder):
    model = Painter(from_luminance)
    protocols = [
        ev.evaluate(Colorizer(model, scales=scales), find_photos(folder)[:4], progress=False).protocol
        for scales in ((1.0,), (0.5,), (1.5,))
    ]
    assert [protocol["size"] for protocol in protocols] == [32, 32, 48]


@pytest.mark.parametrize("size", [15, 32, 40])
def test_the_size_of_the_comparison_is_not_that_of_the_network(folder, size):
    report, model = _evaluate(from_luminance, find_photos(folder)[:12], size=size)
    assert {(p["height"], p["width"]) for p in report.per_photo} == {(size, size)}
    assert {shape[1:3] for shape in model.shapes} == {(32, 32)}
    assert f"short side {size}; " in report.protocol_line() and "the network saw 32 x 32;" in report.protocol_line()
    assert report.rows[ev.MODEL]["auc"] > 97


def test_what_is_measured_is_what_a_colorizer_gives(folder):
    """The whole way of one photo by hand, at a size that is not the network's."""
    photo = find_photos(folder)[0]
    report, model = _evaluate(from_luminance, [photo], size=40)
    rgb = decode_rgb(photo.read(), 40)[:, 4:44]
    lab = rgb2lab(rgb).astype("float32")
    (ab,) = Colorizer(Painter(from_luminance)).chroma([lab[..., 0]])
    assert report.rows[ev.MODEL]["auc"] == pytest.approx(ev.auc(ab, lab[..., 1:]), abs=1e-3)
    assert report.rows[ev.MODEL]["ciede2000"] == pytest.approx(ev.ciede2000(ab, lab[..., 1:]).mean(), abs=1e-2)


def test_a_colorizer_is_measured_with_its_settings(folder):
    photos = find_photos(folder)[:3]
    pale = ev.evaluate(Colorizer(Painter(from_luminance), saturation=0.5), photos, progress=False)
    full, _ = _evaluate(from_luminance, photos)
    assert pale.rows[ev.MODEL]["chroma"] == pytest.approx(0.5 * full.rows[ev.MODEL]["chroma"], rel=1e-5)
    assert "saturation: 0.5" in pale.protocol_line() and "saturation" not in full.protocol_line()


def test_a_network_of_fixed_size_gets_that_size(folder):
    for crop in ("square", "none"):
        report, model = _evaluate(from_luminance, find_photos(folder), fixed_size=True, crop=crop)
        assert {shape[1:3] for shape in model.shapes} == {(32, 32)}
        assert report.rows[ev.MODEL]["auc"] > 97


def test_the_embedding_reaches_the_model(folder):
    seen = []

    def paint(l, embedding):
        seen.append(np.asarray(embedding))
        return gray(l)

    def embed(l):
        return np.full((len(l), 7), 3.0, "float32")

    _evaluate(paint, find_photos(folder), needs_embedding=True, embedder=embed)
    assert sorted(vectors.shape for vectors in seen) == [(1, 7), (14, 7)]
    assert all((vectors == 3).all() for vectors in seen)
    seen.clear()
    _evaluate(paint, find_photos(folder)[:1], needs_embedding=True, embed=embed)
    assert (seen[0] == 3).all()
    with pytest.raises(ValueError, match="holds no embedder"):
        _evaluate(paint, find_photos(folder), needs_embedding=True)


def _toy(**options):
    """A model that has something to say: its logits, of random weights, are spread out."""
    model = systems.get("rainbownet", size=32, filters=2, **options).model()
    logits = model.network.get_layer("logits")
    logits.kernel.assign(logits.kernel * 20)
    return model


def test_top_5_agrees_with_brute_force(folder):
    photos = find_photos(folder)[:12]
    model = _toy()
    report = ev.evaluate(model, photos, progress=False)
    crops = np.stack([decode_rgb(photo.read(), 32)[:, 3:35] for photo in photos])
    lab = rgb2lab(crops).astype("float32")
    truth = np.asarray(model.codec.buckets.assign(lab[..., 1:]))
    logits = np.asarray(model.network(lab[..., :1]))
    five = np.argsort(-logits, axis=-1, kind="stable")[..., :5]
    hits = np.mean([t in f for t, f in zip(truth.ravel(), five.reshape(-1, 5), strict=True)])
    assert report.rows[ev.MODEL]["top5"] == pytest.approx(hits, abs=2e-3)
    # Gray has no likelihoods: its five are the buckets around gray.
    centers = model.codec.buckets.centers
    five = np.argsort(np.hypot(*centers.T), kind="stable")[:5]
    assert report.rows[ev.GRAY]["top5"] == pytest.approx(np.isin(truth, five).mean(), abs=2e-3)


def test_top_5_is_of_the_photo_itself_where_more_is_looked_at(folder):
    """With its mirror image, and padded: places beyond the photo do not count, nor those of the mirror image."""
    photos = find_photos(folder)[10:14]
    model = _toy()
    plain = ev.evaluate(model, photos, crop="none", progress=False)
    flipped = ev.evaluate(Colorizer(model, flip=True), photos, crop="none", progress=False)
    assert flipped.rows[ev.MODEL]["top5"] == plain.rows[ev.MODEL]["top5"]
    assert flipped.rows[ev.MODEL]["auc"] != plain.rows[ev.MODEL]["auc"]


def test_a_regression_has_no_top_5(folder):
    report, _ = _evaluate(gray, find_photos(folder)[:2], codec=codecs.RegressionCodec())
    assert all("top5" not in row for row in report.rows.values())


@pytest.mark.parametrize("variant", ["fusion", "baseline"])
def test_real_models_are_taken(folder, variant, monkeypatch):
    options = {}
    if variant == "fusion":
        embedder = embedding.InceptionResNetV2Embedder
        monkeypatch.setattr(embedder, "_build", lambda self: systems.get("rainbownet", size=16, filters=2).network())
        monkeypatch.setattr(embedder, "__call__", lambda self, l: np.ones((len(l), 1000), "float32"))
        options = {"embedder": embedder(weights=None), "filters": 2}
    model = systems.get("rainbownet", variant=variant, size=32, **options).model()
    report = ev.evaluate(model, find_photos(folder)[11:], progress=False)
    assert report.protocol["photos"] == 4
    assert report.protocol["size"] == 32
    assert report.protocol["parameters"] == model.count_params()
    assert report.protocol["accuracy_buckets"] == (313 if variant == "baseline" else 112)
    assert 0 < report.rows[ev.MODEL]["auc"] < 100


# Intervals, damage and pictures.


def test_intervals_are_those_of_plain_resampling(folder):
    """The bootstrap of a mean of photos and of a difference of means, written out."""
    report, _ = _evaluate(lambda l: 0.5 * from_luminance(l), find_photos(folder)[:12])
    values, others = (np.array([photo["psnr"][row] for photo in report.per_photo]) for row in (ev.MODEL, ev.GRAY))
    drawn = np.random.default_rng(7).integers(0, 12, (4000, 12))
    expected = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    width = expected[1] - expected[0]
    np.testing.assert_allclose(report.intervals[ev.MODEL]["psnr"], expected, atol=0.15 * width)
    paired = np.percentile((values - others)[drawn].mean(axis=1), [2.5, 97.5])
    gain = report.gains[ev.GRAY]["psnr"]
    assert gain["mean"] == pytest.approx((values - others).mean())
    np.testing.assert_allclose(gain["interval"], paired, atol=0.15 * (paired[1] - paired[0]))
    again, _ = _evaluate(lambda l: 0.5 * from_luminance(l), find_photos(folder)[:12])
    assert again.intervals == report.intervals


def test_the_same_answer_has_no_gain_and_no_doubt(folder):
    report, _ = _evaluate(gray, find_photos(folder))
    assert report.gains[ev.GRAY]["auc_balanced"] == {"mean": 0, "interval": [0, 0]}


def test_damage_costs_a_model_that_looks_at_luminance(folder):
    photos = find_photos(folder)[:12]
    report, model = _evaluate(from_luminance, photos, damages=DAMAGES)
    assert list(report.damage) == list(DAMAGES)
    faded = report.damage["faded"]
    assert faded["figures"]["auc"] < report.rows[ev.MODEL]["auc"]
    loss = faded["loss"]["auc_balanced"]
    assert loss["mean"] == pytest.approx(report.rows[ev.MODEL]["auc_balanced"] - faded["figures"]["auc_balanced"])
    gain = report.rows[ev.MODEL]["auc_balanced"] - report.rows[ev.GRAY]["auc_balanced"]
    assert loss["share_of_gain"] == pytest.approx(loss["mean"] / gain)
    assert loss["interval"][0] <= loss["mean"] <= loss["interval"][1]
    assert len(model.shapes) == 1 + len(DAMAGES)
    assert list(report.per_photo[0]["psnr"]) == [*report.rows, *DAMAGES]


def test_damaged_photos_are_measured_against_the_undamaged_ones(folder):
    """By hand, for one photo: the luminance that is seen is the faded one, the truth is not."""
    photo = find_photos(folder)[0]
    report, _ = _evaluate(from_luminance, [photo], damages=("faded",))
    assert list(report.damage) == ["faded"]
    rgb = decode_rgb(photo.read(), 32)[:, 3:35]
    ab = from_luminance(rgb2lab(DAMAGES["faded"](rgb))[..., :1])
    assert report.damage["faded"]["figures"]["auc"] == pytest.approx(ev.auc(ab, rgb2lab(rgb)[..., 1:]), abs=0.02)


def test_a_model_that_paints_always_alike_loses_nothing(folder):
    report, _ = _evaluate(lambda l: gray(l) + np.float32([0, 10]), find_photos(folder)[:3], damages=DAMAGES)
    for entry in report.damage.values():
        assert entry["loss"]["auc"]["mean"] == pytest.approx(0, abs=1e-9)


def test_examples_are_the_best_the_median_and_the_worst(folder):
    lucky = {}

    def paint(l):
        l = np.asarray(l)
        shares = np.array([lucky.setdefault(plane.tobytes(), len(lucky) / 11) for plane in l], "float32")
        return from_luminance(l) * shares[:, None, None, None]

    report, _ = _evaluate(paint, find_photos(folder)[:12], examples=2, damages=DAMAGES)
    assert [example.kind for example in report.examples] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    gains = [example.gain for example in report.examples]
    assert gains == sorted(gains, reverse=True)
    everyone = [photo["ciede2000"][ev.GRAY] - photo["ciede2000"][ev.MODEL] for photo in report.per_photo]
    assert gains[0] == max(everyone) and gains[-1] == min(everyone)
    for example in report.examples:
        assert [caption for caption, _ in example.pictures] == ["gray", "ours", "truth"]
        of_gray, ours, truth = (picture for _, picture in example.pictures)
        assert of_gray.shape == ours.shape == truth.shape == (32, 32, 3)
        assert np.ptp(of_gray.astype(int), axis=-1).max() <= 2
        assert ev.psnr(ours, truth) == pytest.approx(example.figures["psnr"], abs=0.05)
        assert [name for name, _, _ in example.damaged] == (list(DAMAGES) if example.kind == "median" else [])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_photos_have_few_examples(folder, count):
    report, _ = _evaluate(gray, find_photos(folder)[:count], examples=6)
    assert len({example.name for example in report.examples}) == len(report.examples) == count


def test_small_predictions_are_upsampled_bilinearly(folder):
    def quarter(l):
        return from_luminance(l)[:, ::4, ::4]

    report, _ = _evaluate(quarter, find_photos(folder))
    full, _ = _evaluate(from_luminance, find_photos(folder))
    assert report.rows[ev.MODEL]["auc"] == pytest.approx(full.rows[ev.MODEL]["auc"], abs=5)


def test_temperature_is_passed_on_and_noted(folder):
    photos = find_photos(folder)[:2]
    report, model = _evaluate(gray, photos, temperature=0.0)
    assert set(model.temperatures) == {0.0}
    assert report.protocol["temperature"] == 0.0
    report, model = _evaluate(gray, photos)
    assert report.protocol["temperature"] == model.codec.temperature
    report, _ = _evaluate(gray, photos, codec=codecs.RegressionCodec())
    assert report.protocol["temperature"] is None
    assert report.protocol["accuracy_buckets"] == 313


def test_one_photo_has_no_other_photo(folder):
    report, _ = _evaluate(gray, find_photos(folder)[:1])
    assert list(report.rows) == [ev.MODEL, ev.GRAY, ev.SINGLE]
    assert "single photo" in ev.verdict(report)


def test_unreadable_photos_are_counted_and_named(folder, tmp_path):
    for photo in find_photos(folder)[:3]:
        (tmp_path / photo.name).write_bytes(photo.read())
    (tmp_path / "text.jpg").write_text("no photo")
    Image.new("RGB", (5, 50)).save(tmp_path / "narrow.png")
    report, _ = _evaluate(gray, find_photos(tmp_path))
    assert report.protocol["photos"] == 3
    assert [name for name, _ in report.skipped] == ["narrow.png", "text.jpg"]
    assert "5 pixels" in dict(report.skipped)["narrow.png"]
    assert "2 skipped" in report.protocol_line()


def test_nothing_to_evaluate_is_one_sentence(tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(ValueError, match="None of the 1 photos can be measured; the first, text.jpg"):
        _evaluate(gray, find_photos(tmp_path))
    with pytest.raises(ValueError, match="no photos"):
        _evaluate(gray, [])


def test_sizes_too_small_to_be_measured_are_refused(folder):
    with pytest.raises(ValueError, match="8 pixels or more; received 4"):
        _evaluate(gray, find_photos(folder), size=4)


def test_unknown_crops_are_refused(folder):
    with pytest.raises(ValueError, match="`crop`"):
        _evaluate(gray, find_photos(folder), crop="round")


def test_unknown_damages_are_refused(folder):
    with pytest.raises(ValueError, match="`damages` are faded, .*; received torn"):
        _evaluate(gray, find_photos(folder), damages=("faded", "torn"))


# Photos and published figures.


@pytest.mark.skipif(not (SHARED / "tiny64" / "val.tar").exists(), reason="needs the sample photos")
def test_gray_scores_about_what_zhang_et_al_published():
    """ImageNet: 89.1 plain, 58.0 balanced (table 1). The sample leaves out gray photos, so it lies a little lower."""
    report, _ = _evaluate(gray, find_photos(SHARED / "tiny64" / "val.tar")[::5], size=64)
    figures = report.rows[ev.GRAY]
    assert 85 < figures["auc"] < 93
    assert 50 < figures["auc_balanced"] < 65
    assert figures["auc"] <= report.rows[ev.SINGLE]["auc"] + 0.1


@pytest.mark.skipif(not (SHARED / "photos" / "val").exists(), reason="needs the sample photos")
def test_photos_themselves_raise_no_alarm():
    """Another photo's colours are wrong but healthy: no alarm on sixteen photos at a time."""
    photos = find_photos(SHARED / "photos" / "val")
    for start in (0, 60, 120, 180):
        report, _ = _evaluate(gray, photos[start : start + 16], size=64)
        figures = {**report.rows[ev.ANOTHER], **{f"truth_{k}": v for k, v in report.truth.items()}}
        assert ev.diagnose(figures) is None
