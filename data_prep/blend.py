"""Mixes the weights of a run with those of the run that it began with, which keeps more of what these knew, or of
another run that began with the same.

    python -m data_prep.blend RUN OTHER OUT --share 0.7

A share of 1 is RUN, 0 is OTHER (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, section 3; of
runs side by side, "Model soups", ICML 2022). What OTHER lacks are residual blocks that began with a scale of 0; such a
scale is multiplied by the share. Where OTHER is `imagenet`, the encoder is mixed with the weights that it was first
made with, and the rest is RUN's. OUT gets the model and RUN's log, settings, names of photos and prior, for
`make_preset` or for a run that begins with it.
"""

import argparse
import shutil
from pathlib import Path

from keras import initializers, layers

from rainbownet import color_model
from rainbownet.models import efficientnet_lite

IMAGENET = "imagenet"


def blend(run, other, out, share):
    """Mixes.

    Args:
        run: folder of a run, which began with the weights of `other` or with the same ones.
        other: folder of that run, or `IMAGENET`.
        out: folder to write.
        share: of `run`, 0 to 1.

    Returns:
        The mixed `ColorModel`.

    Raises:
        ValueError: the share is not in 0..1, or ImageNet's weights are asked for and the run's network has no encoder
            that they fit.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"`share` must be in 0..1; received {share}.")
    model = color_model.load(run / "best.keras")
    if other == IMAGENET:
        encoder = efficientnet_lite.efficientnet_lite0()
        efficientnet_lite.load_imagenet_weights(encoder)
        known, mixed = efficientnet_lite.encoder_layers(encoder), efficientnet_lite.encoder_layers(model.network)
        if not mixed:
            raise ValueError(f"{run} has no encoder with ImageNet's weights; its network is {model.network.name}.")
    else:
        known, mixed = color_model.load(other / "best.keras").network.layers, model.network.layers
    known = {layer.name: layer.get_weights() for layer in known}
    for layer in mixed:
        weights = layer.get_weights()
        if layer.name in known:
            pairs = zip(weights, known[layer.name], strict=True)
            layer.set_weights([share * one + (1 - share) * two for one, two in pairs])
        elif isinstance(layer, layers.BatchNormalization) and isinstance(layer.gamma_initializer, initializers.Zeros):
            gamma, beta, *statistics = weights
            layer.set_weights([share * gamma, share * beta, *statistics])
    out.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "log.csv", "photos.csv"):
        shutil.copy(run / name, out / name)
    if (run / "prior.json").exists():  # a regression has none
        shutil.copy(run / "prior.json", out / "prior.json")
    model.save(out / "best.keras")
    return model


def main(arguments=None):
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=lambda name: name if name == IMAGENET else Path(name))
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of RUN")
    blend(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
