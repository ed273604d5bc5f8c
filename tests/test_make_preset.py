"""A run becomes a preset whose settings were chosen on its validation photos."""

import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

from data_prep import make_preset
from rainbownet import presets, systems, training

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains through tf.data")


def test_a_run_becomes_a_preset_with_a_card(tmp_path, monkeypatch):
    photos, unseen = tmp_path / "photos", tmp_path / "unseen"
    photos.mkdir()
    unseen.mkdir()
    rng = np.random.default_rng(0)
    for i in range(96):
        rgb = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        Image.fromarray(rgb).resize((48, 40)).save((photos if i < 80 else unseen) / f"{i}.png")
    training.train(systems.get("rainbownet", size=32, filters=2, batch=8), photos, tmp_path / "run", steps=2)
    notes = tmp_path / "notes.json"
    text = {
        "description": "A toy.", "data": "Drawn alike.", "photos": [["80", "noise", "first", "nowhere", "none"]],
        "machine": "a toy", "commands": ["make toy"], "limits": ["All."], "failures": "The worst:",
        "history": ["Long."],
    }  # fmt: skip
    notes.write_text(json.dumps(text))
    folder = tmp_path / "toy"
    run, held_out = str(tmp_path / "run"), str(unseen)
    given = ["--held-out", held_out, "--damage", held_out, "--choose-on", held_out, "--notes", str(notes)]
    chosen_on, choose = [], make_preset.choose_settings

    def spy(model, groups, largest):
        chosen_on.append([len(files) for files in groups])
        return choose(model, groups, largest)

    monkeypatch.setattr(make_preset, "choose_settings", spy)
    # Two of each are enough to choose from here.
    monkeypatch.setattr(make_preset, "TRIED", tuple(group[:2] for group in make_preset.TRIED))
    make_preset.main([run, str(folder), *given])
    assert chosen_on == [[16]]

    model, metadata = presets.load_preset(folder), json.loads((folder / "metadata.json").read_text())
    chosen = [row["setting"] for row in metadata["settings"] if row["chosen"]]
    names = ["scales", "temperature", "saturation", "calm", "flip", "stretch"]
    assert [name for setting in chosen for name in setting] == names
    wanted = {name: value for setting in chosen for name, value in setting.items()}
    assert json.loads(json.dumps(model.defaults)) == wanted
    (figures,) = metadata["evaluation"].values()
    assert figures["protocol"]["photos"] == 16
    card = (folder / "README.md").read_text()
    row = figures["rows"]["model"]
    assert f"| model | {row['psnr']:.2f} | {row['auc']:.1f} | {row['auc_balanced']:.1f} |" in card
    assert f"scales {wanted['scales']}, temperature" in card
    assert "A toy." in card and "make toy" in card and "- All." in card and "| gray |" in card and "- Long." in card
    assert "| 80 | noise | first | nowhere | none |" in card and "The worst:\n\n![Failures](failures.jpg)" in card
    assert card.count("(chosen)") == 5 and "chosen on unseen, one after" in card
    assert "grainy" in figures["damage"] and "Damages take of that gain: " in card


def test_notes_that_lack_something_are_told_before_the_work(tmp_path):
    with pytest.raises(ValueError, match="The notes lack photos, machine, limits, failures, history"):
        make_preset.make_preset(tmp_path, tmp_path, [], {"description": "", "data": "", "commands": []})


@pytest.mark.parametrize("name", ["lite_unet", "fast"])
def test_the_cards_that_ship_say_what_was_measured(name):
    folder = presets.resolve(name)
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (folder / "README.md").read_text() == make_preset.card(metadata, presets.load(folder).defaults)


def settings_where(monkeypatch, liked, default_temperature, **options):
    def measure(model, photos, damaged):
        better = all(model.defaults.get(name) == value for name, value in liked.items())
        return {"auc": 87.0, "auc_balanced": 66.0 + better, "psnr": 22.0, "vividness": 0.9}

    monkeypatch.setattr(make_preset, "_measure", measure)
    model = types.SimpleNamespace(default_temperature=default_temperature, size=(32, 32), fixed_size=False)
    return make_preset.choose_settings(model, [], **options), model.defaults


def test_temperature_and_saturation_are_chosen_together(monkeypatch):
    liked = {"temperature": 1.4, "saturation": 1.1}
    rows, defaults = settings_where(monkeypatch, liked, 1.0)
    assert defaults == {"scales": [1.0], **liked, "calm": 1.0, "flip": False, "stretch": "none"}
    assert [row["setting"] for row in rows if row["chosen"]][1] == liked


