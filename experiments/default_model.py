"""The model that ships: how it was trained, and how anyone with more photos or a GPU trains it further.

    python -m experiments.default_model PHOTOS... --thumbnails TAR --out RUN --minutes 80

PHOTOS are folders or archives of real photos with a short side of 128 or more (`python -m data_prep.pack` builds the
set of the shipped model), `--thumbnails` an archive of small photos such as Tiny ImageNet's. On 2 cores use the
TensorFlow backend; which precision is faster depends on the cores (`default_model.md`). On a GPU set KERAS_BACKEND=jax:
the loader is threads and NumPy, there is no tf.data in it. A run is interrupted and resumed at will: checkpoints stand
in RUN every few minutes. `--begin` goes on from the weights of a run that has ended, as a new one, or of a preset: on a
box of photos of one's own,

    python -m experiments.default_model PHOTOS --begin lite_unet --rate 3e-4 --size 224 --fine-size 224 \\
        --fixed-depthwise --distance-rebalance 0.02 --evenness 0.4 --ema 0.98 --out RUN --minutes 4

Squares of `--size` pixels, then, for the last part of the time, of `--fine-size`; flips, crops, other proportions, and
for half of the photos the damages of old prints on the luminance alone, so that the answer is the colour of the
undamaged photo.
Cross-entropy over 313 buckets with rebalancing weights makes rare colours count; beside it stands the distance of the
mean colour from the true one, half of it without weights and half with almost those of the class-balanced AuC: it is
what both AuC count. `--evenness` asks besides for colour that changes no more than the true one, against blotches.
`--teacher` is for a small network: beside the truth it learns what a large one answers, which is less of a lottery
(Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015, section 2).
AdamW, warm-up and a cosine over the clock, the encoder from `--first-block` on at a part of the decoder's rate, and a
moving average of all weights, which is what is kept.
"""

import argparse
import csv
import dataclasses
import io
import json
import math
import queue
import threading
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from scipy.ndimage import gaussian_filter

from rainbownet import buckets, color, color_model, presets
from rainbownet.codecs import BucketCodec
from rainbownet.data.files import NAME_ENCODING, find_photos, write_atomically
from rainbownet.data.photos import decode_rgb
from rainbownet.evaluation import Measures
from rainbownet.models import efficientnet_lite
from rainbownet.models.lite_unet import SHRINK, lite_unet
from rainbownet.priors import ColorPrior

THINNED = 2  # of so many rows and columns of the output, the loss sees one
CLOSER = 3  # of a teacher's, which sees the photo that much over `THINNED` times as large, at the same places
SPANS = (1, 2, 4, 8)  # of the thinned output, that is 8 to 64 pixels: what the evenness compares
NEARER = (1.6, 1.15)  # times as near as the whole photo a crop is at the most: real photos, thumbnails
STRETCHED = 1.22  # times as high or as wide half of the real photos become at the most
VALIDATED = 400  # photos of each group that are held back to watch the training, a quarter of them at the most
PRIOR_PHOTOS = 6_000  # photos that the prior is counted over
CHECKPOINT_MINUTES = 4.0
NETWORKS = {
    "default": {"deepest": 16, "filters": (256, 128, 96), "attention": 2},
    "deep": {"deepest": 32, "filters": (256, 256, 128, 96), "attention": 2},
    "fast": {"deepest": 16, "filters": (128, 96, 64)},
}


@keras.saving.register_keras_serializable("rainbownet")
class EncoderAdamW(keras.optimizers.AdamW):
    """AdamW that takes smaller steps in the encoder, whose weights know things already.

    Args:
        encoder_rate: factor on the learning rate of the variables of the encoder's layers.
        **options: AdamW's.
    """

    def __init__(self, encoder_rate=0.1, **options):
        super().__init__(**options)
        self.encoder_rate = encoder_rate

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow hands in its own variable, which has no path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        encoder = path.startswith(("stem_", "block", "head_"))
        super().update_step(gradient, variable, learning_rate * (self.encoder_rate if encoder else 1.0))

    def get_config(self):
        return {**super().get_config(), "encoder_rate": self.encoder_rate}


