"""The systems by name: a network, a codec, a loss and a recipe each.

`get("rainbownet", variant="fusion")` is the one way to name a system: the command, the experiments and the tests do.
Adding one is a file in `models/`, an entry here and a test; see CONTRIBUTING.md.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from rainbownet import buckets, models
from rainbownet.codecs import BucketCodec, ClusteredRGB, FrequentUV, RegressionCodec
from rainbownet.color_model import ColorModel
from rainbownet.embedding import Embedder, InceptionResNetV2Embedder
from rainbownet.losses import ClassCrossentropy, LabelDistance, WeightedCrossentropy
from rainbownet.models import efficientnet_lite
from rainbownet.models.color_unet import STRIDE as COLOR_UNET_STRIDE
from rainbownet.models.colornet import STRIDE as COLORNET_STRIDE
from rainbownet.models.dropout_cnn import STRIDE as DROPOUT_CNN_STRIDE
from rainbownet.models.eccv16 import SHRINK as ECCV16_SHRINK
from rainbownet.models.eccv16 import STRIDE as ECCV16_STRIDE
from rainbownet.models.eccv16 import load_torch_weights
from rainbownet.models.lite_unet import SHRINK as LITE_UNET_SHRINK
from rainbownet.models.lite_unet import options_of
from rainbownet.models.rainbownet import STRIDE as RAINBOWNET_STRIDE
from rainbownet.models.resnet18 import STRIDE as RESNET18_STRIDE
from rainbownet.models.resnet18 import load_imagenet_weights


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a system is trained.

    Args:
        size: side in pixels of the squares that photos are cropped to.
        batch: photos a step.
        epochs: passes over the photos, where nothing else limits the training.
        optimizer: "adam", "adadelta" or "sgd".
        learning_rate: the optimizer's highest.
        epsilon: Adam's and Adadelta's.
        schedule: "constant", or "cosine" for a fall to zero at the end of the training.
        clip: norm beyond which gradients are cut, or `None`. Without normalization layers, one batch of rare colours
            under rebalancing can otherwise throw the weights far off.
        warmup: steps over which the learning rate rises from zero.
        rebalance: lambda of the rebalancing weights (1/2 is Zhang et al.'s; smaller lets rare colours weigh more), or
            `None` for a loss without weights.
        smoothing: width in Lab units of the Gaussian that smooths the prior before.
        patience: epochs without a better validation loss after which the training stops, or `None`.
        frame: how photos become squares: "crop" cuts one out, "pad" takes the whole photo and fills up with white.
    """

    size: int
    batch: int = 32
    epochs: int = 20
    optimizer: str = "adam"
    learning_rate: float = 3e-4
    epsilon: float = 1e-7
    schedule: str = "constant"
    clip: float | None = None
    warmup: int = 0
    rebalance: float | None = None
    smoothing: float = 5.0
    patience: int | None = 5
    frame: str = "crop"

    def __post_init__(self):
        _one_of(("constant", "cosine"), schedule=self.schedule)
        _one_of(("adam", "adadelta", "sgd"), optimizer=self.optimizer)
        _one_of(("crop", "pad"), frame=self.frame)
        for name in ("size", "batch", "epochs", "learning_rate", "epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be more than 0; received {getattr(self, name)}.")
        if self.rebalance is not None and not 0 <= self.rebalance <= 1:
            raise ValueError(f"`rebalance` (lambda) must be in 0..1; received {self.rebalance}.")

    def build_optimizer(self):
        """Builds the optimizer.

        Returns:
            A `keras.optimizers.Optimizer`.
        """
        if self.optimizer == "sgd":
            return keras.optimizers.SGD(self.learning_rate, global_clipnorm=self.clip)
        kinds = {"adam": keras.optimizers.Adam, "adadelta": keras.optimizers.Adadelta}
        return kinds[self.optimizer](self.learning_rate, epsilon=self.epsilon, global_clipnorm=self.clip)


