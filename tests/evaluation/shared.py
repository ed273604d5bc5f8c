"""What the tests of the evaluation share: photos, and a stand-in for a model."""

from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image
from skimage import data
from skimage.color import lab2rgb

from rainbownet import buckets, codecs

DOCS = Path(__file__).resolve().parents[2] / "docs" / "photos"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def real_photos(side=96):
    """Two photographs in colour that come with scikit-image, (2, side, side, 3) uint8."""
    squares = [data.astronaut(), data.coffee()[:, 100:500]]
    return np.stack(
        [np.asarray(Image.fromarray(photo).resize((side, side), Image.Resampling.BOX)) for photo in squares]
    )


class Painter:
    """Stands in for a `ColorModel`; `paint` maps L to ab."""

    name = "painter"
    size = (32, 32)
    stride = 8
    fixed_size = False
    needs_embedding = False
    embedder = None
    defaults = {}

    def __init__(self, paint, **attributes):
        self.paint = paint
        self.codec = codecs.BucketCodec(buckets.ab_112())
        self.shapes, self.temperatures = [], []
        self.__dict__.update(attributes)

    @property
    def default_temperature(self):
        return getattr(self.codec, "temperature", None)

    def count_params(self):
        return 1234

    def predict_chroma(self, l, embedding=None, temperature=None, calm=0.0):
        self.shapes.append(tuple(l.shape))
        self.temperatures.append(temperature)
        return ops.convert_to_tensor(self.paint(l) if embedding is None else self.paint(l, embedding))


def gray(l):
    return np.zeros((*l.shape[:3], 2), "float32")


def from_luminance(l):
    """Colors that follow from L: dark is blue, light is yellow."""
    l = np.asarray(l)
    return np.concatenate([0.1 * (l - 50), 0.8 * (l - 50)], -1).astype("float32")


def write_photos(folder):
    """Writes photos of these colours: 12 of 48x40, two tall ones, a small one."""
    rng = np.random.default_rng(1)
    for i, (height, width) in enumerate([(40, 48)] * 12 + [(64, 40)] * 2 + [(19, 18)]):
        l = Image.fromarray(rng.uniform(20, 80, (3, 3)).astype("float32")).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        l = np.asarray(l)[..., None]
        lab = np.concatenate([l, from_luminance(l[None])[0]], -1)
        Image.fromarray(np.rint(lab2rgb(lab) * 255).astype("uint8")).save(folder / f"{i:02}.png")
    return folder
