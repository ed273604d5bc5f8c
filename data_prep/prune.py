"""Cuts a `lite_unet` off at stride 16: for a run whose stride 32 says little that stride 16 cannot say.

    python -m data_prep.prune RUN PHOTOS [PHOTOS ...] --out OUT

RUN is the folder of a run, PHOTOS are folders or archives, of which at the most 1,500 photos are seen, half of them
damaged as in training. What the decoder hands on from stride 32 to stride 16 is replaced by what features pooled over
the photo at stride 16 tell of its mean over the photo: a linear map from random features (Rahimi & Recht, "Random
features for large-scale kernel machines", NIPS 2007), found by ridge regression. All other weights stay. OUT gets the
model and RUN's log, settings, names of photos and prior, for `make_preset` or for a run that begins with it.
"""

import shutil
from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from data_prep import commands
from experiments.default_model import damaged, gray_levels, middle
from rainbownet import color_model
from rainbownet.data.files import find_photos
from rainbownet.models.lite_unet import lite_unet, options_of

PHOTOS = 1_500
SIDE = 256  # of the squares that are seen, the middles of the photos
BATCH = 16
RIDGE = 0.1  # in variances of a feature


def prune(run, photos, out):
    """Cuts.

    Args:
        run: folder of a run of a `lite_unet` with a stride of 32.
        photos: list of `PhotoFile`.
        out: folder to write.

    Returns:
        The `ColorModel` with a stride of 16, and the share of the variance between photos that its pooled features
        tell, of those that they are not fitted to: 1 where nothing but a constant is lost, and so has no variance.

    Raises:
        ValueError: the run's network is another, or there are fewer than 10 photos.
    """
    model = color_model.load(run / "best.keras")
    old = model.network
    names = {layer.name for layer in old.layers}
    if "decode32_conv" not in names:
        raise ValueError(f"{run} has no lite_unet with a stride of 32; its network is {old.name}.")
    if len(photos) < 10:
        raise ValueError(f"10 photos are the least that can be fitted to; found {len(photos)}.")
    pooled, wanted = _seen(old, photos)
    dense, project, told = _fitted(pooled, wanted, old.get_layer("whole_project").units)

    options = options_of(old)
    new = lite_unet(outputs=model.codec.outputs, **options | {"deepest": 16, "filters": options["filters"][1:]})
    for layer in new.layers:
        if layer.name in names and not layer.name.startswith("whole"):
            layer.set_weights(old.get_layer(layer.name).get_weights())
    new.get_layer("whole_dense").set_weights(dense)
    new.get_layer("whole_project").set_weights(project)
    pruned = color_model.ColorModel(
        new, model.codec, model.size, 16, model.prior, defaults=model.defaults, name=model.name
    )
    out.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "log.csv", "photos.csv", "prior.json"):
        shutil.copy(run / name, out / name)
    pruned.save(out / "best.keras")
    return pruned, told


def _seen(network, photos):
    """Features pooled at stride 16, and the mean of what comes there from stride 32: (photos, channels) each."""
    taps = [network.get_layer("decode16_skip").input, network.get_layer("decode16_up").output]
    taken = keras.Model(network.input, [keras.ops.mean(tap, axis=(1, 2)) for tap in taps])
    draw = np.random.default_rng(20261129)
    chosen = draw.permutation(len(photos))[:PHOTOS]
    batches = []
    for start in range(0, len(chosen), BATCH):
        l = [gray_levels(middle(photos[i], SIDE)) for i in chosen[start : start + BATCH]]
        l = [damaged(plane, draw) if draw.random() < 0.5 else plane for plane in l]
        batches.append(taken.predict_on_batch(np.stack(l)[..., None]))
    return [np.concatenate(parts).astype("float64") for parts in zip(*batches, strict=True)]


def _fitted(pooled, wanted, units):
    """Weights of `whole_dense` and `whole_project`, and what they tell of every fifth photo's variance."""
    draw = np.random.default_rng(20261129)
    kernel = draw.normal(0, pooled.shape[1] ** -0.5, (pooled.shape[1], units)) / (pooled.std(axis=0)[:, None] + 1e-6)
    bias = draw.normal(0, 0.5, units) - pooled.mean(axis=0) @ kernel
    features = np.maximum(pooled @ kernel + bias, 0)
    others = np.arange(len(pooled)) % 5 == 0
    project, constant = _ridge(features[~others], wanted[~others])
    missed = np.sum((features[others] @ project + constant - wanted[others]) ** 2)
    variance = np.sum((wanted[others] - wanted[others].mean(axis=0)) ** 2)
    told = 1 - missed / variance if variance > 1e-9 else 1.0
    return [kernel, bias], list(_ridge(features, wanted)), told


def _ridge(features, wanted):
    scaler = StandardScaler().fit(features)
    fitted = Ridge(RIDGE * len(features)).fit(scaler.transform(features), wanted)
    project = fitted.coef_.T / scaler.scale_[:, None]
    return project, fitted.intercept_ - scaler.mean_ @ project


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path, nargs="+", help="folder or archive")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        files = [file for root in args.photos for file in find_photos(root)]
        model, told = prune(args.run, files, args.out)
    print(f"{model.network.count_params():,} parameters; {100 * told:.0f} % of the variance between other photos kept.")


if __name__ == "__main__":
    main()