@dataclasses.dataclass(frozen=True)
class System:
    """A network, a codec and a recipe under a name.

    Args:
        name: the name and the variant.
        network: function that builds the network; for a system with `alpha`, from the number of kinds of photos.
        codec: the codec, or one still to be fitted to the training photos, see `fitted`.
        stride: heights and widths must be divisible by it.
        recipe: how it is trained.
        embedder: the `Embedder` of the network's second input, or `None`.
        shrink: how many times smaller than its input the network's output is.
        alpha: weight in the loss of a classifier of the kind of photo, or 0 for a network without one.
        like: function from a network to the `System` that trains one built as that is, or `None` where all are alike.
    """

    name: str
    network: Callable[..., keras.Model]
    codec: BucketCodec | RegressionCodec | FrequentUV | ClusteredRGB
    stride: int
    recipe: Recipe
    embedder: Embedder | None = None
    shrink: int = 1
    alpha: float = 0.0
    like: Callable[[keras.Model], "System"] | None = None

    def __post_init__(self):
        if self.recipe.size % self.stride:
            raise ValueError(
                f"The size must be divisible by {self.stride}, which {self.name} shrinks photos by; "
                f"received {self.recipe.size}."
            )

    @property
    def is_fitted(self):
        """Whether the codec is ready, or has to be fitted to photos first."""
        return not hasattr(self.codec, "fit")

    def fitted(self, photos):
        """Fits the codec to the colours of photos, where it has to be.

        Args:
            photos: iterable of (batch, height, width, 3) uint8: the training photos.

        Returns:
            A `System` whose codec is ready; the system itself if it is already.
        """
        return self if self.is_fitted else dataclasses.replace(self, codec=self.codec.fit(photos))

    def model(self, prior=None, precision="float32", classes=None):
        """Builds the model, with new weights.

        Args:
            prior: `ColorPrior` of the training photos, to be kept with the model.
            precision: Keras' dtype policy for the layers, such as "mixed_bfloat16".
            classes: number of kinds of photos, for a system with `alpha`.

        Returns:
            A `ColorModel`.

        Raises:
            ValueError: the codec is not fitted yet, or the number of kinds is missing.
        """
        if not self.is_fitted:
            raise ValueError(
                f"The colors of {self.name} are those of its training photos; call `fitted` with them first."
            )
        if self.alpha and not classes:
            raise ValueError(
                f"{self.name} learns the kinds of photos beside their colors; give `classes`, their number."
            )
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            network = self.network(classes) if self.alpha else self.network()
        finally:
            keras.config.set_dtype_policy(before)
        size, name = (self.recipe.size,) * 2, self.name.replace(" ", "_")
        return ColorModel(network, self.codec, size, self.stride, prior, self.embedder, name=name)

    def loss(self, prior=None):
        """Builds the loss.

        Args:
            prior: `ColorPrior` of the training photos; needed where the recipe rebalances.

        Returns:
            A `keras.losses.Loss`; for a system with `alpha`, a dict of those of "color" and "class".
        """
        loss = self._color_loss(prior)
        return {"color": loss, "class": ClassCrossentropy(self.alpha)} if self.alpha else loss

    def _color_loss(self, prior):
        if isinstance(self.codec, RegressionCodec):
            return keras.losses.MeanSquaredError()
        if getattr(self.codec, "ordinal", False):
            return LabelDistance(len(self.codec.buckets))
        if self.recipe.rebalance is None:
            return WeightedCrossentropy()
        centers = self.codec.buckets.centers
        return WeightedCrossentropy(prior.weights(self.recipe.rebalance, centers, self.recipe.smoothing))


