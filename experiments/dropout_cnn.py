"""The Dropout CNN's experiments: does dropout keep it from overfitting, which loss converges, are 32 colours enough?

The document (Li, Zhang, Xie & Yan, "Colorization") gives each pixel one of 32 colours, clustered from the training
photos, by a small network with a dense layer; its first loss, the distance of label numbers, "is hard to converge", and
dropout is there because its photos are few. They are pictures of one cartoon character, 70 % of them for training.

    python -m experiments.dropout_cnn dropout PHOTOS --out RUNS   # 0.5 against none, on few photos
    python -m experiments.dropout_cnn losses PHOTOS --out RUNS    # one-hot labels against the distance of labels
    python -m experiments.dropout_cnn palette PHOTOS --out RUNS   # photos in 8, 16, 32 and 64 colours: palette.jpg

PHOTOS is a folder or an archive of colour photos. `dropout` takes `--few` of them (700 for training and 300 to
validate), trains on them for all its epochs, best or not, and measures both losses of the last network without
dropout, so that they compare. At the document's size (64, Adadelta, 100 epochs) a run on 1,000 photos takes an hour on
2 cores. `--quick` runs everything at toy size, in two minutes, to see that it works. What a folder holds afterwards
stands in `common.py`.

To expect: without dropout the loss of the training photos falls on while that of the others turns and rises
(losses.png); with it they stay together. The label distance ends where all pixels have the middle label, 9 to 10 labels
off, and the photos are of one colour. 32 colours are enough for photos (results.json): what they lack
is the palette of other photos.
"""

import keras
import numpy as np
from keras import ops

from experiments import common
from rainbownet import color, evaluation
from rainbownet.codecs import ClusteredRGB
from rainbownet.data.pipeline import middle_square, squares, validation_batches

SIZE = 64  # the document's
PALETTES = (8, 16, 32, 64)
COUNTED = 200  # photos that both losses are measured on, at the most


def dropout(experiment):
    """With dropout and without, on few photos."""
    few = 30 if experiment.quick else experiment.args.few
    photos = experiment.portion("few", 7 * few // 10, 3 * few // 10)
    named = {f"dropout {share}": experiment.system("dropout_cnn", dropout=share, patience=None) for share in (0.5, 0.0)}
    results = experiment.compare(named, dict.fromkeys(named, photos))
    for name, row in results.items():
        row |= _last_losses(experiment, name, photos)
    return results


def losses(experiment):
    """The document's second loss against its first, whose labels stand in an order that colours do not have."""
    return experiment.compare(
        {
            "one-hot": experiment.system("dropout_cnn"),
            "label distance": experiment.system("dropout_cnn", loss="label_distance"),
        },
        comparable=False,
    )


def palette(experiment):
    """Fig. 2: gray, photos in the nearest of n colours, and the true ones; and how far off these colours are."""
    parts = experiment.parts()
    size = experiment.options["size"]
    seen = parts["train"][:: max(1, len(parts["train"]) // 1000)]
    measured = parts["val"][:: max(1, len(parts["val"]) // COUNTED)]
    tile = np.stack([middle_square(photo.read(), common.TILE) for photo in measured[: common.SHOWN]])
    rows = {"gray": [np.repeat(common.gray_of(rgb)[..., None], 3, axis=-1) for rgb in tile]}
    results = {}
    for colors in PALETTES:
        codec = ClusteredRGB(colors).fit(squares(seen, size))
        measures, centers = evaluation.Measures(), np.asarray(codec.buckets.centers)
        for rgb in squares(measured, size):
            lab = ops.convert_to_numpy(color.rgb_to_lab(rgb))
            near = ops.convert_to_numpy(color.rgb_to_lab(centers[ops.convert_to_numpy(codec.classify(rgb))]))
            measures.update(near[..., 1:], lab[..., 1:], lab[..., :1], truth_rgb=rgb)
        figures = measures.result()
        results[f"{colors} colours"] = {key: figures[key] for key in ("psnr", "auc", "auc_balanced", "colorfulness")}
        shown = centers[ops.convert_to_numpy(codec.classify(tile))] * 255
        rows[f"{colors} colours"] = list(shown.round().astype("uint8"))
    common.write_rows({**rows, "truth": list(tile)}, experiment.out / "palette.jpg")
    return results


def _last_losses(experiment, name, photos):
    """Losses of a run's last network, without dropout, on photos that it was trained on and on others."""
    model = keras.saving.load_model(experiment.out / name / "last.keras")
    parts = experiment.parts(photos)
    recipe = experiment.system("dropout_cnn").recipe
    values = {}
    for key, part in (("last_train_loss", "train"), ("last_val_loss", "val")):
        batches = validation_batches(parts[part][:COUNTED], model.codec, recipe.size, recipe.batch, frame=recipe.frame)
        values[key] = model.evaluate(batches, return_dict=True, verbose=0)["loss"]
    return values


def _arguments(parser):
    parser.add_argument("--few", type=int, default=1000, help="of dropout: photos in all")


EXPERIMENTS = {"dropout": dropout, "losses": losses, "palette": palette}


def main(arguments=None):
    """Runs the command."""
    common.main(__doc__, EXPERIMENTS, common.QUICK, SIZE, arguments, _arguments)


if __name__ == "__main__":
    main()
