"""The README's code is run as it stands there, in order, in a folder that looks like a fresh clone with some photos."""

import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rainbownet import presets
from rainbownet.cli import app

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains and serves with TensorFlow")


def blocks(checkout, language):
    text = (checkout / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def desk(checkout, tmp_path_factory):
    """A folder with `docs/photos` of the checkout and 90 small colour photos in `photos`."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(checkout / "docs/photos", folder / "docs/photos")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(90):
        rgb = rng.integers(0, 256, (5, 6, 3)).astype("uint8")
        Image.fromarray(rgb).resize((48, 40)).save(folder / f"photos/{i}.jpg")
    return folder


def test_python_blocks_run(checkout, desk, monkeypatch):
    monkeypatch.chdir(desk)
    script, notebook, server = blocks(checkout, "python")
    names = {}
    exec(script, names)
    assert names["picture"].shape == (*Image.open("docs/photos/colorado_1941.jpg").size[::-1], 3)
    assert np.ptp(names["picture"].astype(int), axis=-1).mean() > np.ptp(names["pale"].astype(int), axis=-1).mean() > 0
    exec(notebook, names)
    assert names["picture"].shape == Image.open("colorado.png").size[::-1] + (3,)
    command = re.search(r"`rainbownet (export lite_unet \S+)`", readme(checkout))[1]
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    exec(server, names)
    served = np.asarray(Image.open("colorado_served.png")).astype(int)
    assert np.abs(served - np.asarray(Image.open("colorado.png"))).mean() < 2


def test_commands_run(checkout, desk, monkeypatch):
    monkeypatch.chdir(desk)
    lines = [line for block in blocks(checkout, "bash") for line in block.splitlines() if line.startswith("rainbownet")]
    assert len(lines) >= 7
    for line in lines:
        # A training of an hour is for people; here it is seconds, on thumbnails.
        line = line.replace("--minutes 60", "--steps 6 --size 32 --set batch=8")
        result = CliRunner().invoke(app, line.split()[1:])
        assert result.exit_code == 0, f"{line}: {result.output}"
    for colored in ("colored", "colored_by_mine"):
        assert (desk / colored / "colorado_1941.jpg").is_file()


def test_the_start_command_colors_a_photo_that_is_there(checkout):
    command = re.search(r"<!-- start command -->\n```bash\n(.*?)\n```", readme(checkout), re.DOTALL)[1]
    photo = re.search(r"rainbownet colorize (\S+)", command)[1]
    assert (checkout / photo).is_file()
    assert presets.DEFAULT in presets.names()


def test_links_lead_somewhere(checkout):
    prose = re.sub(r"```.*?```", "", readme(checkout), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert len(targets) > 5
    for target in targets:
        assert (checkout / target).exists(), target


def readme(checkout):
    return (checkout / "README.md").read_text()
