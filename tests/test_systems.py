import numpy as np
import pytest

from rainbownet import systems
from rainbownet.priors import ColorPrior


def test_rainbownet_is_as_its_document_says():
    system = systems.get("rainbownet")
    assert (system.recipe.size, system.recipe.batch, system.recipe.learning_rate) == (224, 32, 3e-4)
    # 0.01 for a loss summed over the pixels of a batch, as the authors', is this for its mean.
    assert system.recipe.epsilon * 32 * 224 * 224 == pytest.approx(0.01)
    assert system.codec.outputs == 112 and system.stride == 8 and system.loss().weights is None
    assert system.model().count_params() == 7_358_128


def test_options_reach_network_codec_and_recipe():
    system = systems.get("rainbownet", size=64, grid=313, neighbors=5, filters=2, rebalance=0.5, batch=7)
    assert system.model().network.output_shape[-1] == system.codec.outputs == 313
    assert system.model().size == (64, 64) and system.recipe.batch == 7
    prior = ColorPrior(np.arange(1, 314))
    np.testing.assert_array_equal(system.loss(prior).weights, prior.weights(0.5, system.codec.buckets.centers, 5.0))


def test_the_others_are_as_their_documents_say():
    """Sizes, batches, optimizers, rates, weighting: sections 2 to 6 of what the documents say."""
    for name, size, batch, optimizer, rate, rebalance, smoothing, frame in (
        ("color_unet", 256, 48, "adam", 1e-4, 0.3, 0.0, "crop"),
        ("colornet", 224, 32, "adam", 1e-3, None, 5.0, "crop"),
        ("resnet18", 224, 32, "adam", 0.01, None, 5.0, "crop"),
        ("dropout_cnn", 64, 32, "adadelta", 1.0, None, 5.0, "pad"),
        ("eccv16", 256, 40, "adam", 3e-5, 0.5, 5.0, "crop"),
    ):
        recipe = systems.get(name).recipe
        assert (recipe.size, recipe.batch, recipe.optimizer, recipe.learning_rate) == (size, batch, optimizer, rate)
        assert (recipe.rebalance, recipe.smoothing, recipe.frame) == (rebalance, smoothing, frame)
        assert type(recipe.build_optimizer()).__name__.lower() == optimizer
    assert systems.get("color_unet").recipe.patience == 3
    assert systems.get("colornet").codec.get_config() == {"scale": 255.0, "offset": -128.0}
    assert systems.get("resnet18").codec.get_config() == {"scale": 110.0, "offset": 0.0}
    modelz = systems.get("eccv16")
    assert (modelz.shrink, modelz.codec.outputs, modelz.codec.neighbors, modelz.codec.sigma) == (4, 313, 5, 5.0)


def test_colors_are_fitted_before_a_model_is_built():
    system = systems.get("color_unet", bins=3, filters=2)
    with pytest.raises(ValueError, match="call `fitted` with them first"):
        system.model()
    photos = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3)).astype("uint8")
    fitted = system.fitted([photos])
    assert fitted.codec.outputs == 3 and fitted.fitted([]) is fitted
    prior = ColorPrior([5, 1, 1])
    # Without smoothing: the weights are by the document's formula from the counts alone.
    np.testing.assert_array_equal(fitted.loss(prior).weights, prior.weights(0.3))


def test_a_classifier_comes_with_its_loss():
    system = systems.get("colornet", alpha=0.5, size=32, filters=2)
    assert system.loss()["color"].name == "mean_squared_error" and system.loss()["class"].alpha == 0.5
    assert system.model(classes=4).network.output["class"].shape == (None, 4)
    with pytest.raises(ValueError, match="give `classes`, their number"):
        system.model()


def test_published_weights_come_with_the_network(tmp_path):
    from tests.models.shared import randomize, state_dict_of
    from tests.models.test_eccv16 import PREFIXES

    network = systems.models.eccv16(filters=2)
    randomize(network)
    for scale, fits in ((110, True), (100, False)):
        colors = systems.buckets.ab_313().centers.T[:, :, None, None] / scale
        np.savez(tmp_path / "published.npz", **state_dict_of(network, PREFIXES), **{"model_out.weight": colors})
        system = systems.get("eccv16", weights=tmp_path / "published.npz", filters=2)
        if fits:
            for own, published in zip(system.model().network.get_weights(), network.get_weights(), strict=True):
                np.testing.assert_array_equal(own, published)
        else:
            with pytest.raises(ValueError, match="buckets of other colors"):
                system.model()


def test_precision_is_that_of_the_layers_and_of_nothing_else():
    import keras

    before = keras.config.dtype_policy()
    model = systems.get("rainbownet", filters=2).model(precision="mixed_bfloat16")
    assert model.network.get_layer("encoder1_conv1").compute_dtype == "bfloat16"
    assert model.network.get_layer("logits").compute_dtype == "float32"
    assert keras.config.dtype_policy() == before


def test_baseline_is_a_regression():
    system = systems.get("rainbownet", variant="baseline", size=24)
    assert system.codec.outputs == 2 and system.loss().name == "mean_squared_error"
    assert system.model().fixed_size


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rainbow", {}, "no system named 'rainbow'; choose one of rainbownet"),
        ("rainbownet", {"variant": "plane"}, "'plain', 'fusion' or 'baseline'; received 'plane'"),
        ("rainbownet", {"embedder": object()}, 'takes no embedding; ask for `variant="fusion"`'),
        ("rainbownet", {"size": 100}, "divisible by 8"),
        ("rainbownet", {"grid": 200}, "112 or 313; received 200"),
        ("rainbownet", {"colour": 1}, "cannot be set up like this"),
        ("rainbownet", {"rebalance": 2.0}, "in 0..1"),
        ("rainbownet", {"schedule": "linear"}, "'constant' or 'cosine'"),
        ("rainbownet", {"batch": 0}, "more than 0"),
        ("color_unet", {"size": 72}, "divisible by 16"),
        ("color_unet", {"optimizer": "adamw"}, "'adam', 'adadelta' or 'sgd'"),
        ("colornet", {"head": "classes"}, "'regression' or 'buckets'"),
        ("colornet", {"alpha": 0.1, "global_features": False}, "works on the global features"),
        ("dropout_cnn", {"loss": "mse"}, "'crossentropy' or 'label_distance'"),
        ("dropout_cnn", {"frame": "stretch"}, "'crop' or 'pad'"),
    ],
)
def test_user_mistakes_are_told(name, options, message):
    with pytest.raises(ValueError, match=message):
        systems.get(name, **options)