class ColorLoss(keras.losses.Loss):
    """Weighted cross-entropy over buckets, the distance of the distribution's mean from the true colour, and evenness.

    Call with `y_true` (batch, height, width, 3): bucket, a and b, with a teacher 3 + n: its shares of the buckets too;
    `y_pred` (batch, height, width, n) logits.

    Args:
        weights: (n,) rebalancing weights of the cross-entropy.
        centers: (n, 2) colours of the buckets, Lab units.
        distance: weight of the distance, in nats for 10 Lab units.
        distance_weights: (n,) rebalancing weights of half of the distance; default, those of the cross-entropy.
        evenness: weight of the evenness, as `distance`: how much more the mean colour changes between two pixels that
            are `SPANS` apart in a row or a column than the true one does, or the teacher's. A missing edge is the
            distance's business.
        sigma: width in Lab units of the Gaussian that shares a colour among the buckets around it; 0 is a hard target.
        taught: share of the loss, 0 to 1, that compares with the teacher's distribution and its mean instead.
    """

    def __init__(self, weights, centers, distance=0.0, distance_weights=None, evenness=0.0, sigma=0.0, taught=0.0):
        super().__init__(name="color_loss")
        self.weights, self.centers, self.distance, self.sigma = weights, centers, distance, sigma
        self.evenness, self.taught = evenness, taught
        self.distance_weights = weights if distance_weights is None else distance_weights

    def call(self, y_true, y_pred):
        y_pred = ops.cast(y_pred, "float32")
        mean = ops.matmul(ops.softmax(y_pred, axis=-1), ops.convert_to_tensor(self.centers))
        loss = self._from_truth(y_true[..., :3], y_pred, mean)
        if not self.taught:
            return loss
        return (1 - self.taught) * loss + self.taught * self._from_teacher(y_true[..., 3:], y_pred, mean)

    def _from_truth(self, y_true, y_pred, mean):
        bucket = ops.cast(y_true[..., 0], "int32")
        weight = ops.take(ops.convert_to_tensor(self.weights), bucket)
        distance_weight = ops.take(ops.convert_to_tensor(self.distance_weights), bucket)
        if self.sigma:
            offsets = y_true[..., None, 1:] - ops.convert_to_tensor(self.centers)
            shares = ops.softmax(-ops.sum(ops.square(offsets), axis=-1) / (2 * self.sigma**2), axis=-1)
            loss = weight * ops.categorical_crossentropy(shares, y_pred, from_logits=True)
        else:
            loss = weight * ops.sparse_categorical_crossentropy(bucket, y_pred, from_logits=True)
        return loss + self._of_mean(mean, y_true[..., 1:], distance_weight)

    def _from_teacher(self, shares, y_pred, mean):
        # Not weighted: the teacher's distribution was learned with the weights and has them in it.
        loss = ops.categorical_crossentropy(shares, y_pred, from_logits=True)
        table = np.column_stack([self.centers, self.distance_weights]).astype("float32")
        taught = ops.matmul(shares, ops.convert_to_tensor(table))
        return loss + self._of_mean(mean, taught[..., :2], taught[..., 2])

    def _of_mean(self, mean, ab, weight):
        # Half of the distance is weighted, as both AuC count.
        loss = self.distance / 10 * (1 + weight) / 2 * _length(mean - ab)
        if self.evenness:
            loss = loss + self.evenness / 10 * _unevenness(mean, ab)
        return loss


