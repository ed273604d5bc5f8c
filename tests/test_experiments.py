"""Every experiment runs at toy size and leaves what it promises; what its figures mean is for people."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from data_prep import make_preset
from experiments import rainbownet
from rainbownet import presets

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains through tf.data")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(80):
        rgb = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        Image.fromarray(rgb).resize((48, 40)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    for name in ("overfit", "weighting", "clusters"):
        rainbownet.main([name, str(photos), "--out", str(out), "--quick"])
    return out


def results(runs, name):
    return json.loads((runs / name / "experiment.json").read_text())


def test_overfit_learns_by_heart(runs):
    figures = results(runs, "overfit")
    assert figures["last_loss"] < figures["first_loss"]
    width, height = Image.open(runs / "overfit/overfit.png").size
    assert (width, height) == (8 * 32, 3 * 32)
    assert (runs / "overfit/losses.png").is_file()


def test_weighting_compares_two_runs(runs):
    figures = results(runs, "weighting")
    assert set(figures) == {"unweighted", "rebalanced"}
    assert json.loads((runs / "weighting/unweighted/run.json").read_text())["recipe"]["rebalance"] is None
    assert json.loads((runs / "weighting/rebalanced/run.json").read_text())["recipe"]["rebalance"] == 0.5
    assert (runs / "weighting/losses.png").is_file()


def test_clusters_count_every_photo(runs):
    figures = results(runs, "clusters")
    assert figures["photos"] == sum(figures["cluster_sizes"]) == 80
    assert (runs / "clusters/clusters.png").is_file()


@pytest.mark.slow  # builds InceptionResNetV2
def test_fusion_compares_with_plain(photos, tmp_path):
    rainbownet.main(["fusion", str(photos), "--out", str(tmp_path), "--quick"])
    assert set(results(tmp_path, "fusion")) == {"plain", "fusion"}


def test_baseline_stands_beside_the_buckets(photos, tmp_path):
    rainbownet.main(["baseline", str(photos), "--out", str(tmp_path), "--quick"])
    assert set(results(tmp_path, "baseline")) == {"baseline", "plain"}


def test_a_run_becomes_a_preset_with_a_card(runs, photos, tmp_path):
    notes = tmp_path / "notes.json"
    text = {"description": "A toy.", "data": "Noise.", "machine": "a toy", "commands": ["make toy"], "limits": ["All."]}
    notes.write_text(json.dumps(text))
    run, folder = runs / "weighting/rebalanced", tmp_path / "toy"
    make_preset.main([str(run), str(folder), "--held-out", str(photos), "--notes", str(notes)])
    model, metadata = presets.load_preset(folder), json.loads((folder / "metadata.json").read_text())
    assert model.default_temperature == make_preset.choose_temperature(metadata["temperatures"])
    (figures,) = metadata["evaluation"].values()
    assert figures["protocol"]["photos"] == 80 and figures["protocol"]["temperature"] == model.default_temperature
    card = (folder / "README.md").read_text()
    row = figures["rows"]["model"]
    assert f"| model | {row['psnr']:.2f} | {row['auc']:.1f} | {row['auc_balanced']:.1f} |" in card
    assert "A toy." in card and "make toy" in card and "- All." in card and "| gray |" in card


def test_temperature_is_the_most_lifelike_of_those_as_good_as_the_best():
    def tried(*rows):
        keys = ("temperature", "vividness", "auc_balanced")
        return [dict(zip(keys, row, strict=True)) for row in rows]

    rows = tried((0, 1.0, 66.0), (0.4, 1.3, 67.0), (0.7, 0.9, 66.8), (1, 0.5, 66.9))
    assert make_preset.choose_temperature(rows) == 0.7
