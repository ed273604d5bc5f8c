import json

import keras
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from rainbownet import color_model, presets, systems, training
from rainbownet.data.pipeline import validation_batches
from rainbownet.embedding import Embedder

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains through tf.data")

COLORS = np.array([(200, 60, 50), (60, 160, 70), (60, 90, 190), (210, 180, 80)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """80 photos of two-colored noise, whose colours follow from their brightness: something to learn."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(80):
        blocks = rng.integers(0, 4, (6, 6)).repeat(4, 0).repeat(4, 1)
        rgb = np.clip(COLORS[blocks] + rng.integers(-12, 12, (24, 24, 3)), 0, 255).astype("uint8")
        Image.fromarray(rgb).save(folder / f"{i:02d}.png")
    return folder


def tiny(**options):
    recipe = {"size": 16, "filters": 2, "batch": 8, "epsilon": 1e-7, "learning_rate": 1e-2, **options}
    return systems.get("rainbownet", **recipe)


def quiet():
    return Console(quiet=True)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    result = training.train(tiny(), photos, out, epochs=3, console=quiet())
    return out, result


def test_a_run_leaves_all_that_was_promised(run):
    out, result = run
    names = {path.name for path in out.iterdir()}
    assert {
        "run.json", "photos.csv", "refused.csv", "prior.json", "last.keras", "best.keras", "log.csv", "losses.png",
        "strips", "results.json",
    } <= names  # fmt: skip
    assert {path.name for path in (out / "strips").iterdir()} == {f"epoch_{i:04d}.png" for i in (1, 2, 3)}
    width, height = Image.open(out / "strips/epoch_0001.png").size
    assert height == 3 * 16 and width % 16 == 0
    assert json.loads((out / "results.json").read_text())["rows"]["model"] == result.rows["model"]
    assert set(result.rows) == {"model", "gray", "best single color", "another photo's colors"}


def test_the_loss_falls(run):
    rows = training.read_log(run[0] / "log.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    for column in ("val_loss", "colorfulness", "truth_colorfulness", "near_gray", "cast", "hue_coverage"):
        assert np.isfinite(float(rows[-1][column]))


def test_best_is_the_epoch_of_the_lowest_validation_loss(run):
    out, _ = run
    best = color_model.load(out / "best.keras")
    lowest = min(float(row["val_loss"]) for row in training.read_log(out / "log.csv"))
    system = tiny()
    data = validation_batches(training.validation_photos(out), system.codec, 16, 8)
    best.compile(loss=system.loss())
    assert abs(best.evaluate(data, verbose=0) - lowest) < 1e-4


def test_tensorboard_gets_figures_and_strips(run):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = [e for path in (run[0] / "tensorboard").iterdir() for e in EventFileLoader(str(path)).Load()]
    tags = {value.tag for event in events for value in event.summary.value}
    assert {"loss", "val_loss", "colorfulness", "gray, colorized, truth"} <= tags


@pytest.mark.parametrize("stop", [3, 9])  # within the first epoch and at its end
def test_an_interrupted_run_ends_as_an_unbroken_one(photos, tmp_path, monkeypatch, stop):
    settings = {"steps": 14, "epoch_steps": 9, "seed": 3}
    system = tiny(rebalance=0.5, schedule="cosine", warmup=4, clip=1.0)
    training.train(system, photos, tmp_path / "whole", console=quiet(), **settings)

    monkeypatch.setattr(training, "CHECKPOINT_MINUTES", 0)  # after every step
    written = training._Checkpoint.write_last

    def write_and_stop(self):
        written(self)
        if self.state.step == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Checkpoint, "write_last", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        training.train(system, photos, tmp_path / "broken", console=quiet(), **settings)
    monkeypatch.setattr(training._Checkpoint, "write_last", written)
    training.train(system, photos, tmp_path / "broken", console=quiet(), **settings)

    whole, broken = (keras.saving.load_model(tmp_path / name / "last.keras") for name in ("whole", "broken"))
    assert int(whole.optimizer.iterations) == int(broken.optimizer.iterations) == 14
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(whole.optimizer.variables, broken.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_other_settings_do_not_go_on_with_a_run(run, photos):
    with pytest.raises(ValueError, match=r"other settings \(seed\)"):
        training.train(tiny(), photos, run[0], epochs=3, seed=1, console=quiet())
    with pytest.raises(ValueError, match=r"other settings \(recipe\)"):
        training.train(tiny(batch=5), photos, run[0], epochs=3, console=quiet())


def test_a_finished_run_is_not_trained_again(run, photos):
    before = (run[0] / "last.keras").read_bytes()
    training.train(tiny(), photos, run[0], epochs=3, console=quiet())
    assert (run[0] / "last.keras").read_bytes() == before


def test_minutes_limit_a_run(photos, tmp_path):
    # What a run left that ended before its first checkpoint is made anew.
    (tmp_path / "photos.csv").write_text("train,gone.png\n")
    training.train(tiny(), photos, tmp_path, minutes=0.001, epoch_steps=2, console=quiet())
    assert len(training.read_log(tmp_path / "log.csv")) == 1


def test_patience_ends_a_run_that_gets_no_better(photos, tmp_path):
    training.train(tiny(learning_rate=1e-12, patience=2), photos, tmp_path, epochs=30, epoch_steps=2, console=quiet())
    assert len(training.read_log(tmp_path / "log.csv")) < 30


def test_training_can_begin_with_the_weights_of_another_run(run, photos, tmp_path):
    system = tiny(learning_rate=1e-12)
    training.train(system, photos, tmp_path, steps=1, initial=run[0] / "best.keras", console=quiet())
    before, after = (color_model.load(out / "best.keras").get_weights() for out in (run[0], tmp_path))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # A preset has its weights in float16.
    preset = color_model.load(run[0] / "best.keras")
    preset.defaults = {"saturation": 0.9}
    presets.save_preset(preset, tmp_path / "preset")
    training.train(system, photos, tmp_path / "a", steps=1, initial=tmp_path / "preset", console=quiet())
    begun = color_model.load(tmp_path / "a/best.keras")
    assert begun.defaults == preset.defaults
    for a, b in zip(before, begun.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    with pytest.raises(ValueError, match="another network"):
        training.train(tiny(filters=3), photos, tmp_path / "b", initial=run[0] / "best.keras", console=quiet())


def test_a_lite_unet_is_built_as_the_one_that_it_begins_with(photos, tmp_path):
    def small(**options):
        return systems.get("lite_unet", encoder=None, size=32, batch=4, learning_rate=1e-12, **options)

    other = small(deepest=16, filters=(8, 6, 4), attention=1).model()
    other.save(tmp_path / "other.keras")
    system = small(temperature=0.5)
    training.train(system, photos, tmp_path / "run", steps=1, initial=tmp_path / "other.keras", console=quiet())
    begun = color_model.load(tmp_path / "run/best.keras")
    assert (begun.stride, begun.codec.temperature) == (16, 0.5)
    assert [layer.name for layer in begun.network.layers] == [layer.name for layer in other.network.layers]
    named = begun.network.get_layer("decode8_conv"), other.network.get_layer("decode8_conv")
    np.testing.assert_allclose(*(np.asarray(layer.kernel) for layer in named), atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Brightness(Embedder):
    """Mean and deviation of the photo, counted as they are computed."""

    size, outputs, calls = (8, 8), 2, 0

    def embed(self, images):
        type(self).calls += len(images)
        return np.stack([images.mean((1, 2, 3)), images.std((1, 2, 3))], -1).astype("float32")

    def weights_hash(self):
        return "none"

    def get_config(self):
        return {}


def test_fusion_computes_each_embedding_once(photos, tmp_path):
    system = tiny(variant="fusion", embedder=Brightness())
    result = training.train(system, photos, tmp_path, epochs=2, console=quiet())
    measured = result.protocol["photos"]
    assert Brightness.calls == 80 + measured  # the evaluation's crops are other pictures than the training's
    Brightness.calls = 0
    training.train(system, photos, tmp_path, epochs=2, console=quiet())
    assert Brightness.calls == measured
    assert color_model.load(tmp_path / "best.keras").needs_embedding


def test_the_baseline_trains(photos, tmp_path):
    training.train(tiny(variant="baseline", filters=64), photos, tmp_path, steps=2, console=quiet())
    assert color_model.load(tmp_path / "best.keras").codec.outputs == 2


def test_user_mistakes_are_told(photos, tmp_path):
    with pytest.raises(ValueError, match="one of epochs, steps and minutes"):
        training.train(tiny(), photos, tmp_path, epochs=1, steps=1)
    with pytest.raises(ValueError, match="`steps` must be more than 0"):
        training.train(tiny(), photos, tmp_path, steps=0)
    with pytest.raises(FileNotFoundError):
        training.train(tiny(), tmp_path / "nothing", tmp_path / "run")
    single = tmp_path / "single"
    single.mkdir()
    (single / "0.png").write_bytes((photos / "00.png").read_bytes())
    with pytest.raises(ValueError, match="too few"):
        training.train(tiny(), single, tmp_path / "run", console=quiet())