def _unevenness(mean, true):
    """By how much `mean` changes more than `true` does, (batch, height, width, 2), in the mean over all `SPANS`."""
    excess = []
    for span in SPANS:
        for axis in (1, 2):
            first, second = ((slice(None),) * axis + (part,) for part in (slice(span, None), slice(None, -span)))
            more = ops.relu(_length(mean[first] - mean[second]) - _length(true[first] - true[second]))
            # A photo smaller than the span has no pairs.
            excess.append(ops.sum(more) / ops.maximum(ops.cast(ops.size(more), "float32"), 1))
    return sum(excess) / len(excess)


def _length(ab):
    """Length of vectors, (..., 2), smooth at zero, where the square root is not."""
    return ops.sqrt(ops.sum(ops.square(ab), axis=-1) + 1.0)


def optimizer_of(network, rate, encoder_rate, ema):
    """Makes the `EncoderAdamW` for a `lite_unet`, whose encoder it does not let decay.

    The encoder has no batch normalization to make up for smaller weights: each block would hand on less, until the last
    ones, their biases left, say the same of all photos.
    """
    optimizer = EncoderAdamW(
        encoder_rate, learning_rate=rate, weight_decay=0.04, global_clipnorm=1.0, use_ema=True, ema_momentum=ema
    )
    encoder = [weight for layer in efficientnet_lite.encoder_layers(network) for weight in layer.weights]
    optimizer.exclude_from_weight_decay(var_list=encoder, var_names=["bias", "gamma", "beta"])
    return optimizer


def thinned(network, step=THINNED):
    """Gives the network with the logits of every `step`-th row and column alone, on the same weights.

    The colours of neighbours tell the same, and logits and loss of all would be an eighth of a step's time at 224x224.

    Args:
        network: a `lite_unet`, whose logits are (batch, height / 4, width / 4, n).
        step: of the rows and columns.

    Returns:
        A `keras.Model` from the same input to (batch, height / 4 / step, width / 4 / step, n) logits, rounded up.
    """
    logits = network.get_layer("logits")
    return keras.Model(network.input, logits(logits.input[:, ::step, ::step]))


