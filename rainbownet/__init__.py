"""RainbowNet: colours for gray photographs.

`import rainbownet` alone imports neither Keras nor TensorFlow, which take seconds: submodules and the names below are
imported when first used (PEP 562).
"""

import importlib

__version__ = "0.1.0"

# Public name -> the submodule that defines it.
_NAMES = {
    "Buckets": "buckets",
    "ab_112": "buckets",
    "ab_313": "buckets",
    "ColorPrior": "priors",
    "BucketCodec": "codecs",
    "RegressionCodec": "codecs",
    "InceptionResNetV2Embedder": "embedding",
    "HubEmbedder": "embedding",
    "EmbeddingCache": "embedding",
    "ColorModel": "color_model",
    "Colorizer": "colorizer",
}
_SUBMODULES = (
    "color",
    "buckets",
    "priors",
    "codecs",
    "losses",
    "embedding",
    "models",
    "color_model",
    "systems",
    "damage",
    "data",
    "upsampling",
    "evaluation",
    "presets",
    "colorizer",
    "training",
    "export",
    "cli",
)

__all__ = ["__version__", *_NAMES, *_SUBMODULES]


def __getattr__(name):
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