def rainbownet(variant="plain", grid=112, neighbors=1, temperature=0.38, filters=64, embedder=None, **recipe):
    """RainbowNet (Lin, Ling & Wang, 2018).

    Args:
        variant: "plain", "fusion" (takes an embedding of the photo) or "baseline" (regression by dense layers).
        grid: 112 buckets, the document's, or 313, those of Zhang et al. 2016.
        neighbors: buckets that share a pixel's colour in the target: 1 gives hard targets, the document's.
        temperature: of decoding; the document takes the likeliest bucket, which is 0.
        filters: filters of the first convolution; 64 in the document.
        embedder: the `Embedder` for "fusion"; InceptionResNetV2 with its ImageNet weights by default.
        **recipe: fields of `Recipe` that differ from the document's: 224x224, Adam 3e-4, batches of 32, 23 epochs. The
            authors sum the loss over the 32 x 224 x 224 pixels of a batch and give Adam an epsilon of 0.01; ours is the
            mean, to which 0.01 over their number is the same.

    Returns:
        A `System`.
    """
    _one_of(("plain", "fusion", "baseline"), variant=variant)
    recipe = Recipe(**{"size": 224, "epsilon": 0.01 / (32 * 224 * 224), "epochs": 23, **recipe})
    codec = BucketCodec(_grid(grid), neighbors, temperature=temperature)
    if embedder is not None and variant != "fusion":
        raise ValueError(f'RainbowNet `{variant}` takes no embedding; ask for `variant="fusion"`, or give none.')
    if variant == "baseline":
        shape = (recipe.size, recipe.size, 1)
        return System("rainbownet baseline", lambda: models.rainbownet_baseline(shape), RegressionCodec(), 1, recipe)
    if variant == "plain":
        return System(
            "rainbownet plain",
            lambda: models.rainbownet_plain(outputs=codec.outputs, filters=filters),
            codec, RAINBOWNET_STRIDE, recipe,
        )  # fmt: skip
    embedder = embedder or InceptionResNetV2Embedder()
    return System(
        "rainbownet fusion",
        lambda: models.rainbownet_fusion(outputs=codec.outputs, embedding=embedder.outputs, filters=filters),
        codec, RAINBOWNET_STRIDE, recipe, embedder,
    )  # fmt: skip


def color_unet(bins=32, cells=64, norm="layer", temperature=0.38, filters=64, **recipe):
    """ColorUNet (a poster after Billaut, de Rochemonteix & Thibault, arXiv 1811.03120, 2018).

    Args:
        bins: number of bins, the most frequent cells of the UV plane; 32 or 6 in the document.
        cells: cells on each axis of the grid that they are chosen from; 64 is a reading of ours.
        norm: "layer", the document's, or "batch", the original's.
        temperature: of decoding, in 0..1 in the document.
        filters: filters of the first convolution; 64 is a reading of ours.
        **recipe: fields of `Recipe` that differ from the document's: 256x256, Adam 1e-4, batches of 48, at most 25
            epochs, 3 of patience, lambda 0.3 (of its figure) without smoothing.

    Returns:
        A `System` whose bins are to be fitted.
    """
    recipe = Recipe(
        **{
            "size": 256, "batch": 48, "epochs": 25, "learning_rate": 1e-4, "patience": 3, "rebalance": 0.3,
            "smoothing": 0.0, **recipe,
        }
    )  # fmt: skip
    codec = FrequentUV(bins, cells, temperature)
    return System(
        "color_unet",
        lambda: models.color_unet(outputs=codec.outputs, norm=norm, filters=filters),
        codec, COLOR_UNET_STRIDE, recipe,
    )  # fmt: skip


def colornet(
    head="regression", grid=313, temperature=0.38, global_features=True, global_size=None, alpha=0.0, filters=64,
    **recipe,
):  # fmt: skip
    """colornet (a student project after Iizuka, Simo-Serra & Ishikawa, "Let there be Color!", SIGGRAPH 2016).

    Args:
        head: "regression", (ab + 128) / 255 by a sigmoid, or "buckets".
        grid: 313 or 112 buckets, for `head="buckets"`.
        temperature: of decoding, for `head="buckets"`.
        global_features: whether there are any, and a fusion with them; without, the document's baseline.
        global_size: side in pixels that photos are resized to for them; the training squares' by default, which is the
            document's 224 at its size.
        alpha: weight of the classifier's loss, 1/300 in the paper; the kinds of photos are the folders that they lie
            in. With 0, the document's, there is no classifier.
        filters: filters of the first convolution; 64 in the paper.
        **recipe: fields of `Recipe` that differ from the document's: 224x224, batches of 32, 100 epochs. Its learning
            rate of 0.1 for Adam throws the weights off; the default is 1e-3.

    Returns:
        A `System`.
    """
    recipe = Recipe(**{"size": 224, "epochs": 100, "learning_rate": 1e-3, **recipe})
    # (ab + 128) / 255, as the sigmoid's 0..1 wants it.
    codec = _head(head, grid, temperature, RegressionCodec(255.0, -128.0))

    def network(classes=None):
        return models.colornet(
            outputs=codec.outputs, classes=classes, global_features=global_features,
            global_size=global_size or recipe.size, filters=filters,
        )  # fmt: skip

    if alpha and not global_features:
        raise ValueError("The classifier works on the global features; set `alpha=0` to do without both.")
    return System("colornet", network, codec, COLORNET_STRIDE, recipe, alpha=alpha)


