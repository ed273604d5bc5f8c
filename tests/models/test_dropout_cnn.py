import resource

import numpy as np
import pytest

from rainbownet import models
from tests.models.shared import conv, count_without_allocating, dense


def test_parameters_of_the_dense_head_are_those_of_the_document():
    pixels = 64 * 64
    parts = [conv(1, 32), dense(pixels * 32, pixels), dense(pixels, pixels * 32)]
    assert parts == [320, 536_875_008, 537_001_984]
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(parts) == 1_073_877_312 == count_without_allocating(lambda: models.dropout_cnn(head="dense"))
    # Allocated, they are 4.3 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < kilobytes + 500_000


def test_parameters_of_the_conv_head():
    context = dense(8 * 8 * 32, 256) + dense(256, 8 * 8 * 32)
    total = conv(1, 32) + context + conv(32 + 32, 64) + conv(64, 32, size=1)
    assert total == 1_090_208 == count_without_allocating(models.dropout_cnn)


@pytest.mark.slow
def test_the_dense_head_can_be_built_whole():
    network = models.dropout_cnn(head="dense")
    assert network.count_params() == 1_073_877_312
    assert network(np.full((1, 64, 64, 1), 0.5, "float32")).shape == (1, 64, 64, 32)


@pytest.mark.parametrize("head", ["conv", "dense"])
def test_every_pixel_sees_the_whole_photo(head):
    network = models.dropout_cnn((16, 16, 1), outputs=3, head=head, filters=4)
    gray = np.random.default_rng(0).uniform(0, 1, (1, 16, 16, 1)).astype("float32")
    other = gray.copy()
    other[:, :4, :4] = 1 - other[:, :4, :4]
    assert np.abs(np.asarray(network(gray) - network(other)))[:, -2:, -2:].max() > 1e-6


def test_dropout_acts_in_training_only():
    gray = np.full((1, 16, 16, 1), 0.5, "float32")
    for dropout, differs in ((0.5, True), (0.0, False)):
        network = models.dropout_cnn((16, 16, 1), outputs=3, dropout=dropout, filters=4)
        assert np.allclose(network(gray), network(gray), atol=0)
        assert np.allclose(network(gray), network(gray, training=True), atol=1e-6) != differs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (None, None, 1)}, "size is fixed"),
        ({"input_shape": (60, 64, 1)}, "divisible by 8 for head='conv'; received 60x64"),
        ({"head": "fully"}, "'conv' or 'dense'; received 'fully'"),
    ],
)
def test_user_mistakes_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.dropout_cnn(**arguments)
