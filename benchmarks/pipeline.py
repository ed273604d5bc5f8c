"""The input pipeline from JPEG files to encoded batches, against pipelines that only decode and resize.

`python -m benchmarks.pipeline [PHOTOS]`: PHOTOS is a folder or an archive; without it, made-up photos are written.
"""

import tempfile
import time
from pathlib import Path

import tensorflow as tf
from PIL import Image

from benchmarks import bench
from rainbownet import systems
from rainbownet.data.files import find_photos
from rainbownet.data.pipeline import middle_square, training_batches

TITLE = "Input pipeline: JPEG files to encoded batches"
BATCH = 32
WORKERS = 2


def measure(arguments):
    """Returns the rows of the table."""
    count, size, batches, rounds = (8, 64, 1, 1) if arguments.quick else (256, 224, 12, 5)
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.photos:
            for i, photo in enumerate(
                bench.made_up_photos(min(count, 64), *((96, 128) if arguments.quick else (375, 500)))
            ):
                Image.fromarray(photo).save(Path(folder) / f"{i:03}.jpg", quality=90)
        photos = find_photos(arguments.photos or folder)
        photos = (photos * (-(-count // len(photos))))[:count]
        codec = systems.get("rainbownet").codec
        runs = {
            "ours": training_batches(photos, codec, size, BATCH, workers=WORKERS),
            "decode": _decode_and_resize(photos, size, WORKERS),
        }
        if all(photo.member is None and photo.path.suffix == ".jpg" for photo in photos):
            runs["tf.io"] = _decode_and_resize_by_tensorflow(photos, size, WORKERS)
        clocks = (time.perf_counter, time.process_time)
        times, processor = (_shortest(runs, batches, rounds, clock) for clock in clocks)
    rate = {name: batches * BATCH / seconds for name, seconds in times.items()}
    rows = [
        bench.Row(f"rainbownet: decode, crop, flip, encode to {size}x{size}", rate["ours"], "photos/s"),
        bench.Row("the same decoding and cropping without encoding", rate["decode"], "photos/s"),
        bench.Row(
            "of the photos per second that are only decoded and resized",
            rate["ours"] / rate["decode"],
            "times",
            (">=", 0.8),
        ),
    ]
    share = processor["decode"] / processor["ours"]
    rows.append(bench.Row("the same by processor time, which other programs disturb less", share, "times"))
    if "tf.io" in rate:
        rows.insert(2, bench.Row("tf.io.decode_jpeg and tf.image.resize", rate["tf.io"], "photos/s"))
    return rows


def _shortest(runs, batches, rounds, clock):
    """Times the reading of some batches from each stream, in turns, and keeps each one's shortest time."""
    times = {name: float("inf") for name in runs}
    for _ in range(rounds):
        for name, data in runs.items():
            # A stream of its own, so that no other decodes ahead meanwhile; the first batch waits for the compiler.
            stream = iter(data)
            next(stream)
            start = clock()
            for _ in range(batches):
                next(stream)
            times[name] = min(times[name], clock() - start)
    return times


def _decode_and_resize(photos, size, workers):
    """Our decoder alone."""

    def load(place):
        rgb = tf.numpy_function(lambda i: middle_square(photos[int(i)].read(), size), [place], tf.uint8)
        return tf.ensure_shape(rgb, (size, size, 3))

    return _stream(len(photos), load, workers)


def _decode_and_resize_by_tensorflow(photos, size, workers):
    """What one would write without this package."""
    paths = tf.constant([str(photo.path) for photo in photos])

    def load(place):
        rgb = tf.io.decode_jpeg(tf.io.read_file(tf.gather(paths, place)), channels=3)
        sides = tf.shape(rgb)[:2]
        rgb = tf.image.resize(rgb, sides * size // tf.reduce_min(sides) + 1, antialias=True)
        return tf.cast(tf.image.resize_with_crop_or_pad(rgb, size, size), tf.uint8)

    return _stream(len(photos), load, workers)


def _stream(count, load, workers):
    data = tf.data.Dataset.range(count).repeat()
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.map(load, num_parallel_calls=workers).batch(BATCH).prefetch(2).with_options(options)


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("photos", nargs="?", help="folder or archive of photos; made-up ones by default")


if __name__ == "__main__":
    bench.main(TITLE, measure, add_arguments)