def test_a_scale_that_is_too_large_is_measured_and_not_chosen(monkeypatch):
    rows, defaults = settings_where(monkeypatch, {"scales": [1.25]}, 1.0)
    assert defaults["scales"] == [1.25]
    same, defaults = settings_where(monkeypatch, {"scales": [1.25]}, 1.0, largest=1.0)
    assert defaults["scales"] == [1.0] and [row["setting"] for row in same] == [row["setting"] for row in rows]


def test_a_regression_has_no_temperature_to_choose(monkeypatch):
    rows, defaults = settings_where(monkeypatch, {"saturation": 0.9}, None)
    assert defaults == {"scales": [1.0], "saturation": 0.9, "flip": False, "stretch": "none"}
    tried = [row["setting"]["saturation"] for row in rows if "saturation" in row["setting"]]
    assert sorted(tried) == [0.8, 0.9, 1.0, 1.05, 1.1]
    assert not any("temperature" in row["setting"] for row in rows)


def test_damages_are_listed_from_the_worst():
    damage = {name: {"loss": {"auc_balanced": {"share_of_gain": s}}} for name, s in (("blurred", 0.08), ("faded", 0.4))}
    assert make_preset._taken(damage) == "faded 40%, blurred 8%"


def found(*rows):
    return [dict(zip(("setting", "vividness", "auc", "auc_balanced"), row, strict=True), passes=1) for row in rows]


def test_the_setting_that_stays_has_the_highest_sum_of_both_auc():
    rows = found(("a", 0.9, 87.0, 66.0), ("b", 0.8, 88.0, 65.5), ("c", 1.0, 86.0, 66.5))
    assert make_preset.best_of(rows)["setting"] == "b"


def test_a_saturation_that_is_too_pale_or_too_strong_does_not_stay():
    pale, right, strong = ({"saturation": saturation} for saturation in (0.8, 1.0, 1.1))
    rows = found((pale, 0.6, 89.0, 66.0), (right, 0.8, 86.0, 64.0), (strong, 1.3, 87.0, 68.0))
    assert make_preset.best_of(rows)["setting"] == right


def test_colorfulness_chooses_nothing_but_the_saturation():
    rows = found(({"calm": 1.0}, 0.73, 87.0, 66.0), ({"calm": 0.0}, 0.74, 86.0, 66.0))
    assert make_preset.best_of(rows)["setting"] == {"calm": 1.0}


def test_calm_may_cost_more_than_noise():
    rows = found(({"calm": 1.0}, 0.8, 87.0, 66.0), ({"calm": 0.0}, 0.8, 87.0, 66.2))
    assert make_preset.best_of(rows)["setting"] == {"calm": 1.0}
    rows[1]["auc"] += 0.2
    assert make_preset.best_of(rows)["setting"] == {"calm": 0.0}


def test_a_further_pass_has_to_bring_more_than_noise():
    rows = found(("one", 0.9, 87.0, 66.0), ("two", 0.9, 87.2, 66.15))
    assert make_preset.best_of(rows)["setting"] == "two"
    rows[1]["passes"] = 2
    assert make_preset.best_of(rows)["setting"] == "one"
    rows[1]["auc"] += 0.3
    assert make_preset.best_of(rows)["setting"] == "two"


def test_passes_count_by_the_time_that_they_take(monkeypatch):
    rows, _ = settings_where(monkeypatch, {}, 1.0)
    said = {str(row["setting"]): row["passes"] for row in rows if row["setting"].keys() & {"scales", "flip"}}
    assert [round(passes, 2) for passes in said.values()] == [1, 0.49, 1.56, 2.25, 1.49, 1, 2]


def test_the_first_setting_stays_where_another_is_no_better_than_noise():
    a_little = found(("off", 0.9, 87.0, 66.0), ("on", 0.9, 87.0, 66.07))
    assert make_preset.best_of(a_little)["setting"] == "off"
    assert make_preset.best_of(found(("off", 0.9, 87.0, 66.0), ("on", 0.9, 87.1, 66.1)))["setting"] == "on"
    # Half of the photos are the same with and without it.
    stretched = found(({"stretch": "none"}, 0.9, 87.0, 66.0), ({"stretch": "network"}, 0.9, 87.0, 66.05))
    assert make_preset.best_of(stretched)["setting"] == {"stretch": "network"}
