"""The presets that ship colour photographs as people expect them."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import Colorizer, color, presets

PHOTOS = Path(__file__).resolve().parent.parent / "docs/photos"
# Rows and columns of a place in a photo, in pixels.
SKY = ("cathedral_1911.jpg", slice(5, 60), slice(10, 180))
GRASS = ("cathedral_1911.jpg", slice(190, 290), slice(190, 330))
SKIN = ("migrant_mother_1936.jpg", slice(120, 260), slice(195, 300))


@pytest.fixture(scope="module", params=["lite_unet", "fast"])
def colored(request):
    colorizer = Colorizer.from_preset(request.param)
    photos = {name: colorizer(PHOTOS / name) for name in (SKY[0], SKIN[0])}
    return {name: ops.convert_to_numpy(color.rgb_to_lab(rgb)) for name, rgb in photos.items()}


def mean_ab(colored, place):
    name, rows, columns = place
    return colored[name][rows, columns, 1:].mean((0, 1))


def test_sky_is_bluer_than_grass_and_skin_warmer_than_both(colored):
    sky, grass, skin = (mean_ab(colored, place) for place in (SKY, GRASS, SKIN))
    assert sky[1] < -2 < 5 < grass[1]  # blue is below zero in b, yellow above
    assert grass[0] < -2  # green is below zero in a
    assert skin[0] > max(sky[0], grass[0]) + 5 and skin[1] > sky[1] + 8


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend is enough for sizes")
@pytest.mark.parametrize(("name", "parameters", "megabytes"), [("lite_unet", 8e6, 20), ("fast", 1.5e6, 4)])
def test_presets_are_small(name, parameters, megabytes):
    model = presets.load_preset(presets.path(name))
    assert model.count_params() <= parameters
    assert (presets.path(name) / "model.weights.npz").stat().st_size < megabytes * 1e6


def test_the_default_ships():
    assert presets.DEFAULT == "lite_unet" and {"lite_unet", "fast"} <= set(presets.names())
    assert np.all([(presets.path(name) / "README.md").is_file() for name in presets.names()])
