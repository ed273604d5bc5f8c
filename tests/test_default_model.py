"""The recipe of the model that ships, at toy size."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

from experiments import default_model
from rainbownet import color, color_model, presets, training
from rainbownet.buckets import ab_112, ab_313
from rainbownet.codecs import BucketCodec
from rainbownet.color_model import ColorModel
from rainbownet.data.files import find_photos
from rainbownet.models import efficientnet_lite
from rainbownet.models.lite_unet import lite_unet


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(24):
        rgb = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        Image.fromarray(rgb).resize((72, 64)).save(folder / f"{i}.png")
    return folder


def test_a_run_is_resumed_and_leaves_a_model(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(default_model, "PRIOR_PHOTOS", 48)
    thumbnails = shutil.copytree(photos, tmp_path / "thumbnails")
    out = tmp_path / "run"
    command = [str(photos), "--thumbnails", str(thumbnails), "--out", str(out), "--network", "fast", "--quick"]
    default_model.main([*command, "--minutes", "0.02"])
    first = training.read_log(out / "log.csv")
    assert first[-1]["size"] == "64" and 0 <= float(first[-1]["pooled features alive"]) <= 1
    assert {"photos T=1 auc", "thumbnails T=1 auc_balanced"} <= first[-1].keys()
    default_model.main([*command, "--minutes", "0.04"])
    assert int(training.read_log(out / "log.csv")[-1]["step"]) > int(first[-1]["step"])
    assert len(training.validation_photos(out)) == 12

    model = color_model.load(out / "best.keras")
    assert model.stride == 16 and model.size == (64, 64)
    assert model.predict_chroma(np.full((1, 32, 48, 1), 50)).shape == (1, 8, 12, 2)

    # Another begins with it, but for the encoder, which is that of a third model and stays so.
    another = tmp_path / "another"
    stem = model.network.get_layer("stem_conv")
    stem.kernel.assign(2 * stem.kernel)
    model.save(tmp_path / "doubled.keras")
    begin = ["--begin", str(out), "--encoder", str(tmp_path / "doubled.keras"), "--first-block", "17"]
    begin += ["--teacher", str(out), "--fine-part", "0"]
    default_model.main([*command, "--out", str(another), *begin, "--minutes", "0.01"])
    assert training.validation_photos(another) == training.validation_photos(out)
    assert json.loads((another / "run.json").read_text())["recipe"]["begin"] == "run"
    assert (another / "prior.json").read_text() == (out / "prior.json").read_text()
    begun = color_model.load(another / "best.keras").network.get_layer("stem_conv").kernel
    np.testing.assert_array_equal(ops.convert_to_numpy(begun), ops.convert_to_numpy(stem.kernel))

    # A third begins with a preset of it, which knows its prior and no photos. A rate of 0 leaves the weights alone.
    model.defaults = {"saturation": 0.9}
    presets.save_preset(model, tmp_path / "preset")
    third = tmp_path / "third"
    begin = ["--begin", str(tmp_path / "preset"), "--rate", "0", "--steps", "1", "--fine-part", "0"]
    default_model.main([*command, "--out", str(third), *begin])
    assert (third / "prior.json").read_text() == (out / "prior.json").read_text()
    assert len(training.validation_photos(third)) == 12
    assert color_model.load(third / "best.keras").defaults == {"saturation": 0.9}
    begun = color_model.load(third / "best.keras").network.get_layer("logits").kernel
    wanted = presets.load(tmp_path / "preset").network.get_layer("logits").kernel
    np.testing.assert_array_equal(ops.convert_to_numpy(begun), ops.convert_to_numpy(wanted))


def test_the_prior_has_each_group_by_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(default_model, "PRIOR_PHOTOS", 250)  # not a whole number of batches
    groups = []
    for name, rgb in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (tmp_path / name).mkdir()
        for i, size in enumerate(((64, 64), (90, 70))):
            Image.new("RGB", size, rgb).save(tmp_path / name / f"{i}.png")
        groups.append(find_photos(tmp_path / name))
    grid = ab_313()
    counts = np.asarray(default_model.count_prior(groups, grid, [0.8, 0.2]).counts)
    lab = color.rgb_to_lab(np.array([(200, 30, 30), (30, 30, 200)], "uint8"))
    red, blue = ops.convert_to_numpy(grid.assign(lab[..., 1:]))
    # 64x64 pixels of each photo are 16x16 places of the output.
    assert (counts[red], counts[blue], counts.sum()) == (200 * 256, 50 * 256, 250 * 256)


def test_photos_of_one_folder_have_the_names_that_a_run_knows_them_by(photos):
    train, held = default_model.groups_of([photos], [])
    names = {file.name for file in train[0] + held[0]}
    assert names == set(training._find([photos])) and "0.png" in names
    # What a run held back is held back again; of photos that it did not have, as many as any run.
    assert [file.name for file in default_model.groups_of([photos], [], {"3.png"})[1][0]] == ["3.png"]
    assert default_model.groups_of([photos], [], {"other/3.png"}) == (train, held)


def test_a_run_may_begin_with_a_network_of_fewer_layers():
    source = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="known")])
    network = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="known"), layers.Dense(4, name="new")])
    new = network.get_layer("new").get_weights()
    default_model.take_weights(network.layers, source)
    for taken, wanted in zip(network.get_weights(), source.get_weights() + new, strict=True):
        np.testing.assert_array_equal(taken, wanted)


def test_the_encoder_takes_smaller_steps():
    l = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 1, name="block00_conv")(l)
    network = keras.Model(l, layers.Conv2D(2, 1, name="decode_conv")(x))
    optimizer = default_model.EncoderAdamW(0.1, learning_rate=0.01, weight_decay=0.0)
    before = network.get_weights()
    network.compile(optimizer, loss="mse")
    network.train_on_batch(np.ones((1, 4, 4, 1)), np.full((1, 4, 4, 2), 9.0))
    steps = [np.abs(new - old).max() for old, new in zip(before, network.get_weights(), strict=True)]
    # Adam's first step is the learning rate for every weight.
    np.testing.assert_allclose(steps, [0.001, 0.001, 0.01, 0.01], rtol=1e-2)


def test_the_encoder_does_not_decay():
    network = lite_unet(outputs=5, **default_model.NETWORKS["fast"])
    before = {v.path: ops.convert_to_numpy(v) for v in network.trainable_variables}
    optimizer = default_model.optimizer_of(network, rate=0.5, encoder_rate=0.1, ema=0.9)
    optimizer.build(network.trainable_variables)
    optimizer.apply([ops.zeros(v.shape) for v in network.trainable_variables])
    after = {v.path: ops.convert_to_numpy(v) for v in network.trainable_variables}
    left = {path: np.abs(after[path]).sum() / max(np.abs(weights).sum(), 1e-9) for path, weights in before.items()}
    assert left["block10_project_conv/kernel"] == left["stem_conv/kernel"] == 1
    np.testing.assert_allclose([left["decode8_conv/kernel"], left["decode8_norm1/gamma"]], [0.98, 1])


@pytest.mark.parametrize(("preset", "name"), [("lite_unet", "default"), ("fast", "fast")])
def test_a_run_can_begin_with_a_preset(preset, name):
    network = lite_unet(**default_model.NETWORKS[name])
    shipped = presets.load(preset).network
    default_model.take_weights(network.layers, shipped)
    for weights, wanted in zip(network.get_weights(), shipped.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, wanted)


def test_features_that_are_the_same_for_all_photos_are_seen(photos):
    held = default_model.groups_of([photos], [])[1][0]
    network = lite_unet(outputs=5)
    efficientnet_lite.load_imagenet_weights(network)
    assert default_model.alive(network, held, 64) > 0.4
    for layer in efficientnet_lite.encoder_layers(network):
        kernel, bias = layer.get_weights()
        layer.set_weights([0.6 * kernel, bias])
    assert default_model.alive(network, held, 64) < 0.1


def test_the_thinned_network_gives_every_second_logit_of_the_same_weights():
    network = lite_unet(outputs=5, **default_model.NETWORKS["fast"])
    thinned = default_model.thinned(network)
    l = np.random.default_rng(0).uniform(0, 100, (1, 32, 48, 1)).astype("float32")
    logits = ops.convert_to_numpy(network(l))
    np.testing.assert_allclose(ops.convert_to_numpy(thinned(l)), logits[:, ::2, ::2], atol=1e-5)
    assert [v.path for v in thinned.trainable_variables] == [v.path for v in network.trainable_variables]


def test_the_loss_is_weighted_crossentropy_and_half_weighted_distance():
    rng = np.random.default_rng(0)
    logits, centers = rng.normal(0, 1, (1, 2, 2, 3)), rng.uniform(-50, 50, (3, 2)).astype("float32")
    weights = np.array([0.5, 1, 4], "float32")
    bucket, ab = rng.integers(0, 3, (1, 2, 2)), rng.uniform(-50, 50, (1, 2, 2, 2))
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    crossentropy = -np.log(np.take_along_axis(shares, bucket[..., None], -1)[..., 0])
    distance = np.sqrt(np.square(shares @ centers - ab).sum(-1) + 1)
    target = np.concatenate([bucket[..., None], ab], -1).astype("float32")
    loss = default_model.ColorLoss(weights, centers, 2.0)(target, logits.astype("float32"))
    wanted = (weights[bucket] * crossentropy + 2 * (1 + weights[bucket]) / 2 * distance / 10).mean()
    np.testing.assert_allclose(ops.convert_to_numpy(loss), wanted, rtol=1e-5)
    others = np.array([3, 2, 0.1], "float32")
    loss = default_model.ColorLoss(weights, centers, 2.0, others)(target, logits.astype("float32"))
    wanted = (weights[bucket] * crossentropy + 2 * (1 + others[bucket]) / 2 * distance / 10).mean()
    np.testing.assert_allclose(ops.convert_to_numpy(loss), wanted, rtol=1e-5)


@pytest.mark.parametrize("side", [4, 12])
def test_blotches_cost_where_the_truth_has_none(side):
    centers, ones = np.array([[-30, 0], [30, 0]], "float32"), np.ones(2, "float32")
    sign = np.where(np.arange(side) % 4 < 2, 1.0, -1.0)
    blotches = (sign[:, None] * sign).astype("float32")

    def evenness(plane, true):
        logits = np.stack([-plane, plane], axis=-1)[None]
        target = np.stack([0 * true, true, 0 * true], axis=-1)[None].astype("float32")
        losses = [default_model.ColorLoss(ones, centers, 2.0, ones, weight)(target, logits) for weight in (1.0, 0.0)]
        return 10 * float(losses[0] - losses[1])

    even = np.ones((side, side), "float32")
    # Pairs 1 apart differ where the sign changes, those 2 apart all, 4 or 8 apart none (or there are none).
    part = np.mean([np.mean(blotches[:, 1:] != blotches[:, :-1]), 1, 0, 0])
    apart = np.sqrt((2 * 30 * np.tanh(1)) ** 2 + 1) - 1
    assert evenness(blotches, 0 * even) == pytest.approx(part * apart, rel=1e-3)
    # Even answers cost nothing, right or wrong, and neither do edges that the truth has.
    assert evenness(even, 0 * even) == pytest.approx(0, abs=1e-3)
    assert evenness(even, 40 * blotches) == pytest.approx(0, abs=1e-3)
    assert evenness(blotches, 40 * blotches) == pytest.approx(0, abs=1e-3)


def test_a_soft_target_shares_a_color_between_the_buckets_around_it():
    centers = np.array([[0, 0], [10, 0], [90, 0]], "float32")
    logits, ones = np.array([[[[1, 2, 3]]]], "float32"), np.ones(3, "float32")
    log_shares = np.log(np.exp(logits) / np.exp(logits).sum())[0, 0, 0]

    def loss(a, sigma):
        target = np.array([[[[0, a, 0]]]], "float32")
        return float(default_model.ColorLoss(ones, centers, sigma=sigma)(target, logits))

    np.testing.assert_allclose(loss(5, 5.0), -log_shares[:2].mean(), rtol=1e-5)
    np.testing.assert_allclose(loss(0, 1.0), loss(0, 0.0), rtol=1e-5)


def test_a_part_of_the_loss_is_the_same_with_the_teachers_colors_for_the_truth():
    """But for the weights of the cross-entropy."""
    rng = np.random.default_rng(0)
    logits, centers = rng.normal(0, 1, (1, 4, 4, 3)).astype("float32"), rng.uniform(-50, 50, (3, 2)).astype("float32")
    bucket, ab = rng.integers(0, 3, (1, 4, 4, 1)), rng.uniform(-50, 50, (1, 4, 4, 2))
    sure = rng.integers(0, 3, (1, 4, 1)).repeat(4, 2)  # even along each row, as the logits are not
    target = np.concatenate([bucket, ab, np.eye(3)[sure]], -1).astype("float32")
    weights, others, ones = np.array([0.5, 1, 4], "float32"), np.array([3, 2, 0.1], "float32"), np.ones(3, "float32")

    def loss(weights, target, **options):
        return float(default_model.ColorLoss(weights, centers, 2.0, others, **options)(target, logits))

    truth = loss(weights, target[..., :3], evenness=0.5)
    learned = np.concatenate([sure[..., None], centers[sure]], -1).astype("float32")
    teacher = loss(ones, learned, evenness=0.5)
    assert teacher > loss(ones, learned) + 0.01
    mixed = loss(weights, target, evenness=0.5, taught=0.25)
    np.testing.assert_allclose(mixed, 0.75 * truth + 0.25 * teacher, rtol=1e-5)
    # Between two colours, the teacher's is their mean.
    between = np.concatenate([bucket, ab, np.full((1, 4, 4, 3), 1 / 3)], -1).astype("float32")
    mean = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True) @ centers
    distance = np.sqrt(np.square(mean - centers.mean(0)).sum(-1) + 1)
    crossentropy = np.log(np.exp(logits).sum(-1)) - logits.mean(-1)
    wanted = (crossentropy + 2 * (1 + others.mean()) / 2 * distance / 10).mean()
    np.testing.assert_allclose(loss(weights, between, taught=1.0), wanted, rtol=1e-5)


def test_a_teacher_sees_each_photo_undamaged_and_larger(photos):
    """It answers here by the mean luminance of each place, which then stands where the true colours are."""
    l = keras.Input((None, None, 1))
    teacher = keras.Model(l, layers.Conv2D(2, 1, name="logits")(layers.AveragePooling2D(4)(l)))
    teacher.get_layer("logits").set_weights([np.array([[[[0.1, 0.0]]]]), np.zeros(2)])
    groups = [(1.0, default_model.find_photos(photos))]
    loader = default_model.Loader(groups, BucketCodec(ab_313()), 64, 4, 0, teacher=teacher)
    l, target = next(iter(loader))
    loader.stop()
    assert l.shape == (4, 64, 64, 1) and target.shape == (4, 8, 8, 3 + 2)
    # The second half are the photos of the first, damaged, of which the same is asked.
    np.testing.assert_array_equal(target[:2], target[2:])
    assert (np.abs(l[:2] - l[2:]).mean((1, 2, 3)) > 0).all()
    for seen, shares in zip(l[:2, ..., 0], target[..., 3:], strict=False):
        wanted = seen.reshape(16, 4, 16, 4).mean((1, 3))[::2, ::2]
        assert np.corrcoef(np.log(shares[..., 0] / shares[..., 1]).ravel(), wanted.ravel())[0, 1] > 0.98


def test_a_teacher_that_does_not_fit_is_told(tmp_path):
    l = keras.Input((None, None, 1))
    network = keras.Model(l, layers.Conv2D(112, 4, 4)(l))
    ColorModel(network, BucketCodec(ab_112()), (64, 64), 16).save(tmp_path / "teacher.keras")
    with pytest.raises(ValueError, match="other buckets"):
        default_model.taught_by(tmp_path / "teacher.keras", ab_313(), (64, 64))
    with pytest.raises(ValueError, match="squares of 60 pixels.*by 32"):
        default_model.taught_by(tmp_path / "teacher.keras", ab_112(), (64, 40))


def test_luminance_in_threads_is_that_of_color():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype("uint8")
    wanted = ops.convert_to_numpy(color.luminance(rgb))[..., 0]
    np.testing.assert_allclose(default_model.gray_levels(rgb), wanted, atol=1e-3)


def test_damage_stays_a_luminance_and_does_something():
    rng = np.random.default_rng(0)
    l = rng.uniform(0, 100, (16, 16)).astype("float32")
    results = [default_model.damaged(l, rng) for _ in range(50)]
    assert all(r.shape == l.shape and r.dtype == np.float32 and 0 <= r.min() <= r.max() <= 100 for r in results)
    assert np.mean([np.abs(r - l).mean() > 1 for r in results]) > 0.5


def test_a_photo_that_cannot_be_read_ends_the_run_and_not_a_thread(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no photo")
    files = default_model.find_photos(tmp_path)
    loader = default_model.Loader([(1.0, files)], None, 32, 2, 0)
    with pytest.raises(ValueError, match="photo"):
        next(iter(loader))
    loader.stop()
