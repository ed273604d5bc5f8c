"""The check that every network passes, at toy width."""

import keras
import numpy as np
import pytest
from keras import ops

from rainbownet import models
from tests.models.shared import TOYS


@pytest.fixture(params=["float32", "mixed_bfloat16"])
def precision(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.fixture(params=TOYS)
def name(request):
    return request.param


def build(name, size=(32, 32)):
    function, fixed, _ = TOYS[name]
    return function((*size, 1) if fixed else (None, None, 1))


def inputs_for(network, size=(32, 32), batch=2):
    random = np.random.default_rng(0)
    l = random.uniform(0, 100, (batch, *size, 1)).astype("float32")
    if len(network.inputs) == 1:
        return l
    return {"l": l, "embedding": random.uniform(0, 1, (batch, 3)).astype("float32")}


def arrays(outputs):
    """A network's outputs by name, as arrays."""
    outputs = outputs if isinstance(outputs, dict) else {"color": outputs}
    return {name: ops.convert_to_numpy(value) for name, value in outputs.items()}


def test_every_network_is_checked():
    assert set(models.__all__) <= TOYS.keys()


# Convolutions (transposed ones among them), dense layers and normalizations, added up as the documents list them.
LAYERS = {
    # 8 of the encoder; 4 pairs of the decoder and the logits.
    "rainbownet_plain": (8 + 4 * 2 + 1, 0, 0),
    # 8, the fusion's two halves, 12; 4 normalizations in the encoder, 3 in the decoder.
    "rainbownet_fusion": (8 + 1 + 12, 1, 4 + 3),
    "rainbownet_without_fusion": (8 + 12, 0, 4 + 3),
    "rainbownet_baseline": (0, 2, 0),
    # 4 cells down, the bottom, 3 cells up and the output's: two normalized convolutions each; and the logits.
    "color_unet": (2 * (4 + 1 + 3 + 1) + 1, 0, 2 * (4 + 1 + 3 + 1)),
    "color_unet_batch": (2 * (4 + 1 + 3 + 1) + 1, 0, 2 * (4 + 1 + 3 + 1)),
    # Low-level, mid-level, global, fusion, regressor; 3 dense layers of the global path and the fusion's half. All are
    # normalized but the last one; the fusion's halves together.
    "colornet": (6 + 2 + 4 + 1 + 5, 3 + 1, 6 + 2 + 4 + 3 + 1 + 4),
    "colornet_classes": (6 + 2 + 4 + 1 + 5, 3 + 1 + 2, 6 + 2 + 4 + 3 + 1 + 4 + 1),
    "colornet_local": (6 + 2 + 1 + 5, 0, 6 + 2 + 1 + 4),
    # conv1, 4 blocks of two and a projection, all normalized; 4 normalized ones up and the last.
    "resnet18": (1 + 4 * 2 + 1 + 4 + 1, 0, 1 + 4 * 2 + 1 + 4),
    "resnet18_imagenet": (1 + 4 * 2 + 1 + 4 + 1, 0, 1 + 4 * 2 + 1 + 4),
    "dropout_cnn": (3, 2, 0),
    "dropout_cnn_dense": (1, 2, 0),
    # Blocks 1 to 7, each normalized at its end; block 8.
    "eccv16": (2 + 2 + 3 + 3 + 3 + 3 + 3 + 4, 0, 7),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_of_the_documents(name):
    kinds = (
        (keras.layers.Conv2D, keras.layers.Conv2DTranspose),
        keras.layers.Dense,
        (keras.layers.BatchNormalization, keras.layers.GroupNormalization),
    )
    network = build(name)
    assert tuple(sum(isinstance(layer, kind) for layer in network.layers) for kind in kinds) == LAYERS[name]


def test_shapes_follow_the_input(name, precision):
    shrunk = TOYS[name][2]
    network = build(name)
    for size in ((32, 32), (48, 64)):
        if TOYS[name][1]:
            network = build(name, size)
        outputs = arrays(network(inputs_for(network, size)))
        channels = network.output["color"].shape[-1] if "class" in outputs else network.output_shape[-1]
        assert channels in (2, 5)
        assert outputs["color"].shape == (2, size[0] // shrunk, size[1] // shrunk, channels)
        assert {value.dtype.name for value in outputs.values()} == {"float32"}
        assert all(np.isfinite(value).all() for value in outputs.values())
        if "class" in outputs:
            assert outputs["class"].shape == (2, 3)


def test_training_lowers_the_loss(name, precision):
    network = build(name)
    inputs = inputs_for(network)

    def loss_for(shape):
        if shape[-1] == 2:
            return keras.losses.MeanSquaredError(), np.full(shape, 0.3, "float32")
        crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return crossentropy, np.full(shape[:-1], 1, "int32")

    pairs = {key: loss_for(value.shape) for key, value in arrays(network(inputs)).items()}
    loss, target = pairs["color"]
    if len(pairs) > 1:
        loss = {key: pair[0] for key, pair in pairs.items()}
        target = {key: pair[1] for key, pair in pairs.items()}
    # TensorFlow goes step by step: compiling a graph for each of these would take longer than all else here. JAX
    # compiles every single operation that it meets, and is quicker with one program for all of them.
    network.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=keras.backend.backend() == "tensorflow")
    losses = [float(network.train_on_batch(inputs, target, return_dict=True)["loss"]) for _ in range(6)]
    assert losses[-1] < losses[0]


def test_a_saved_network_gives_the_same(name, precision, tmp_path):
    network = build(name)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    inputs = inputs_for(network)
    expected = arrays(network(inputs))
    for key, value in arrays(again(inputs)).items():
        np.testing.assert_array_equal(value, expected[key])


# Exported models compute in float32; the variants left out have no layer that these have not.
@pytest.mark.parametrize("name", [*models.__all__, "resnet18_imagenet"])
def test_an_exported_network_gives_the_same(name, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("models are exported with the TensorFlow backend")
    import tensorflow

    network = build(name)
    archive = keras.export.ExportArchive()
    archive.track(network)
    shapes = {tensor.name: (None, *tensor.shape[1:]) for tensor in network.inputs}
    signature = {key: tensorflow.TensorSpec(shape, "float32", name=key) for key, shape in shapes.items()}
    # Sizes stay free where the network leaves them free.
    archive.add_endpoint("serve", network.call, [signature if len(signature) > 1 else signature["l"]])
    archive.write_out(str(tmp_path / "network"), verbose=False)
    exported = tensorflow.saved_model.load(str(tmp_path / "network"))
    size = (32, 32) if TOYS[name][1] else (48, 64)
    inputs = inputs_for(network, size, batch=1)
    expected = arrays(network(inputs))
    for key, value in arrays(exported.serve(inputs)).items():
        np.testing.assert_allclose(value, expected[key], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "last", "neutral"),
    [
        ("rainbownet_baseline", "ab_over_128", 0.0),
        ("colornet", "color5", 128 / 255),
        ("colornet_local", "color5", 128 / 255),
        ("resnet18", "output", 0.0),
    ],
)
def test_a_regression_reaches_every_sign_of_ab(name, last, neutral):
    # Whatever comes before it, the last layer's bias must be able to turn a and b to either side.
    network = build(name)
    layer = network.get_layer(last)
    kernel, bias = layer.get_weights()
    for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        layer.set_weights([0 * kernel, 2.0 * np.resize([a, b], bias.shape)])
        output = arrays(network(inputs_for(network)))["color"] - neutral
        assert (np.sign(output) == (a, b)).all() and (np.abs(output) > 0.3).all()
