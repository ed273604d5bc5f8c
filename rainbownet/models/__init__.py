"""The networks, one file each, named as their documents name them.

A network is a function that returns a functional `keras.Model` with logits or numbers at the end; it takes luminance in
its own units and has no idea of colours. What its numbers mean is said by a codec, see `rainbownet.codecs`.
"""

from rainbownet.models.color_unet import color_unet
from rainbownet.models.colornet import colornet
from rainbownet.models.dropout_cnn import dropout_cnn
from rainbownet.models.eccv16 import eccv16
from rainbownet.models.lite_unet import lite_unet
from rainbownet.models.rainbownet import rainbownet_baseline, rainbownet_fusion, rainbownet_plain
from rainbownet.models.resnet18 import resnet18

__all__ = [
    "color_unet",
    "colornet",
    "dropout_cnn",
    "eccv16",
    "lite_unet",
    "rainbownet_baseline",
    "rainbownet_fusion",
    "rainbownet_plain",
    "resnet18",
]