class Loader:
    """Draws batches in threads: an endless stream of (l, target), the target thinned as the network is.

    With a teacher each photo stands in a batch twice, as it is and damaged: one answer of the teacher, which costs as
    much as a step of who learns, serves both.

    Args:
        groups: list of (share, list of `PhotoFile`): the share of the photos drawn from each.
        codec: the `BucketCodec`.
        size: side of the squares in pixels.
        batch: photos a batch.
        seed: of everything that is drawn.
        damaged: share of the photos that are damaged, without a teacher.
        workers: threads.
        teacher: a network whose shares of the codec's buckets are a part of the target, or `None`. It sees the photos
            undamaged and `CLOSER` / `THINNED` times as large.
    """

    def __init__(self, groups, codec, size, batch, seed, damaged=0.5, workers=2, teacher=None):
        self.groups, self.size, self.batch, self.damaged = groups, size, batch, damaged
        self.teacher = teacher and thinned(teacher, CLOSER)
        self.shares = np.array([share for share, _ in groups]) / sum(share for share, _ in groups)
        self.codec = codec
        self.ready = queue.Queue(maxsize=8)
        self.stopped = False
        seeds = np.random.SeedSequence(seed).spawn(workers)
        self.threads = [threading.Thread(target=self._work, args=(s,), daemon=True) for s in seeds]
        for thread in self.threads:
            thread.start()

    def __iter__(self):
        while True:
            item = self.ready.get()
            if isinstance(item, Exception):
                raise item
            l, rgb, *seen = item
            lab = ops.convert_to_numpy(color.rgb_to_lab(rgb[:, ::THINNED, ::THINNED]))
            bucket = ops.convert_to_numpy(self.codec.buckets.assign(lab[..., 1:]))
            target = [bucket[..., None].astype("float32"), lab[..., 1:]]
            if self.teacher:
                shares = _shares(self.teacher, *seen)
                target.append(np.concatenate([shares, shares]))
            yield l, np.concatenate(target, axis=-1)

    def stop(self):
        """Ends the threads."""
        self.stopped = True

    def _work(self, seed):
        draw = np.random.default_rng(seed)
        while not self.stopped:
            try:
                item = self._pairs(draw) if self.teacher else self._batch(draw)
            except Exception as error:
                item = error
            while not self.stopped:
                try:
                    self.ready.put(item, timeout=1)
                    break
                except queue.Full:
                    pass

    def _batch(self, draw):
        photos = [self._photo(draw, self.size) for _ in range(self.batch)]
        l = [gray_levels(rgb) for rgb in photos]
        l = [damaged(plane, draw) if draw.random() < self.damaged else plane for plane in l]
        small = np.stack([shrunk(rgb) for rgb in photos])
        return np.stack(l)[..., None], small

    def _pairs(self, draw):
        larger = [self._photo(draw, self.size * CLOSER // THINNED) for _ in range(self.batch // 2)]
        photos = [Image.fromarray(rgb).resize((self.size, self.size), Image.Resampling.BOX) for rgb in larger]
        l = [gray_levels(np.asarray(photo)) for photo in photos]
        l += [damaged(plane, draw) for plane in l]
        small = np.stack([shrunk(np.asarray(photo)) for photo in photos])
        seen_larger = np.stack([gray_levels(rgb) for rgb in larger])
        return np.stack(l)[..., None], np.concatenate([small, small]), seen_larger[..., None]

    def _photo(self, draw, size):
        """A square of a photo, (size, size, 3) uint8."""
        group = draw.choice(len(self.groups), p=self.shares)
        photos = self.groups[group][1]
        stretched = group == 0 and draw.random() < 0.5
        ratio = math.exp(draw.uniform(-1, 1) * math.log(STRETCHED)) if stretched else 1.0
        height, width = round(size * max(ratio, 1)), round(size * max(1 / ratio, 1))
        nearer = round(size * draw.uniform(1, NEARER[group]))
        rgb = decode_rgb(photos[draw.integers(len(photos))].read(), max(height, width, nearer))
        top, left = draw.integers(0, np.array(rgb.shape[:2]) - (height, width) + 1)
        rgb = rgb[top : top + height, left : left + width]
        if ratio != 1:
            rgb = np.asarray(Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR))
        return rgb[:, ::-1] if draw.random() < 0.5 else rgb


def _shares(network, photos):
    """Softmax of a network's logits, as NumPy."""
    return ops.convert_to_numpy(ops.softmax(ops.convert_to_tensor(network.predict_on_batch(photos))))


def shrunk(rgb):
    """Averages over squares of `SHRINK` pixels: (height / 4, width / 4, 3) uint8."""
    height, width = (side // SHRINK for side in rgb.shape[:2])
    return rgb.reshape(height, SHRINK, width, SHRINK, 3).mean((1, 3), dtype="float32").round().astype("uint8")


_LINEAR = np.where(
    np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4
).astype("float32")


def gray_levels(rgb):
    """L of a photo, (height, width) float32 in 0..100: `color.luminance` in a few NumPy calls, for threads."""
    y = _LINEAR[rgb] @ color.XYZ_FROM_RGB[1].astype("float32")
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * np.float32(24389 / 27))


def damaged(l, draw):
    """What age and copying do to luminance: contrast, blur, grain, scratches, JPEG's blocks; each by chance."""
    if draw.random() < 0.6:
        low, high = draw.uniform(0, 45), draw.uniform(65, 100)
        l = 100 * (l / 100) ** draw.uniform(0.7, 1.4)
        l = low + l * max(high - low, 30) / 100
    if draw.random() < 0.3:
        l = gaussian_filter(l, draw.uniform(0.4, 1.8))
    if draw.random() < 0.5:
        grain = draw.normal(0, 1, l.shape)
        if draw.random() < 0.5:
            grain = gaussian_filter(grain, draw.uniform(0.4, 1.0))
        l = l + grain * (draw.uniform(1, 10) / grain.std())
    if draw.random() < 0.1:
        l = l.copy()
        for column in draw.integers(0, l.shape[1], draw.integers(1, 6)):
            l[:, column] = draw.uniform(60, 100)
    l = np.clip(l, 0, 100).astype("float32")
    if draw.random() < 0.2:
        file = io.BytesIO()
        Image.fromarray((l * 2.55).astype("uint8")).save(file, "JPEG", quality=int(draw.integers(8, 40)))
        l = np.asarray(Image.open(file), "float32") / 2.55
    return l


def groups_of(photos, thumbnails, held_back=()):
    """Finds the photos and holds some of each group back: ([train lists], [validation lists]).

    A run that begins with the weights of another holds back what that one did, the names `held_back`; of a group of
    which that one had none, as many as any run.
    """
    # Named as `rainbownet train` names the photos of one folder, and of several.
    several = len(photos) + len(thumbnails) > 1
    found = [
        [
            dataclasses.replace(file, name=f"{root.name}/{file.name}" if several else file.name)
            for root in roots
            for file in find_photos(root)
        ]
        for roots in (photos, thumbnails)
        if roots
    ]
    draw = np.random.default_rng(20261121)
    train, held = [], []
    for files in found:
        chosen = {i for i, file in enumerate(files) if file.name in held_back}
        if not chosen:
            order = draw.permutation(len(files))
            chosen = set(order[: min(VALIDATED, len(files) // 4)].tolist())
        held.append([files[i] for i in sorted(chosen)])
        train.append([file for i, file in enumerate(files) if i not in chosen])
    return train, held


def held_back_by(begun_with):
    """Reads the names of the photos that a run held back; of a preset none are known."""
    if not (begun_with / "photos.csv").exists():
        return set()
    with open(begun_with / "photos.csv", newline="", **NAME_ENCODING) as file:
        return {name for group, name in csv.reader(file) if group == "val"}


def note_run(out, args, held):
    """Writes run.json and photos.csv (of the photos held back) as `rainbownet train` does, for `make_preset`."""
    recipe = {key: value for key, value in vars(args).items() if key not in ("photos", "thumbnails", "out")}
    settings = {
        "system": f"lite_unet {args.network}",
        # A preset takes this along, so that of a path only its name stays.
        "recipe": {key: value.name if isinstance(value, Path) else value for key, value in recipe.items()},
        "photos": [str(root) for root in (*args.photos, *args.thumbnails)],
        "precision": args.precision,
        "seed": args.seed,
    }
    with write_atomically(out / "run.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=1) + "\n")
    with write_atomically(out / "photos.csv") as temporary, open(temporary, "w", newline="", **NAME_ENCODING) as file:
        csv.writer(file).writerows(("val", photo.name) for photos in held for photo in photos)


def note_row(path, row):
    """Appends a row to log.csv."""
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def count_prior(groups, grid, shares):
    """Counts buckets over a sample of each group, in the shares of the training."""
    prior = ColorPrior(len(grid))
    draw = np.random.default_rng(1)
    for files, share in zip(groups, shares, strict=True):
        drawn = draw.integers(len(files), size=round(PRIOR_PHOTOS * share))
        for start in range(0, len(drawn), 100):
            rgb = np.stack([shrunk(decode_rgb(files[i].read(), 64)[:64, :64]) for i in drawn[start : start + 100]])
            prior.update(ops.convert_to_numpy(grid.assign(color.rgb_to_lab(rgb)[..., 1:])))
    return prior


def validate(network, codec, held, size, temperatures=(1.0, 0.38)):
    """Measures on held-back training photos, undamaged: gains over gray (colorfulness: over the truth's)."""
    figures = {}
    for name, files in zip(("photos", "thumbnails"), held, strict=False):
        measured = {t: Measures() for t in temperatures}
        gray = Measures()
        for start in range(0, len(files), 25):
            rgb = np.stack([middle(file, size) for file in files[start : start + 25]])
            lab = ops.convert_to_numpy(color.rgb_to_lab(rgb))
            logits = ops.convert_to_tensor(network.predict_on_batch(lab[..., :1]))
            # Measured at the output's own size: what upsampling adds is the same for all settings.
            small = np.stack([shrunk(picture) for picture in rgb])
            truth = ops.convert_to_numpy(color.rgb_to_lab(small))
            for t, measures in measured.items():
                ab = ops.convert_to_numpy(codec.decode(logits, t))
                measures.update(ab, truth[..., 1:], truth[..., :1], truth_rgb=small)
            gray.update(np.zeros_like(truth[..., 1:]), truth[..., 1:], truth[..., :1], truth_rgb=small)
        base = gray.result()
        for t, measures in measured.items():
            result = measures.result()
            for key in ("auc_balanced", "auc", "psnr"):
                figures[f"{name} T={t:g} {key}"] = round(result[key] - base[key], 2)
            figures[f"{name} T={t:g} colorfulness"] = round(result["colorfulness"] / result["truth_colorfulness"], 3)
    return figures


def alive(network, held, size):
    """Measures the share of the features pooled over the whole photo that are not the same for all photos.

    A part of a network that says nothing is not seen in its loss, which finds a way around it.

    Args:
        network: a `lite_unet`.
        held: list of `PhotoFile`, of which up to 50 are taken.
        size: side in pixels that they are seen at.

    Returns:
        Share in 0..1: of the channels whose deviation between photos is above a thousandth of the mean feature.
    """
    l = np.stack([gray_levels(middle(file, size)) for file in held[:50]])[..., None]
    pooled = keras.Model(network.input, network.get_layer("pool").output).predict_on_batch(l)
    return float(np.mean(pooled.std(axis=0) > 1e-3 * np.abs(pooled).mean()))


def middle(file, size):
    """Gives the square in the middle of a photo, (size, size, 3) uint8, shrunk or enlarged."""
    rgb = decode_rgb(file.read(), size)
    top, left = (np.array(rgb.shape[:2]) - size) // 2
    return rgb[top : top + size, left : left + size]


def save_state(path, network, optimizer, state):
    """Writes all that a resumed run needs, as one .npz."""
    arrays = {f"w{i}": np.asarray(w) for i, w in enumerate(network.get_weights())}
    arrays |= {f"o{i}": ops.convert_to_numpy(v) for i, v in enumerate(optimizer.variables)}
    with write_atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, state=json.dumps(state), **arrays)


def load_state(path, network, optimizer):
    """Reads what `save_state` wrote."""
    with np.load(path) as file:
        network.set_weights([file[f"w{i}"] for i in range(len(network.weights))])
        for i, variable in enumerate(optimizer.variables):
            variable.assign(file[f"o{i}"])
        return json.loads(str(file["state"]))


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--thumbnails", nargs="*", type=Path, default=[])
    parser.add_argument("--thumbnail-share", type=float, default=0.25)
    parser.add_argument(
        "--encoder", type=Path, help="a model whose encoder to begin with; default, that of `--begin` or ImageNet's"
    )
    parser.add_argument(
        "--begin", type=Path, help="a run or preset to begin with: its weights, prior, settings and held-back photos"
    )
    parser.add_argument("--teacher", type=Path, help="a preset or a model of the same buckets, to learn from too")
    parser.add_argument("--taught", type=float, default=0.7, help="share of the loss that is the teacher's")
    parser.add_argument(
        "--network", choices=list(NETWORKS), default="default", help="`data_prep.prune` makes `default` of `deep`"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--steps", type=int, help="end after so many instead, which makes runs comparable")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--fine-size", type=int, default=160)
    parser.add_argument("--fine-part", type=float, default=0.5, help="part of the time at `--fine-size`")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--encoder-rate", type=float, default=0.2)
    parser.add_argument("--first-block", type=int, default=0, help="first block of the encoder that is trained")
    parser.add_argument("--fixed-depthwise", action="store_true", help="the encoder's depthwise filters stay")
    parser.add_argument(
        "--buckets", choices=[112, 313, "occurring"], type=lambda v: int(v) if v.isdigit() else v, default=313
    )
    parser.add_argument("--sigma", type=float, default=0.0, help="Lab units; above 0, targets are soft")
    parser.add_argument("--damaged", type=float, default=0.5, help="share of the photos whose luminance is damaged")
    parser.add_argument("--rebalance", type=float, default=0.5)
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--distance", type=float, default=2.0, help="weight of the distance beside the cross-entropy")
    parser.add_argument("--distance-rebalance", type=float, default=0.03, help="`--rebalance` of half of the distance")
    parser.add_argument("--evenness", type=float, default=0.0, help="weight of colour that is as even as the truth's")
    parser.add_argument("--ema", type=float, default=0.99, help="momentum of the moving average of the weights")
    parser.add_argument("--watch-minutes", type=float, default=10)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="toy size, to see that it runs")
    args = parser.parse_args(arguments)
    if args.quick:
        args.size, args.fine_size, args.batch, args.precision = 32, 64, 4, "float32"
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)

    shares = [1 - args.thumbnail_share, args.thumbnail_share] if args.thumbnails else [1.0]
    train, held = groups_of(args.photos, args.thumbnails, held_back_by(args.begin) if args.begin else ())
    print(f"{' and '.join(f'{len(g):,}' for g in train)} photos to train on", flush=True)
    note_run(args.out, args, held)
    grid = buckets.ab_112() if args.buckets == 112 else buckets.ab_313()
    prior_path = args.out / "prior.json"
    begun_with = args.begin and presets.load(args.begin)
    defaults = begun_with and begun_with.defaults
    if prior_path.exists():
        prior = ColorPrior.from_config(json.loads(prior_path.read_text()))
    else:
        prior = (begun_with and begun_with.prior) or count_prior(train, grid, shares)
        prior_path.write_text(json.dumps(prior.get_config()))
    if args.buckets == "occurring":
        occurring = np.asarray(prior.counts) > 0
        grid, prior = buckets.Buckets(grid.centers[occurring]), ColorPrior(np.asarray(prior.counts)[occurring])
    codec = BucketCodec(grid, temperature=1.0)
    weights, distance_weights = (
        prior.weights(mix, grid.centers, args.smoothing) for mix in (args.rebalance, args.distance_rebalance)
    )

    keras.config.set_dtype_policy(args.precision)
    network = lite_unet(outputs=len(grid), **NETWORKS[args.network])
    keras.config.set_dtype_policy("float32")
    if begun_with:
        take_weights(network.layers, begun_with.network)
    if args.encoder:
        take_weights(efficientnet_lite.encoder_layers(network), color_model.load(args.encoder).network)
    elif not begun_with:
        efficientnet_lite.load_imagenet_weights(network)
    efficientnet_lite.train_from(network, args.first_block, depthwise=not args.fixed_depthwise)
    optimizer = optimizer_of(network, args.rate, args.encoder_rate, args.ema)
    trained = thinned(network)
    teacher = args.teacher and taught_by(args.teacher, grid, (args.size, args.fine_size))
    taught = args.taught if teacher else 0.0
    loss = ColorLoss(weights, grid.centers, args.distance, distance_weights, args.evenness, args.sigma, taught)
    trained.compile(optimizer, loss=loss)
    optimizer.build(trained.trainable_variables)
    state = {"seconds": 0.0, "steps": 0, "samples": 0}
    checkpoint = args.out / "last.npz"
    if checkpoint.exists():
        state = load_state(checkpoint, trained, optimizer)
        print(f"Resuming at step {state['steps']:,}.", flush=True)
    clocked, total = ("steps", args.steps) if args.steps else ("seconds", args.minutes * 60)
    began = state["steps"]
    for size, until in ((args.size, total * (1 - args.fine_part)), (args.fine_size, total)):
        if state[clocked] >= until:
            continue
        seed = [args.seed, state["steps"]]
        groups = list(zip(shares, train, strict=True))
        loader = Loader(groups, codec, size, args.batch, seed, args.damaged, teacher=teacher)
        clock = written = time.perf_counter()
        watched = state["seconds"]
        losses = []
        for l, target in loader:
            progress = min(1.0, state[clocked] / total)
            warm = min(1.0, (state["steps"] + 1) / 300, (state["steps"] - began + 1) / 100)
            optimizer.learning_rate = args.rate * warm * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))
            # Otherwise Keras gives the mean of all steps so far.
            trained.reset_metrics()
            losses.append(float(trained.train_on_batch(l, target)))
            now = time.perf_counter()
            # The first step compiles, which is no training.
            state["seconds"] += now - clock if len(losses) > 1 else 0
            clock = now
            state["steps"] += 1
            state["samples"] += len(l)
            done = state[clocked] >= until
            if state["steps"] % 100 == 0:
                print(
                    f"{state['seconds'] / 60:6.1f} min  step {state['steps']:6,}  loss {np.mean(losses[-100:]):.4f}",
                    flush=True,
                )
            if done or now - written > CHECKPOINT_MINUTES * 60:
                save_state(checkpoint, trained, optimizer, state)
                written = time.perf_counter()
            if done or state["seconds"] - watched > args.watch_minutes * 60:
                watched = state["seconds"]
                kept = trained.get_weights()
                put_averages(optimizer)
                figures = validate(network, codec, held, size)
                figures["pooled features alive"] = round(alive(network, held[0], size), 3)
                row = {
                    "step": state["steps"], "samples": state["samples"], "minutes": round(state["seconds"] / 60, 2),
                    "size": size, "loss": round(float(np.mean(losses[-300:])), 4), **figures,
                }  # fmt: skip
                note_row(args.out / "log.csv", row)
                print(json.dumps(row, indent=1), flush=True)
                model = color_model.ColorModel(
                    network, codec, (size, size), NETWORKS[args.network]["deepest"], prior, defaults=defaults,
                    name=f"lite_unet_{args.network}",
                )  # fmt: skip
                with write_atomically(args.out / "best.keras") as temporary:
                    color_model.in_float32(model).save(temporary)
                trained.set_weights(kept)
                clock = time.perf_counter()
            if done:
                loader.stop()
                break


