"""The networks, one file each, named as their documents name them.

A network is a function that returns a functional `keras.Model` with logits or numbers at the end; it takes luminance in
its own units and has no idea of colors. What its numbers mean is said by a codec, see `rainbownet.codecs`.
"""

from rainbownet.models.rainbownet import rainbownet_baseline, rainbownet_fusion, rainbownet_plain

__all__ = ["rainbownet_baseline", "rainbownet_fusion", "rainbownet_plain"]
