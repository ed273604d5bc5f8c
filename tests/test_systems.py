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
        ("rainbownet", {"size": 100}, "divisible by 8"),
        ("rainbownet", {"grid": 200}, "112 or 313; received 200"),
        ("rainbownet", {"colour": 1}, "cannot be set up like this"),
        ("rainbownet", {"rebalance": 2.0}, "in 0..1"),
        ("rainbownet", {"schedule": "linear"}, "'constant' or 'cosine'"),
        ("rainbownet", {"batch": 0}, "more than 0"),
    ],
)
def test_user_mistakes_are_told(name, options, message):
    with pytest.raises(ValueError, match=message):
        systems.get(name, **options)