def taught_by(path, grid, sizes):
    """Loads a teacher's network, and checks that it can teach: its buckets, and the sizes that it is to see."""
    model = presets.load(path)
    if not np.array_equal(model.codec.buckets.centers, grid.centers):
        raise ValueError(f"{path} answers in other buckets than the network that is to learn from it.")
    larger = [size * CLOSER // THINNED for size in sizes]
    if unfit := [side for side in larger if side % model.stride]:
        raise ValueError(
            f"{path} would see squares of {unfit[0]} pixels, which are not divisible by its stride, {model.stride}; "
            f"give sizes divisible by {model.stride * THINNED // math.gcd(CLOSER, model.stride * THINNED)}."
        )
    return model.network


def take_weights(taking, source):
    """Gives layers the weights that those of the same name have in another network; what that lacks stays as it is."""
    known = {layer.name for layer in source.layers}
    for layer in taking:
        if layer.name in known:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def put_averages(optimizer):
    """Puts the moving averages of the weights into the network."""
    for variable, average in _averages(optimizer):
        # A copy: on JAX the two would be one array, which is given away with the variable's.
        variable.assign(ops.convert_to_numpy(average))


def _averages(optimizer):
    # Keras has no public name for them, but to overwrite the weights at the end of `fit`.
    return zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)


if __name__ == "__main__":
    main()
