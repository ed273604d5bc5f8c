"""What the networks of the presets take for a photo of 256x256: `python -m benchmarks.network`."""

import time

import numpy as np

from benchmarks import bench
from rainbownet import presets
from rainbownet.colorizer import frames

TITLE = "Networks, a photo of 256x256"
AIMS = {"lite_unet": 60, "fast": 15}  # milliseconds on two cores


def measure(arguments):
    """Returns the rows of the table."""
    rounds = 2 if arguments.quick else 30
    rows = []
    for name in presets.names():
        model = presets.load_preset(presets.path(name))
        (frame,) = frames(model, 256, 256, model.defaults.get("scales", (1.0,)))
        for what, height, width in (("as it is shown to it", *frame.padded), ("at 256 x 256", 256, 256)):
            l = np.random.default_rng(0).uniform(0, 100, (1, height, width, 1)).astype("float32")
            eager = _fastest(lambda l=l, model=model: model.network(l, training=False), rounds)
            compiled = _fastest(lambda l=l, model=model: model.network.predict_on_batch(l), rounds)
            aim = ("<=", AIMS[name]) if name in AIMS and what != "at 256 x 256" else None
            rows.append(bench.Row(f"{name}, {what} ({height} x {width})", eager * 1000, "ms", aim))
            rows.append(bench.Row(f"{name}, {what}, compiled", compiled * 1000, "ms", aim))
    return rows


def _fastest(call, rounds):
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        np.asarray(call())  # waits for it, and copies nothing
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])  # the first one compiles


if __name__ == "__main__":
    bench.main(TITLE, measure)
