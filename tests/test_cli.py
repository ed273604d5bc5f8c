"""The command: what it writes, what it leaves alone, and what it says."""

import io
import json
import os
import re
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rainbownet import __version__, cli


def photo(height=30, width=40, seed=0):
    """(height, width, 3) uint8 in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype="uint8")
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def gray(seed=0):
    return np.asarray(Image.fromarray(photo(seed=seed)).convert("L"))


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Path of a toy model's file."""
    from rainbownet import systems

    path = tmp_path_factory.mktemp("model") / "toy.keras"
    model = systems.get("rainbownet", size=32, filters=2).model()
    logits = model.network.get_layer("logits")
    logits.kernel.assign(logits.kernel * 20)
    model.save(path)
    return path


@pytest.fixture
def run():
    """Calls the command; gives click's result."""

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def colorize(run, model):
    def colorize(*arguments):
        return run("colorize", *arguments, "--model", model)

    return colorize


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def is_colored(path):
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return np.abs(rgb - rgb.mean(axis=-1, keepdims=True)).mean() > 3


def test_version(run):
    assert run("--version").output.strip() == f"rainbownet {__version__}"


@pytest.mark.parametrize("command", ["train", "colorize", "evaluate", "export", "presets", "audit"])
def test_every_command_explains_itself(command, run):
    result = run(command, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_a_folder_is_mirrored(colorize, tmp_path):
    for i, name in enumerate(["a.jpg", "sub/b.png", "sub/deep/c.webp"]):
        save(tmp_path / "in" / name, gray(i))
    (tmp_path / "in" / "notes.txt").write_text("no photo")
    result = colorize(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == ["a.jpg", "sub/b.png", "sub/deep/c.webp"]
    assert all(is_colored(tmp_path / "out" / name) for name in files(tmp_path / "out"))
    assert result.stdout.strip() == "3 colorized, 0 skipped, 0 failed."


def test_several_folders_get_their_names(colorize, tmp_path):
    for folder in ("x", "y"):
        save(tmp_path / folder / "a.png", gray())
    save(tmp_path / "b.png", gray())
    (tmp_path / "x" / "sub").mkdir()
    folders = tmp_path / "x" / "sub" / "..", tmp_path / "y"
    assert colorize(*folders, tmp_path / "b.png", "-o", tmp_path / "out").exit_code == 0
    assert files(tmp_path / "out") == ["b.png", "x/a.png", "y/a.png"]


def test_archives_are_read(colorize, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(gray()).save(buffer, "PNG")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name in ("a.png", "sub/b.png"):
            member = tarfile.TarInfo(name)
            member.size = len(buffer.getvalue())
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
    assert colorize(tmp_path / "photos.tar", "-o", tmp_path / "out").exit_code == 0
    assert files(tmp_path / "out") == ["a.png", "sub/b.png"]
    result = colorize(tmp_path / "photos.tar")
    assert result.exit_code == 2 and "name a folder for the photos of" in " ".join(result.output.split())


def test_a_single_photo_goes_beside_itself(colorize, tmp_path):
    save(tmp_path / "a.png", gray())
    assert colorize(tmp_path / "a.png").exit_code == 0
    assert files(tmp_path) == ["a.png", "a_color.png"]
    assert is_colored(tmp_path / "a_color.png") and not is_colored(tmp_path / "a.png")


def test_a_single_photo_goes_to_a_file_or_into_a_folder(colorize, tmp_path):
    save(tmp_path / "a.png", gray())
    assert colorize(tmp_path / "a.png", "-o", tmp_path / "new" / "b.jpg").exit_code == 0
    assert colorize(tmp_path / "a.png", "-o", tmp_path / "folder").exit_code == 0
    assert files(tmp_path) == ["a.png", "folder/a.png", "new/b.jpg"]
    assert Image.open(tmp_path / "new" / "b.jpg").format == "JPEG"


def test_a_folder_needs_an_output(colorize, tmp_path):
    save(tmp_path / "in" / "a.png", gray())
    result = colorize(tmp_path / "in")
    assert result.exit_code == 2 and "-o" in result.output
    result = colorize(tmp_path / "in", "-o", tmp_path / "out.jpg")
    assert result.exit_code == 0 and files(tmp_path / "out.jpg") == ["a.png"]  # a folder may be called so


def test_metadata_are_kept_and_tell_of_the_coloring(colorize, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "Kodak", "1936:03:09 12:00:00"
    save(tmp_path / "a.jpg", gray(), exif=exif, dpi=(300, 300))
    result = colorize(tmp_path / "a.jpg", "-o", tmp_path / "out", "--temperature", "0.5", "--saturation", "1.25")
    assert result.exit_code == 0
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        exif = image.getexif()
        assert image.size == (30, 40)  # upright
        assert exif.get(0x0112, 1) == 1
        assert (exif[0x010F], exif[0x0132]) == ("Kodak", "1936:03:09 12:00:00")
        assert tuple(round(float(x)) for x in image.info["dpi"]) == (300, 300)
        said = " ".join(str(value) for value in exif.values())
    assert f"colorized by rainbownet {__version__}, model " in said
    assert "/toy.keras, temperature 0.5, saturation 1.25" in said and "flip" not in said


def test_every_dial_reaches_the_colorizer(colorize, tmp_path, monkeypatch):
    from rainbownet.colorizer import Colorizer

    seen = []
    monkeypatch.setattr(Colorizer, "__call__", lambda self, gray: seen.append(self) or np.dstack([gray] * 3))
    save(tmp_path / "a.png", gray())
    dials = ["--calm", "0.5", "--ceiling", "60", "--flip", "--scale", "1", "--scale", "1.5"]
    dials += ["--stretch", "network"]
    assert colorize(tmp_path / "a.png", *dials).exit_code == 0
    settings = seen[0].settings
    assert (settings.ceiling, settings.flip, settings.scales, settings.stretch) == (60, True, (1, 1.5), "network")
    assert (settings.temperature, settings.saturation, settings.calm) == (None, 1, 0.5)
    said = "saturation 1, calm 0.5, ceiling 60, flip yes, scales 1 and 1.5, stretch network"
    assert seen[0].describe() == f"temperature {seen[0].model.default_temperature:g}, {said}"
    result = colorize(tmp_path / "a.png", "--overwrite", "--stretch", "all")
    assert "`stretch` must be one of none, network, photo; received 'all'." in mistake(result)


def test_16_bits_and_transparency_are_kept(colorize, tmp_path):
    save(tmp_path / "in" / "deep.png", gray().astype("uint16") * 257)
    rgba = np.dstack([photo(), np.arange(1200, dtype="uint8").reshape(30, 40)])
    save(tmp_path / "in" / "clear.png", rgba)
    assert colorize(tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out" / "deep.png").read_bytes()[24:26] == b"\x10\x02"  # 16 bits, RGB (PNG, section 11.2.2)
    with Image.open(tmp_path / "out" / "clear.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], rgba[..., 3])


def test_what_was_written_before_is_left_alone_unless_told(colorize, tmp_path):
    save(tmp_path / "in" / "a.png", gray())
    save(tmp_path / "in" / "b.png", gray(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    result = colorize(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert "a.png exists; --overwrite replaces it." in result.stdout.replace("\n", "")
    assert "1 colorized, 1 skipped, 0 failed." in result.stdout
    assert "2 colorized" in colorize(tmp_path / "in", "-o", tmp_path / "out", "--overwrite").stdout
    assert is_colored(tmp_path / "out" / "a.png")


@pytest.mark.parametrize("flag", [(), ("--overwrite",)])
def test_a_photo_is_never_written_over_itself(flag, colorize, tmp_path):
    before = save(tmp_path / "a.png", gray()).read_bytes()
    for output in (tmp_path, tmp_path / "a.png"):
        result = colorize(tmp_path / "a.png", "-o", output, *flag)
        assert result.exit_code == 1 and "would replace the photo itself" in result.stdout
    assert (tmp_path / "a.png").read_bytes() == before


def test_an_output_folder_among_the_photos_is_not_colored_again(colorize, tmp_path):
    save(tmp_path / "a.png", gray())
    for _ in range(2):
        result = colorize(tmp_path, "-o", tmp_path / "out", "--overwrite")
        assert "1 colorized, 0 skipped, 0 failed." in result.stdout
    assert files(tmp_path) == ["a.png", "out/a.png"]


def test_two_photos_of_one_name_do_not_replace_each_other(colorize, tmp_path):
    for folder in ("x", "y"):
        save(tmp_path / folder / "a.png", gray())
    result = colorize(tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", "-o", tmp_path / "out", "--overwrite")
    assert result.exit_code == 1 and "1 colorized, 0 skipped, 1 failed." in result.stdout
    assert "another photo" in result.stdout


def test_colored_photos_are_skipped_when_told(colorize, tmp_path):
    save(tmp_path / "in" / "gray.png", gray())
    save(tmp_path / "in" / "color.png", photo())
    sepia = (gray()[..., None] * np.array([1, 0.85, 0.65])).astype("uint8")
    save(tmp_path / "in" / "sepia.png", sepia)
    result = colorize(tmp_path / "in", "-o", tmp_path / "out", "--skip-colored")
    assert "skipped color.png: it has colors." in result.stdout
    assert files(tmp_path / "out") == ["gray.png", "sepia.png"]


def test_comparisons_show_the_truth_where_there_is_one(colorize, tmp_path):
    save(tmp_path / "in" / "gray.png", gray())
    save(tmp_path / "in" / "color.png", photo())
    assert colorize(tmp_path / "in", "-o", tmp_path / "out", "--compare").exit_code == 0
    assert files(tmp_path / "out") == ["color.png", "color_compare.png", "gray.png", "gray_compare.png"]
    two = np.asarray(Image.open(tmp_path / "out" / "gray_compare.png"))
    three = np.asarray(Image.open(tmp_path / "out" / "color_compare.png"))
    assert two.shape == (30, 80, 3) and three.shape == (30, 120, 3)
    np.testing.assert_array_equal(two[:, :40, 0], gray())
    np.testing.assert_array_equal(three[:, 80:], photo())
    np.testing.assert_array_equal(three[:, 40:80], np.asarray(Image.open(tmp_path / "out" / "color.png")))


def test_a_bad_file_does_not_stop_the_others(colorize, tmp_path):
    whole = save(tmp_path / "in" / "a.jpg", photo(200, 300)).read_bytes()
    (tmp_path / "in" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "text.jpg").write_text("no photo")
    save(tmp_path / "in" / "z.jpg", gray())
    result = colorize(tmp_path / "in", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert files(tmp_path / "out") == ["a.jpg", "z.jpg"]
    lines = result.stdout.splitlines()
    assert lines[-1] == "2 colorized, 0 skipped, 2 failed."
    assert [line.split(":")[0] for line in lines[:-1]] == ["failed half.jpg", "failed text.jpg"]


def test_running_out_of_memory_is_told_and_leaves_no_gray_photo(colorize, tmp_path, monkeypatch):
    from rainbownet.colorizer import Colorizer

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(Colorizer, "__call__", fail)
    save(tmp_path / "a.png", gray())
    result = colorize(tmp_path / "a.png")
    assert result.exit_code == 1 and "failed a.png: memory ran out." in result.stdout
    assert files(tmp_path) == ["a.png"]


@pytest.mark.parametrize("size", [(1, 1), (2, 3000)])
def test_photos_of_odd_sizes(size, colorize, tmp_path):
    save(tmp_path / "a.png", np.full(size, 100, "uint8"))
    assert colorize(tmp_path / "a.png").exit_code == 0
    assert Image.open(tmp_path / "a_color.png").size == size[::-1]


def mistake(result):
    """The one sentence of an error."""
    assert result.exit_code == 1 and result.exception.__class__ is SystemExit
    assert "Traceback" not in result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


def test_wrong_paths_are_told_before_anything_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_start_keras", lambda: pytest.fail("Keras was imported"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no photo")
    out = tmp_path / "out"
    assert "none does not exist" in mistake(run("colorize", tmp_path / "none", "-o", out))
    assert "no photo was found in" in mistake(run("colorize", tmp_path / "empty", "-o", out))
    assert "neither a photo nor an archive" in mistake(run("colorize", tmp_path / "notes.txt", "-o", out))
    assert "no photo was found in" in mistake(run("evaluate", "model", tmp_path / "empty"))
    assert "no photo was found in" in mistake(run("audit", tmp_path / "empty"))
    assert not out.exists()


def test_a_folder_that_cannot_be_written_to_is_told(run, tmp_path, monkeypatch):
    save(tmp_path / "a.png", gray())
    (tmp_path / "file").touch()
    monkeypatch.setattr(cli, "_start_keras", lambda: pytest.fail("Keras was imported"))
    said = mistake(run("colorize", tmp_path / "a.png", "-o", tmp_path / "file" / "out"))
    assert "file/out cannot be written to (Not a directory); choose another output folder." in said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_told(run, tmp_path):
    save(tmp_path / "a.png", gray())
    (tmp_path / "out").mkdir(mode=0o500)
    said = mistake(run("colorize", tmp_path / "a.png", "-o", tmp_path / "out"))
    assert "out cannot be written to (Permission denied)" in said


def test_a_read_only_file_system_is_told(run, tmp_path, monkeypatch):
    save(tmp_path / "a.png", gray())

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(cli.tempfile, "TemporaryFile", refuse)
    assert "(Read-only file system)" in mistake(run("colorize", tmp_path / "a.png", "-o", tmp_path / "out"))


def test_a_model_that_is_none_is_told(run, tmp_path):
    import keras

    save(tmp_path / "a.png", gray())
    (tmp_path / "text.keras").write_text("no model")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    for name, sentence in {
        "nothing": "No model is named 'nothing'",
        tmp_path: "is no model: expected a .keras file",
        tmp_path / "text.keras": "text.keras cannot be read as a model",
        tmp_path / "other.keras": "not a model of rainbownet",
    }.items():
        assert sentence in mistake(run("colorize", tmp_path / "a.png", "--model", name))
        assert sentence in mistake(run("evaluate", name, tmp_path / "a.png"))
        assert sentence in mistake(run("export", name, tmp_path / "out"))
    assert files(tmp_path) == ["a.png", "other.keras", "text.keras"]


@pytest.mark.parametrize("dial", ["--temperature", "--saturation"])
def test_dials_below_zero_are_a_wrong_use(dial, colorize, tmp_path):
    save(tmp_path / "a.png", gray())
    assert colorize(tmp_path / "a.png", dial, "-1").exit_code == 2


def test_evaluate_prints_tables_and_verdict_and_writes_files(run, model, tmp_path):
    for i in range(3):
        save(tmp_path / "photos" / f"{i}.png", photo(40, 48, i))
    out = tmp_path / "report"
    result = run("evaluate", model, tmp_path / "photos", "--size", "40", "--damage", "--out", out)
    assert result.exit_code == 0, result.output
    for text in ("PSNR", "best single color", "3 photos; short side 40", "saw 32 x 32", "JPEG-crushed", "On 3 photos"):
        assert text in " ".join(result.stdout.split())
    assert json.loads((out / "results.json").read_text())["protocol"]["photos"] == 3
    assert (out / "photos.csv").read_text().startswith("name,height,width,")
    assert (out / "report.html").read_text().count("data:image/jpeg") == 3 * 3 + 6 * 2


def test_evaluate_alone_writes_nothing(run, model, tmp_path):
    save(tmp_path / "photos" / "a.png", photo(40, 48))
    assert run("evaluate", model, tmp_path / "photos").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_evaluate_tells_what_is_missing(run, model, tmp_path, monkeypatch):
    save(tmp_path / "a.png", photo(40, 48))
    assert "8 pixels or more; received 4" in mistake(run("evaluate", model, tmp_path / "a.png", "--size", "4"))
    monkeypatch.setitem(sys.modules, "lpips", None)
    assert "pip install 'rainbownet[lpips]'" in mistake(run("evaluate", model, tmp_path / "a.png", "--lpips"))
    assert "none.h5 is no file" in mistake(run("evaluate", model, tmp_path / "a.png", "--fid", "none.h5"))
    assert "choose another output folder" in mistake(
        run("evaluate", model, tmp_path / "a.png", "--out", tmp_path / "a.png")
    )


def test_export_tells_the_difference(run, model, tmp_path, monkeypatch):
    import rainbownet.export

    calls = []

    def export(model, out, overwrite):
        calls.append((type(model).__name__, out, overwrite))
        return {"largest": 2.0, "mean": 0.125}

    monkeypatch.setattr(rainbownet.export, "export", export)
    result = run("export", model, tmp_path / "out", "--overwrite")
    assert result.exit_code == 0, result.output
    assert calls == [("ColorModel", tmp_path / "out", True)]
    assert "by 0.12 levels of 255 in the mean, by 2 at most." in result.stdout


def test_export_leaves_what_is_there_alone(run, model, tmp_path):
    save(tmp_path / "out" / "a.png", gray())
    assert "out exists already" in mistake(run("export", model, tmp_path / "out"))


def test_presets_are_listed(run, tmp_path, monkeypatch):
    from rainbownet import presets, systems

    monkeypatch.setattr(presets, "_root", lambda: tmp_path)
    assert "No preset is installed." in run("presets").stdout
    model = systems.get("rainbownet", size=16, filters=2).model()
    presets.save_preset(model, tmp_path / presets.DEFAULT, {"description": "for tests"})
    assert re.search(rf"{presets.DEFAULT} \(default\).*for tests", run("presets").stdout)


def test_audit_lists_what_is_refused(run, tmp_path):
    save(tmp_path / "in" / "gray.png", gray())
    save(tmp_path / "in" / "color.png", photo(64, 64))
    (tmp_path / "in" / "text.jpg").write_text("no photo")
    result = run("audit", tmp_path / "in", "--out", tmp_path / "refused.csv")
    assert result.exit_code == 0, result.output
    assert "3 photos: 1 kept" in result.stdout
    assert "text.jpg: unreadable" in result.stdout
    assert "text.jpg" in (tmp_path / "refused.csv").read_text()


def test_train_passes_on_what_is_given(run, tmp_path, monkeypatch):
    from rainbownet import training

    calls = []
    monkeypatch.setattr(training, "train", lambda *arguments, **options: calls.append((arguments, options)))
    options = ["--minutes", "5", "--size", "64", "--rebalance", "0.3"]
    options += ["--set", "schedule=cosine", "--set", "patience=null"]
    result = run("train", "rainbownet", tmp_path, "--out", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    (((system, photos, out), options),) = calls
    assert (system.recipe.size, system.recipe.rebalance, system.recipe.batch) == (64, 0.3, 32)
    assert (system.recipe.schedule, system.recipe.patience) == ("cosine", None)
    assert (photos, out) == ([tmp_path], tmp_path / "run")
    assert options["minutes"] == 5 and options["epochs"] is None


def test_train_tells_mistakes(run, tmp_path):
    assert "There is no system named 'resnet'" in mistake(run("train", "resnet", tmp_path, "--out", tmp_path / "run"))
    said = mistake(run("train", "rainbownet", tmp_path, "--out", tmp_path / "run", "--size", "30"))
    assert "must be divisible by 8" in said
    said = mistake(run("train", "rainbownet", tmp_path, "--out", tmp_path / "run", "--set", "color=1"))
    assert "cannot be set up like this" in said
    assert run("train", "rainbownet", tmp_path, "--out", tmp_path / "run", "--set", "color").exit_code == 2
    assert "no photo was found" in mistake(run("train", "rainbownet", tmp_path, "--out", tmp_path / "run"))