def resnet18(head="regression", grid=313, temperature=0.38, weights=None, filters=64, **recipe):
    """ResNet-18 with a decoder (Ke, Fan & Yang, "Colorizing Grayscale Photographs with Convolutional Neural Network").

    Args:
        head: "regression" of ab / 110, or "buckets".
        grid: 313 or 112 buckets, for `head="buckets"`.
        temperature: of decoding, for `head="buckets"`.
        weights: ImageNet's weights for the down-sampling half, as the document has it: see `load_imagenet_weights`.
            `None` begins with random ones.
        filters: filters of the first convolution; 64 in the document.
        **recipe: fields of `Recipe` that differ from the document's: 224x224, Adam 0.01, 100 epochs.

    Returns:
        A `System`.
    """
    recipe = Recipe(**{"size": 224, "epochs": 100, "learning_rate": 0.01, **recipe})
    codec = _head(head, grid, temperature, RegressionCodec(110.0))

    def network():
        network = models.resnet18(outputs=codec.outputs, imagenet=weights is not None, filters=filters)
        if weights is not None:
            load_imagenet_weights(network, weights)
        return network

    return System("resnet18", network, codec, RESNET18_STRIDE, recipe)


def dropout_cnn(
    colors=32, head="conv", dropout=0.5, loss="crossentropy", gray="document", temperature=0.0, filters=32, **recipe
):
    """The Dropout CNN (Li, Zhang, Xie & Yan, "Colorization", a student project).

    Args:
        colors: size of the palette, which is clustered from the training photos' pixels; 32 in the document.
        head: "conv", ours, or "dense", the document's, of 1,073,877,312 parameters.
        dropout: share of the features that a training step leaves out; 0.5, or 0 to see it overfit.
        loss: "crossentropy", or "label_distance", the document's first, which does not converge.
        gray: formula of gray: "document", or "rec601".
        temperature: of decoding; 0 takes colours from the palette only, as the document.
        filters: filters of the first convolution; 32 in the document.
        **recipe: fields of `Recipe` that differ from the document's: 64x64, photos padded with white, Adadelta. It says
            nothing of its learning rate; 1.0 is the original's (Zeiler 2012).

    Returns:
        A `System` whose palette is to be fitted.
    """
    _one_of(("crossentropy", "label_distance"), loss=loss)
    recipe = Recipe(
        **{
            "size": 64, "epochs": 100, "optimizer": "adadelta", "learning_rate": 1.0, "epsilon": 1e-6, "frame": "pad",
            **recipe,
        }
    )  # fmt: skip
    codec = ClusteredRGB(colors, gray, loss == "label_distance", temperature)
    shape = (recipe.size, recipe.size, 1)
    return System(
        "dropout_cnn",
        lambda: models.dropout_cnn(shape, codec.outputs, head, dropout, filters),
        codec, DROPOUT_CNN_STRIDE if head == "conv" else 1, recipe,
    )  # fmt: skip


