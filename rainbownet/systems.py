"""The systems by name: a network, a codec, a loss and a recipe each.

`get("rainbownet", variant="fusion")` is the one way to name a system: the command, the experiments and the tests do.
Adding one is a file in `models/`, an entry here and a test; see CONTRIBUTING.md.
"""

import dataclasses
from collections.abc import Callable

import keras

from rainbownet import buckets, models
from rainbownet.codecs import BucketCodec, RegressionCodec
from rainbownet.color_model import ColorModel
from rainbownet.embedding import Embedder, InceptionResNetV2Embedder
from rainbownet.losses import WeightedCrossentropy
from rainbownet.models.rainbownet import STRIDE


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Args:
        size: side in pixels of the squares that photos are cropped to.
        batch: photos a step.
        epochs: passes over the photos, where nothing else limits the training.
        learning_rate: the highest learning rate of Adam.
        epsilon: Adam's.
        schedule: "constant", or "cosine" for a fall to zero at the end of the training.
        clip: norm beyond which gradients are cut, or `None`. Without normalization layers, one batch of rare colours
            under rebalancing can otherwise throw the weights far off.
        warmup: steps over which the learning rate rises from zero.
        rebalance: lambda of the rebalancing weights (1/2 is Zhang et al.'s; smaller lets rare colours weigh more), or
            `None` for a loss without weights.
        smoothing: width in Lab units of the Gaussian that smooths the prior before.
        patience: epochs without a better validation loss after which the training stops, or `None`.
    """

    size: int
    batch: int = 32
    epochs: int = 20
    learning_rate: float = 3e-4
    epsilon: float = 1e-7
    schedule: str = "constant"
    clip: float | None = None
    warmup: int = 0
    rebalance: float | None = None
    smoothing: float = 5.0
    patience: int | None = 5

    def __post_init__(self):
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"`schedule` must be 'constant' or 'cosine'; received {self.schedule!r}.")
        for name in ("size", "batch", "epochs", "learning_rate", "epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be more than 0; received {getattr(self, name)}.")
        if self.rebalance is not None and not 0 <= self.rebalance <= 1:
            raise ValueError(f"`rebalance` (lambda) must be in 0..1; received {self.rebalance}.")


@dataclasses.dataclass(frozen=True)
class System:
    """A network, a codec and a recipe under a name.

    Args:
        name: the name and the variant.
        network: function that builds the network.
        codec: the codec.
        stride: heights and widths must be divisible by it.
        recipe: how it is trained.
        embedder: the `Embedder` of the network's second input, or `None`.
    """

    name: str
    network: Callable[[], keras.Model]
    codec: BucketCodec | RegressionCodec
    stride: int
    recipe: Recipe
    embedder: Embedder | None = None

    def __post_init__(self):
        if self.recipe.size % self.stride:
            raise ValueError(
                f"The size must be divisible by {self.stride}, which {self.name} shrinks photos by; "
                f"received {self.recipe.size}."
            )

    def model(self, prior=None, precision="float32"):
        """Builds the model, with new weights.

        Args:
            prior: `ColorPrior` of the training photos, to be kept with the model.
            precision: Keras' dtype policy for the layers, such as "mixed_bfloat16".

        Returns:
            A `ColorModel`.
        """
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            network = self.network()
        finally:
            keras.config.set_dtype_policy(before)
        size, name = (self.recipe.size,) * 2, self.name.replace(" ", "_")
        return ColorModel(network, self.codec, size, self.stride, prior, self.embedder, name=name)

    def loss(self, prior=None):
        """Builds the loss.

        Args:
            prior: `ColorPrior` of the training photos; needed where the recipe rebalances.

        Returns:
            A `keras.losses.Loss`.
        """
        if isinstance(self.codec, RegressionCodec):
            return keras.losses.MeanSquaredError()
        if self.recipe.rebalance is None:
            return WeightedCrossentropy()
        centers = self.codec.buckets.centers
        return WeightedCrossentropy(prior.weights(self.recipe.rebalance, centers, self.recipe.smoothing))


def rainbownet(variant="plain", size=None, grid=112, neighbors=1, filters=64, embedder=None, **recipe):
    """RainbowNet (Lin, Ling & Wang, 2018).

    Args:
        variant: "plain", "fusion" (takes an embedding of the photo) or "baseline" (regression by dense layers).
        size: side in pixels of the training squares; the document's 224 by default.
        grid: 112 buckets, the document's, or 313, those of Zhang et al. 2016.
        neighbors: buckets that share a pixel's colour in the target: 1 gives hard targets, the document's.
        filters: filters of the first convolution; 64 in the document.
        embedder: the `Embedder` for "fusion"; InceptionResNetV2 with its ImageNet weights by default.
        **recipe: fields of `Recipe` that differ from the document's: Adam 3e-4, batches of 32, 23 epochs. The authors
            sum the loss over the 32 x 224 x 224 pixels of a batch and give Adam an epsilon of 0.01; ours is the mean,
            to which 0.01 over their number is the same.

    Returns:
        A `System`.
    """
    recipe = Recipe(**{"size": size or 224, "epsilon": 0.01 / (32 * 224 * 224), "epochs": 23, **recipe})
    grids = {112: buckets.ab_112, 313: buckets.ab_313}
    if grid not in grids:
        raise ValueError(f"`grid` must be one of {', '.join(map(str, grids))} buckets; received {grid}.")
    if variant == "baseline":
        shape = (recipe.size, recipe.size, 1)
        return System("rainbownet baseline", lambda: models.rainbownet_baseline(shape), RegressionCodec(), 1, recipe)
    codec = BucketCodec(grids[grid](), neighbors)
    if variant == "plain":
        return System(
            "rainbownet plain",
            lambda: models.rainbownet_plain(outputs=codec.outputs, filters=filters),
            codec, STRIDE, recipe,
        )  # fmt: skip
    if variant == "fusion":
        embedder = embedder or InceptionResNetV2Embedder()
        return System(
            "rainbownet fusion",
            lambda: models.rainbownet_fusion(outputs=codec.outputs, embedding=embedder.outputs, filters=filters),
            codec, STRIDE, recipe, embedder,
        )  # fmt: skip
    raise ValueError(f"`variant` must be 'plain', 'fusion' or 'baseline'; received {variant!r}.")


SYSTEMS = {"rainbownet": rainbownet}


def get(name, **options):
    """Finds a system by name.

    Args:
        name: one of `SYSTEMS`.
        **options: the system's own, see its function.

    Returns:
        A `System`.

    Raises:
        ValueError: no system of that name, or an option that it does not have.
    """
    if name not in SYSTEMS:
        raise ValueError(f"There is no system named {name!r}; choose one of {', '.join(SYSTEMS)}.")
    try:
        return SYSTEMS[name](**options)
    except TypeError as error:
        raise ValueError(f"The system {name} cannot be set up like this: {error}.") from error
