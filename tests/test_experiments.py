"""Every experiment runs at toy size and leaves what it promises; what its figures mean is for people."""

import csv
import io
import json
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from experiments import color_unet, colornet, common, compare, dropout_cnn, rainbownet, resnet18
from rainbownet import codecs, training

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains through tf.data")

NOTEBOOK = Path(__file__).parent.parent / "experiments/quickstart.ipynb"


@pytest.fixture(scope="module", autouse=True)
def quicker():
    """Leaves out what takes seconds in each of the many short runs.

    Codecs of one kind share their table of all colours, and networks are not traced and compiled for a step or two.
    """
    original, kept = codecs.BucketCodec._table, {}

    def table(codec):
        key = type(codec).__name__ + json.dumps(codec.get_config(), default=str, sort_keys=True)
        if key not in kept:
            kept[key] = original.func(codec)
        return kept[key]

    # Where Keras itself defines it: a class that overrides it is not compiled when it is loaded.
    trainer = next(base for base in keras.Model.__mro__ if "compile" in vars(base))
    compile_ = trainer.compile

    def compile_eagerly(model, *args, **options):
        return compile_(model, *args, **{**options, "run_eagerly": True})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codecs.BucketCodec, "_table", property(table))
        patch.setattr(trainer, "compile", compile_eagerly)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """80 photos of 48x40 in two folders: 77 to train on and 3 to validate."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(80):
        kind = folder / ("beach" if i % 2 else "forest")
        kind.mkdir(exist_ok=True)
        rgb = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        Image.fromarray(rgb).resize((48, 40)).save(kind / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(photos, out):
    """Runs an experiment of a page, once, and gives its results."""

    def run(page, name, *more):
        if not (out / name / "results.json").exists():
            page.main([name, str(photos), "--out", str(out), "--quick", *more])
        return json.loads((out / name / "results.json").read_text())

    return run


def test_overfit_learns_by_heart(run, out):
    figures = run(rainbownet, "overfit")
    assert figures["last_loss"] < figures["first_loss"]
    assert (out / "overfit/overfit.jpg").is_file() and (out / "overfit/losses.png").is_file()


def test_weighting_compares_two_runs(run, out):
    figures = run(rainbownet, "weighting")
    assert set(figures) == {"unweighted", "rebalanced"}
    recipes = [json.loads((out / "weighting" / name / "run.json").read_text())["recipe"] for name in figures]
    assert [recipe["rebalance"] for recipe in recipes] == [None, 0.5]
    # 3 photos, of which the whole experiment knows the same list.
    lists = {(out / "weighting" / name / "photos.csv").read_text() for name in figures}
    assert len(lists) == 1
    for name in ("curves.png", "sheet.jpg", "config.json"):
        assert (out / "weighting" / name).is_file()
    for row in figures.values():
        assert row["steps"] == common.QUICK_STEPS and row["parameters"] > 1000 and row["ms_a_photo"] > 0
        assert set(row["nothing"]) == {"gray", "best single color", "another photo's colors"}
        assert row["vividness"] == pytest.approx(row["colorfulness"] / row["truth"]["colorfulness"])


def test_clusters_count_every_photo(run, out):
    figures = run(rainbownet, "clusters")
    assert figures["photos"] == sum(figures["cluster_sizes"]) == 80
    assert (out / "clusters/clusters.png").is_file()


@pytest.mark.slow  # embeds photos
def test_fusion_compares_with_the_same_network_without_it(run, out):
    figures = run(rainbownet, "fusion")
    # What fusion adds: the 1x1 convolution of 1000 + 32 features to 32, instead of nothing.
    assert figures["fusion"]["parameters"] - figures["without"]["parameters"] == (1000 + 32) * 32 + 32
    assert (out / "fusion/losses.png").is_file()


def test_baseline_stands_beside_the_buckets(run):
    assert set(run(rainbownet, "baseline")) == {"baseline", "plain"}


def test_bins_are_32_and_6(run, out):
    assert set(run(color_unet, "bins")) == {"32 bins", "6 bins"}
    for n in (32, 6):
        assert len(json.loads((out / f"bins/{n} bins/prior.json").read_text())["buckets"]) == n


def test_temperatures_are_of_one_network(run, out):
    figures = run(color_unet, "temperatures")
    assert len(figures) == len(color_unet.TEMPERATURES)
    assert [path.parent.name for path in (out / "temperatures").glob("*/best.keras")] == ["network"]
    # A mean over colours is grayer than the likeliest of them.
    assert figures["T 1.0"]["chroma"] < figures["T 0.0"]["chroma"]


def test_categories_are_measured_on_their_own_photos(run, out):
    figures = run(color_unet, "categories", "--kinds", "beach")
    assert set(figures) == {"of these", "of all"}
    few, everything = (parts(out / "categories" / name) for name in ("of these", "of all"))
    assert all(name.startswith("beach/") for name in few["train"] + few["val"])
    assert len(few["train"]) == len(everything["train"])
    assert {name.split("/")[0] for name in everything["train"]} == {"beach", "forest"}


def test_categories_that_are_not_there(photos, tmp_path, capsys):
    with pytest.raises(SystemExit):
        color_unet.main(["categories", str(photos), "--out", str(tmp_path), "--quick", "--kinds", "ocean"])
    assert "no photo lies in a folder named ocean; the folders are beach, forest." in capsys.readouterr().err.lower()


def test_sizes_validate_on_the_same_photos(run, out):
    figures = run(color_unet, "sizes")
    assert list(figures) == ["9 photos", "38 photos", "77 photos"]
    found = [parts(out / "sizes" / name) for name in figures]
    assert [len(part["train"]) for part in found] == [9, 38, 77]
    assert found[0]["val"] == found[1]["val"] == found[2]["val"]


def test_norms_differ(run):
    figures = run(color_unet, "norms")
    # Two numbers a channel for the layer's, four for the batch's, in 18 normalizations.
    assert figures["batch"]["parameters"] > figures["layer"]["parameters"]


def test_two_colors_names_what_bins_could_do(run, out, photos):
    figures = run(color_unet, "two_colors", "--prior-photos", str(photos / "beach"))
    assert set(figures) == {"published", "own weights", "wide bins"}
    for row in figures.values():
        assert 1 <= row["colors_a_photo"] <= 313
        assert row["ceiling"]["auc_balanced"] > row["auc_balanced"]
    assert (out / "two_colors/bins.png").is_file()


def test_few_bins_have_few_colors(run):
    figures = run(color_unet, "ceilings")
    for side in (24, 16):
        few, many = (figures[f"{n} of {side} x {side} cells"] for n in (6, 32))
        assert 1 <= few["colors_a_photo"] < many["colors_a_photo"] < many["truth_colors_a_photo"]
        assert few["auc_balanced"] < many["auc_balanced"] < 100


@pytest.mark.parametrize(
    ("page", "name", "runs"),
    [
        (color_unet, "lambdas", ["unweighted", "lambda 0.1"]),
        (colornet, "global_features", ["global", "local"]),
        (colornet, "heads", ["regression", "buckets"]),
        (colornet, "rates", ["Adam 0.1", "Adam 0.0001"]),
        (resnet18, "loss_curve", ["regression"]),
        (resnet18, "modelz", ["ResNet-18", "ModelZ"]),
        (dropout_cnn, "losses", ["one-hot", "label distance"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_experiment_compares_its_runs(run, out, page, name, runs):
    assert list(run(page, name)) == runs
    for made in ("curves.png", "sheet.jpg"):
        assert (out / name / made).is_file()


def test_resnet18_has_three_heads(photos, tmp_path):
    resnet18.main(["heads", str(photos), "--out", str(tmp_path), "--quick"])
    figures = json.loads((tmp_path / "heads/results.json").read_text())
    # A 3x3 convolution of as many filters as the narrowest block has to 2 or to 313.
    assert figures["buckets"]["parameters"] - figures["regression"]["parameters"] == (313 - 2) * (9 * 2 + 1)
    assert figures["buckets"]["parameters"] == figures["rebalanced"]["parameters"]


def test_dropout_measures_both_losses_without_it(run, out):
    figures = run(dropout_cnn, "dropout")
    assert set(figures) == {"dropout 0.5", "dropout 0.0"}
    assert all(row["last_train_loss"] > 0 and row["last_val_loss"] > 0 for row in figures.values())
    with tarfile.open(out / "dropout/few.tar") as archive:
        assert len(archive.getnames()) == 21 + 3


def test_more_colors_come_closer(run, out):
    figures = run(dropout_cnn, "palette")
    errors = [figures[f"{n} colours"]["auc"] for n in dropout_cnn.PALETTES]
    assert errors == sorted(errors)
    # Gray, the four palettes and the truth.
    assert Image.open(out / "palette/palette.jpg").height == 6 * (common.TILE + common.GAP) - common.GAP


def test_compare_goes_on_with_what_is_missing(photos, tmp_path, monkeypatch):
    def compared(*names):
        compare.main([str(photos), "--out", str(tmp_path), "--quick", "--systems", *names])
        return json.loads((tmp_path / "compare/results.json").read_text())

    first = compared("dropout_cnn", "eccv16")
    trained, train = [], training.train

    def counted(system, *args, **options):
        trained.append(system)
        return train(system, *args, **options)

    monkeypatch.setattr(training, "train", counted)
    both = compared("dropout_cnn", "eccv16", "resnet18:head=buckets,grid=112")
    assert list(both) == ["dropout_cnn", "eccv16", "resnet18_head=buckets,grid=112"]
    assert [system.name for system in trained] == ["resnet18"]
    assert both["eccv16"] == first["eccv16"]
    table = (tmp_path / "compare/table.md").read_text().splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == [
        *both, "gray", "best single color", "another photo's colors", "truth",
    ]  # fmt: skip
    # Gray, three systems and the truth.
    assert Image.open(tmp_path / "compare/sheet.jpg").height == 5 * (common.TILE + common.GAP) - common.GAP
    with pytest.raises(SystemExit):
        compare.main([str(photos), "--out", str(tmp_path), "--quick", "--systems", "eccv16", "--seed", "1"])


def test_every_experiment_is_tried():
    source = Path(__file__).read_text()
    pages = (rainbownet, color_unet, colornet, resnet18, dropout_cnn)
    missing = [name for page in pages for name in page.EXPERIMENTS if f'"{name}"' not in source]
    assert not missing


def test_options_are_read_as_they_are_typed():
    values = common.named_values(["rebalance=0.5", "norm=batch", "patience=null"])
    assert values == {"rebalance": 0.5, "norm": "batch", "patience": None}
    with pytest.raises(ValueError, match="no NAME=VALUE"):
        common.named_values(["rebalance"])


def test_colors_a_photo_of_two_halves(photos):
    from rainbownet import buckets
    from rainbownet.data.files import find_photos

    def halves(rgb):
        ab = np.zeros((*rgb.shape[:2], 2), "float32")
        ab[:, : rgb.shape[1] // 2] = 40
        return ab

    assert common.colors_a_photo(halves, find_photos(photos)[:2], buckets.ab_313()) == pytest.approx(2)


def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parent.parent))
    notebook = nbformat.read(NOTEBOOK, 4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("epochs=8", "epochs=1").replace("steps_per_epoch=30", "steps_per_epoch=2")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = [output for output in notebook.cells[-1].outputs if output.output_type == "execute_result"]
    assert last[0]["data"]["text/plain"] == "True"


def parts(folder):
    """Names of the photos of a run, by split."""
    rows = list(csv.reader(io.StringIO((folder / "photos.csv").read_text())))
    return {which: [name for part, name in rows if part == which] for which in ("train", "val")}