def eccv16(grid=313, neighbors=5, sigma=5.0, temperature=0.38, weights=None, filters=64, **recipe):
    """Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016); ModelZ of the ResNet-18 document.

    Args:
        grid: 313 buckets, the paper's, or 112.
        neighbors: buckets that share a pixel's colour in the target: 5 in the paper, 1 gives hard targets.
        sigma: width in Lab units of the Gaussian by which they share it.
        temperature: of decoding.
        weights: file of the authors' weights, see `load_torch_weights`; `None` begins with random ones.
        filters: filters of the first convolution; 64 in the paper.
        **recipe: fields of `Recipe` that differ from the paper's: 256x256, Adam 3e-5, batches of 40, lambda 1/2 with
            the prior smoothed by 5. Its 450,000 steps are 14 epochs of ImageNet.

    Returns:
        A `System`.
    """
    recipe = Recipe(
        **{"size": 256, "batch": 40, "epochs": 14, "learning_rate": 3e-5, "rebalance": 0.5, "smoothing": 5.0, **recipe}
    )
    codec = BucketCodec(_grid(grid), neighbors, sigma, temperature)

    def network():
        network = models.eccv16(outputs=codec.outputs, filters=filters)
        if weights is not None:
            colors = load_torch_weights(network, weights)
            if not np.allclose(colors, codec.buckets.centers, atol=0.1):
                raise ValueError(f"{weights} has buckets of other colors than the published ones, or in another order.")
        return network

    return System("eccv16", network, codec, ECCV16_STRIDE, recipe, shrink=ECCV16_SHRINK)


def lite_unet(
    encoder="imagenet", first_block=5, deepest=32, filters=(256, 256, 128, 96), attention=0, temperature=1.0, **fields
):  # fmt: skip
    """LiteUNet, our own; `experiments/default_model.py` is the longer recipe of the models that ship.

    Args:
        encoder: "imagenet" begins with the weights of EfficientNet-Lite0 that ship, `None` with random ones.
        first_block: first block of the encoder that is trained, 0 for all of it; see `efficientnet_lite.train_from`.
        deepest: stride of the encoder's coarsest features, 32 or 16; the default preset has 16.
        filters: of the decoder, from the coarsest stride to 4; the default preset has (256, 128, 96).
        attention: transformer blocks at stride 16; the default preset has 2.
        temperature: of decoding.
        **fields: of `Recipe` that differ from 160x160, Adam 1e-3 with a warm-up of 200 steps and a cosine,
            gradients clipped at 1, lambda 1/2 without smoothing.

    Returns:
        A `System`.
    """
    _one_of(("imagenet", None), encoder=encoder)
    recipe = Recipe(
        **{
            "size": 160, "learning_rate": 1e-3, "schedule": "cosine", "warmup": 200, "clip": 1.0, "rebalance": 0.5,
            "smoothing": 0.0, **fields,
        }
    )  # fmt: skip
    codec = BucketCodec(buckets.ab_313(), temperature=temperature)

    def like(network):
        return lite_unet(encoder, first_block, temperature=temperature, **options_of(network), **fields)

    def network():
        network = models.lite_unet(outputs=codec.outputs, deepest=deepest, filters=tuple(filters), attention=attention)
        if encoder is not None:
            efficientnet_lite.load_imagenet_weights(network)
            efficientnet_lite.train_from(network, first_block)
        return network

    return System("lite_unet", network, codec, deepest, recipe, shrink=LITE_UNET_SHRINK, like=like)


SYSTEMS = {
    "rainbownet": rainbownet,
    "color_unet": color_unet,
    "colornet": colornet,
    "resnet18": resnet18,
    "dropout_cnn": dropout_cnn,
    "eccv16": eccv16,
    "lite_unet": lite_unet,
}


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


def _grid(count):
    _one_of((112, 313), grid=count)
    return buckets.ab_112() if count == 112 else buckets.ab_313()


def _head(head, grid, temperature, regression):
    """The codec of a network that comes with either head."""
    _one_of(("regression", "buckets"), head=head)
    return regression if head == "regression" else BucketCodec(_grid(grid), temperature=temperature)


def _one_of(choices, **option):
    ((name, value),) = option.items()
    if value not in choices:
        listed = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        raise ValueError(f"`{name}` must be {listed}; received {value!r}.")
