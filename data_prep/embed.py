"""Computes the embeddings of photos and keeps them on disk, where training looks for them.

    python -m data_prep.embed PHOTOS --embedder imagenet
    python -m data_prep.embed PHOTOS --embedder efficientnet_lite0 --out embeddings.npy

RainbowNet's document (section "Features") gives its fusion network the 1,000 numbers of InceptionResNetV2 for each
photo. They are computed once and kept beside PHOTOS in .rainbownet, in the file that `rainbownet train` reads and
writes: with all of them there, training begins at once. `--out` writes them as one array too, and the names beside it.
The embedder is "imagenet", the path of a weights file of InceptionResNetV2, the folder or handle of a TensorFlow Hub
image module, or "efficientnet_lite0", whose weights ship; "random" is for tests.

A photo that has its embedding is not computed again, and a stopped pass goes on. InceptionResNetV2 does about 4 photos
a second on 2 cores.
"""

from pathlib import Path

import numpy as np

from data_prep import commands
from rainbownet.data.files import find_photos, write_atomically


def main(arguments=None):
    """Runs the command."""
    parser = commands.parser(__doc__)
    parser.add_argument("photos", type=Path, help="folder or archive")
    parser.add_argument("--embedder", default="imagenet", help="see above")
    parser.add_argument("--folder", type=Path, help="where they are kept; .rainbownet beside the photos by default")
    parser.add_argument("--out", type=Path, help=".npy file to write the array to, and .txt with the names")
    args = parser.parse_args(arguments)
    with commands.mistakes_told(parser):
        photos = find_photos(args.photos)
        # Keras and TensorFlow take seconds: what is wrong before is told before.
        from rainbownet import embedding
        from rainbownet.data.embeddings import embed_photos, embeddings_folder

        folder = args.folder or embeddings_folder(args.photos, ".")
        vectors = embed_photos(photos, embedding.get(args.embedder), folder)
        if args.out:
            with write_atomically(args.out.with_suffix(".npy")) as temporary, open(temporary, "wb") as file:
                np.save(file, vectors)
            with write_atomically(args.out.with_suffix(".txt")) as temporary:
                names = "".join(f"{photo.name}\n" for photo in photos)
                temporary.write_text(names, "utf-8", "surrogateescape")
    print(f"{len(vectors):,} photos have their {vectors.shape[1]:,} numbers in {folder}.")


if __name__ == "__main__":
    main()
