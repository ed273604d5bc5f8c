"""Lab conversion and bucketing of a batch of photos, against scikit-image and scikit-learn.

`python -m benchmarks.encode [PHOTOS]`: PHOTOS is a folder or an archive; without it, made-up photos are used.
"""

import numpy as np
import tensorflow as tf
from skimage.color import rgb2lab
from sklearn.neighbors import NearestNeighbors

from benchmarks import bench
from rainbownet import systems
from rainbownet.data.files import find_photos
from rainbownet.data.pipeline import middle_square

TITLE = "Encoding a batch of photos: Lab and buckets"


def measure(arguments):
    """Returns the rows of the table."""
    count, size, rounds = (4, 64, 2) if arguments.quick else (32, 224, 15)
    if arguments.photos:
        photos = np.stack([middle_square(photo.read(), size) for photo in find_photos(arguments.photos)[:count]])
    else:
        photos = bench.made_up_photos(count, size, size)
    codec = systems.get("rainbownet").codec.prepare()
    encode = tf.function(codec.encode, jit_compile=True)  # as in `data.pipeline`
    floats = photos.astype("float32") / 255
    nearest = NearestNeighbors(n_neighbors=1).fit(codec.buckets.centers)

    def bucket_by_neighbor():
        for photo in floats:
            nearest.kneighbors(rgb2lab(photo)[..., 1:].reshape(-1, 2), return_distance=False)

    # Each begins and ends with the arrays of its own kind, as it does in use.
    tensor = tf.constant(photos)
    times = bench.shortest(
        {
            "ours": lambda: encode(tensor),
            "scikit-image": lambda: rgb2lab(floats),
            "scikit-image, one by one": lambda: [rgb2lab(photo) for photo in floats],
            "scikit-image, scikit-learn": bucket_by_neighbor,
        },
        rounds,
    )
    l, target = (plane.numpy() for plane in encode(photos))
    lab = rgb2lab(photos)
    same = np.mean(target == np.asarray(codec.buckets.assign(lab[..., 1:].astype("float32"))))
    per_photo = {name: 1000 * seconds / len(photos) for name, seconds in times.items()}
    return [
        bench.Row(
            f"rainbownet: L and {codec.outputs} buckets, {len(photos)} x {size}x{size}", per_photo["ours"], "ms a photo"
        ),
        bench.Row("scikit-image: rgb2lab of the batch in float32", per_photo["scikit-image"], "ms a photo"),
        bench.Row("scikit-image: rgb2lab of one after the other", per_photo["scikit-image, one by one"], "ms a photo"),
        bench.Row("scikit-image, then scikit-learn: 1 neighbor", per_photo["scikit-image, scikit-learn"], "ms a photo"),
        bench.Row("faster than scikit-image", times["scikit-image"] / times["ours"], "times", (">=", 5)),
        bench.Row(
            "faster than scikit-image and scikit-learn",
            times["scikit-image, scikit-learn"] / times["ours"],
            "times",
            (">=", 25),
        ),
        bench.Row(
            "largest difference of L to scikit-image", float(np.abs(l[..., 0] - lab[..., 0]).max()), "L", ("<=", 1e-3)
        ),
        bench.Row("same bucket as from scikit-image's Lab", 100 * float(same), "%"),
    ]


def add_arguments(parser):
    """Adds the arguments of this benchmark."""
    parser.add_argument("photos", nargs="?", help="folder or archive of photos; made-up ones by default")


if __name__ == "__main__":
    bench.main(TITLE, measure, add_arguments)
