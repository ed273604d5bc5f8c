import numpy as np
import pytest

from rainbownet import models
from rainbownet.models.eccv16 import load_torch_weights
from tests.models.shared import batch_norm, conv, count_without_allocating, randomize, state_dict_of

# Blocks, layers and names of the authors' PyTorch release.
CONVS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3, 6: 3, 7: 3}
PREFIXES = (
    {f"conv{block}_{i}": f"model{block}.{2 * i - 2}" for block, convs in CONVS.items() for i in range(1, convs + 1)}
    | {f"conv{block}_{convs}norm": f"model{block}.{2 * convs}" for block, convs in CONVS.items()}
    | {"conv8_1": "model8.0", "conv8_2": "model8.2", "conv8_3": "model8.4", "conv8_313": "model8.6"}
)


@pytest.fixture(name="l")
def luminance():
    return np.random.default_rng(0).uniform(0, 100, (2, 24, 32, 1)).astype("float32")


@pytest.fixture
def state():
    """A state dict for five buckets at toy width, as the release has it, and the network whose weights these are."""
    network = models.eccv16(outputs=5, filters=2)
    randomize(network)
    colors = np.random.default_rng(1).uniform(-1, 1, (2, 5, 1, 1)).astype("float32")
    state = state_dict_of(network, PREFIXES) | {
        "model_out.weight": colors,
        "model1.4.num_batches_tracked": np.array(7),
    }
    return state, network


def test_parameters_are_those_of_the_document():
    blocks = [
        conv(1, 64) + conv(64, 64) + batch_norm(64),
        conv(64, 128) + conv(128, 128) + batch_norm(128),
        conv(128, 256) + 2 * conv(256, 256) + batch_norm(256),
        conv(256, 512) + 2 * conv(512, 512) + batch_norm(512),
        3 * (3 * conv(512, 512) + batch_norm(512)),  # blocks 5, 6 and 7
        conv(512, 256, size=4) + 2 * conv(256, 256) + conv(256, 313, size=1),
    ]
    assert sum(blocks) == 32_240_377 == count_without_allocating(models.eccv16)


def test_published_names_are_read(tmp_path, state, l):
    state, network = state
    np.savez(tmp_path / "weights.npz", **state)
    again = models.eccv16(outputs=5, filters=2)
    colors = load_torch_weights(again, tmp_path / "weights.npz")
    np.testing.assert_array_equal(again(l), network(l))
    np.testing.assert_allclose(colors, state["model_out.weight"][:, :, 0, 0].T * 110, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model5.2.bias"), r"lacks model5\.2\.bias; it holds the weights of another network"),
        (lambda state: state.pop("model_out.weight"), "colors of 5 buckets as model_out.weight .* but lacks it"),
        (lambda state: state.update({"model9.0.weight": np.zeros(3)}), "no layer for: model9.0.weight"),
        (
            lambda state: state.update({"model1.0.weight": np.zeros((64, 1, 3, 3))}),
            r"model1\.0\.weight .* shape \(64, 1, 3, 3\), but eccv16 as built here takes \(2, 1, 3, 3\)",
        ),
    ],
)
def test_other_weights_are_refused_and_change_nothing(tmp_path, state, change, message):
    state, network = state
    change(state)
    np.savez(tmp_path / "weights.npz", **state)
    again = models.eccv16(outputs=5, filters=2)
    before = again.get_weights()
    with pytest.raises(ValueError, match=message):
        load_torch_weights(again, tmp_path / "weights.npz")
    for old, new in zip(before, again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("filters", [4, pytest.param(64, marks=pytest.mark.slow)])
def test_pytorch_gives_the_same(tmp_path, filters, l):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    def block(inputs, width, convs, stride=1, dilation=1):
        parts = []
        for i in range(convs):
            step = stride if i == convs - 1 else 1
            parts += [torch.nn.Conv2d(inputs if i == 0 else width, width, 3, step, dilation, dilation), torch.nn.ReLU()]
        return torch.nn.Sequential(*parts, torch.nn.BatchNorm2d(width))

    f = filters
    published = torch.nn.Module()
    published.model1 = block(1, f, 2, stride=2)
    published.model2 = block(f, 2 * f, 2, stride=2)
    published.model3 = block(2 * f, 4 * f, 3, stride=2)
    published.model4 = block(4 * f, 8 * f, 3)
    published.model5 = block(8 * f, 8 * f, 3, dilation=2)
    published.model6 = block(8 * f, 8 * f, 3, dilation=2)
    published.model7 = block(8 * f, 8 * f, 3)
    published.model8 = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(8 * f, 4 * f, 4, 2, 1), torch.nn.ReLU(),
        torch.nn.Conv2d(4 * f, 4 * f, 3, 1, 1), torch.nn.ReLU(),
        torch.nn.Conv2d(4 * f, 4 * f, 3, 1, 1), torch.nn.ReLU(),
        torch.nn.Conv2d(4 * f, 313, 1),
    )  # fmt: skip
    published.model_out = torch.nn.Conv2d(313, 2, 1, bias=False)
    with torch.no_grad():
        for part in published.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                # Keeps the features' size through the layers; PyTorch's own lets them fade.
                torch.nn.init.kaiming_normal_(part.weight)
            if isinstance(part, torch.nn.BatchNorm2d):
                # Otherwise all ones and zeros, which could be mistaken for each other.
                for value in (part.weight, part.running_var):
                    value.uniform_(0.5, 2)
                for value in (part.bias, part.running_mean):
                    value.uniform_(-0.5, 0.5)
        published.eval()
        x = (torch.from_numpy(l).permute(0, 3, 1, 2) - 50) / 100
        for i in range(1, 9):
            x = getattr(published, f"model{i}")(x)
        expected = x.permute(0, 2, 3, 1).numpy()
    torch.save(published.state_dict(), tmp_path / "weights.pth")

    network = models.eccv16(filters=filters)
    load_torch_weights(network, tmp_path / "weights.pth")
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(network(l), expected, atol=1e-4)
