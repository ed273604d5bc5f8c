"""Shows which colours occur together: K-means over the photos' histograms of colour buckets.

    python -m data_prep.clusters PHOTOS OUT [--clusters 9]

The document (Lin, Ling & Wang, CS 229, 2018, section "Discussion"): "we used K-clustering on our training set,
representing each image by a histogram of the number of times each color bucket appears, then averaging the counts per
clusters", with all buckets filled that occur. OUT/clusters.png has a panel for each cluster, largest first: the ab
plane with the 112 buckets in their colours, the stronger the more frequent (ours; the document fills all alike).
OUT/clusters.json tells how many photos each has, clusters.csv the cluster of each photo, empty where it is unreadable.

The middle square of each photo is counted, at 64x64. OUT/histograms.f32 keeps the histograms, 448 bytes each, so that a
stopped pass goes on, and other numbers of clusters cost seconds. About 300 photos a second on 2 cores.
"""

import contextlib
import csv
import io
import json
from collections import deque
from pathlib import Path

import numpy as np

from data_prep import commands
from rainbownet.data.files import find_photos, write_atomically
from rainbownet.data.photos import PhotoError

SIDE = 64  # of the squares whose pixels are counted
SEED = 0
LEAST_SHARE = 1e-4
"""Of a cluster's pixels: buckets with less stay empty in the figure. A single pixel of one photo is no colour."""


def histograms(photos, path, progress=True):
    """Counts the colour buckets of photos, or reads what was counted before.

    Args:
        photos: list of `PhotoFile`.
        path: file that keeps them, with a `.json` of its name beside it that tells of which photos.
        progress: whether to show a progress bar.

    Returns:
        (photos, 112) float32, the share of each bucket; all are 0 where a photo cannot be read.

    Raises:
        ValueError: the file is of other photos.
    """
    from keras import ops

    from rainbownet import buckets, color
    from rainbownet.data.pipeline import middle_square

    grid = buckets.ab_112()
    path = Path(path)
    listing = commands.digest([[photo.name, photo.size] for photo in photos])
    commands.agree(path.with_suffix(".json"), {"photos": listing, "side": SIDE}, "histograms")
    row = 4 * len(grid)
    with open(path, "ab") as file, commands.bar(progress) as bars:
        done = file.tell() // row
        file.truncate(done * row)  # a row cut short
        task = bars.add_task("Counting colours", total=len(photos), completed=done)
        for photo in photos[done:]:
            shares = np.zeros(len(grid), "<f4")
            with contextlib.suppress(PhotoError, OSError):
                lab = color.rgb_to_lab(middle_square(photo.read(), SIDE))
                indices = ops.convert_to_numpy(grid.assign(lab[..., 1:]))
                shares += np.bincount(indices.ravel(), minlength=len(grid)) / indices.size
            file.write(shares.tobytes())
            bars.advance(task)
    return np.fromfile(path, "<f4").reshape(-1, len(grid))


def cluster(counted, clusters):
    """Groups photos by their histograms.

    Args:
        counted: (photos, buckets) float.
        clusters: how many groups.

    Returns:
        (groups, means): the number of each photo's group, the largest being 0, and (clusters, buckets) mean histograms.

    Raises:
        ValueError: there are fewer photos than groups.
    """
    from sklearn.cluster import KMeans

    if len(counted) < clusters:
        raise ValueError(f"{len(counted)} photos cannot make {clusters} clusters; ask for fewer.")
    means = KMeans(clusters, n_init=4, random_state=SEED).fit(counted)
    order = np.argsort(-np.bincount(means.labels_, minlength=clusters), kind="stable")
    return np.argsort(order)[means.labels_], means.cluster_centers_[order]


def draw(path, means, sizes):
    """Draws the mean histograms over the ab plane.

    Args:
        path: PNG file.
        means: (clusters, 112) float.
        sizes: number of photos in each.
    """
    from keras import ops
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    from rainbownet import buckets, color

    grid = buckets.ab_112()
    columns = int(np.ceil(np.sqrt(len(means))))
    rows = -(-len(means) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.5 * rows), layout="constrained")
    cells = np.concatenate([np.full((len(grid), 1), 65.0), grid.centers], axis=1).astype("float32")
    fills = np.clip(ops.convert_to_numpy(color.lab_to_rgb(cells)), 0, 1)
    panels = deque(figure.subplots(rows, columns, squeeze=False).ravel())
    for mean, size in zip(means, sizes, strict=True):
        axes = panels.popleft()
        axes.set(xlim=(-128, 128), ylim=(-128, 128), aspect="equal", xlabel="a", ylabel="b")
        axes.set_title(f"{size:,} photos", fontsize=10)
        for (a, b), fill, share in zip(grid.centers, fills, mean, strict=True):
            if share > LEAST_SHARE:
                strength = 0.25 + 0.75 * np.sqrt(share / mean.max())
                axes.add_patch(Rectangle((a - 8, b - 8), 16, 16, facecolor=(*fill, strength), edgecolor="none"))
    for axes in panels:
        axes.set_axis_off()
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def cluster_photos(photos, out, clusters=9, progress=True):
    """Does all of it: histograms, clusters, figure and lists.

    Args:
        photos: list of `PhotoFile`.
        out: folder to write to.
        clusters: how many.
        progress: whether to show a progress bar.

    Returns:
        What is in clusters.json: dict of the numbers of `photos` and of `unreadable` ones, which are in no cluster, and
        of `cluster_sizes`, largest first.

    Raises:
        ValueError: there are fewer photos than clusters, or the folder holds those of other photos.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    counted = histograms(photos, out / "histograms.f32", progress)
    readable = counted.any(axis=1)
    groups, means = cluster(counted[readable], clusters)
    sizes = np.bincount(groups, minlength=clusters).tolist()
    draw(out / "clusters.png", means, sizes)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("photo", "cluster"))
    group = iter(groups.tolist())
    writer.writerows((photo.name, next(group) if ok else "") for photo, ok in zip(photos, readable, strict=True))
    with write_atomically(out / "clusters.csv") as temporary:
        temporary.write_text(text.getvalue(), "utf-8", "surrogateescape")
    result = {"photos": len(groups), "unreadable": len(photos) - len(groups), "cluster_sizes": sizes}
    with write_atomically(out / "clusters.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    return result


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("photos", type=Path, help="folder or archive")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--clusters", type=int, default=9, help="how many")
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        result = cluster_photos(find_photos(args.photos), args.out, args.clusters)
    print(f"{result['photos']:,} photos in clusters of {', '.join(f'{size:,}' for size in result['cluster_sizes'])}.")


if __name__ == "__main__":
    main()
