"""Colour spaces: sRGB to CIE Lab and to YUV, and back.

RGB is sRGB with its piecewise transfer function, either uint8 in 0..255 or float in 0..1. Lab is CIE L*a*b* for the
illuminant D65 and the 2-degree observer: L in 0..100, a and b about -87..99 and -108..95 for what sRGB can show.
YUV is the analogue YUV of BT.601 on gamma-encoded RGB: Y in 0..1, U within +-0.436, V within +-0.615. All functions
take any leading shape, with the channels last, and are pure `keras.ops`.

Sources: IEC 61966-2-1:1999 (sRGB); CIE 15:2004, sections 8.2.1 and 8.3 (Lab); ITU-R BT.601-7 (luma).
"""

import numpy as np
from keras import ops

# Linear sRGB to XYZ, with the six digits and the white point that scikit-image uses: both packages then give the same
# Lab. Inverses are computed, not typed.
XYZ_FROM_RGB = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
RGB_FROM_XYZ = np.linalg.inv(XYZ_FROM_RGB)
WHITE_D65 = np.array([0.95047, 1.0, 1.08883])

# Y from the luma weights of BT.601; U and V are the scaled differences of blue and red to it.
YUV_FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.14714119, -0.28886916, 0.43601035], [0.61497538, -0.51496512, -0.10001026]]
)
RGB_FROM_YUV = np.linalg.inv(YUV_FROM_RGB)

# How far linear RGB may leave 0..1 before a colour counts as out of gamut: a third of an 8-bit step at the dark end,
# where the transfer function is steep; at the light end the six digits above put white itself 1e-4 beyond 1.
_BELOW, _ABOVE = -1e-4, 1 + 1e-3
_GAMUT_STEPS = 12  # bisections of the chroma: to 1/4096 of it


def rgb_to_lab(rgb):
    """Converts sRGB to CIE Lab.

    Args:
        rgb: (..., 3) uint8 in 0..255 or float in 0..1.

    Returns:
        (..., 3) float32: L in 0..100, a and b in Lab units.

    Raises:
        ValueError: the last axis is not 3.
    """
    xyz = _matrix(_linear_from_rgb(_floats(rgb, 3)), XYZ_FROM_RGB / WHITE_D65[:, None])
    fx, fy, fz = _channels(_f(xyz))
    return ops.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def lab_to_rgb(lab):
    """Converts CIE Lab to sRGB; colours that sRGB cannot show are moved back along their chroma first.

    Args:
        lab: (..., 3) float, L in 0..100, a and b in Lab units.

    Returns:
        (..., 3) float32 in 0..1.

    Raises:
        ValueError: the last axis is not 3.
    """
    return linear_to_rgb(ops.clip(lab_to_linear_rgb(fit_to_gamut(lab)), 0.0, 1.0))


def lab_to_linear_rgb(lab):
    """Converts CIE Lab to linear sRGB without any clipping, so that values outside 0..1 show what is out of gamut.

    Args:
        lab: (..., 3) float, L in 0..100, a and b in Lab units.

    Returns:
        (..., 3) float32, linear light, 0..1 inside the gamut.

    Raises:
        ValueError: the last axis is not 3.
    """
    l, a, b = _channels(_floats(lab, 3))
    fy = (l + 16) / 116
    xyz = _f_inverse(ops.stack([fy + a / 500, fy, fy - b / 200], axis=-1))
    return _matrix(xyz, RGB_FROM_XYZ * WHITE_D65)


def linear_to_rgb(linear):
    """Applies the sRGB transfer function.

    Args:
        linear: (..., 3) float in 0..1, linear light.

    Returns:
        (..., 3) float32 in 0..1, gamma-encoded.
    """
    linear = ops.convert_to_tensor(linear, "float32")
    bright = linear > 0.0031308
    # The power of the branch not taken must be finite too, or its gradient (0 times infinity) is not a number.
    power = ops.power(ops.where(bright, linear, 1.0), 1 / 2.4)
    return ops.where(bright, 1.055 * power - 0.055, 12.92 * linear)


def in_gamut(lab):
    """Says which colours sRGB can show.

    Args:
        lab: (..., 3) float, L in 0..100, a and b in Lab units.

    Returns:
        (...) bool.
    """
    linear = lab_to_linear_rgb(lab)
    return ops.all(ops.logical_and(linear >= _BELOW, linear <= _ABOVE), axis=-1)


def fit_to_gamut(lab):
    """Moves colours that sRGB cannot show toward gray, at constant L and hue, until it can; leaves all others alone.

    Clipping each channel of RGB instead changes hue and lightness and leaves the specks of pure red, green or blue
    for which colorizers are known.

    Args:
        lab: (..., 3) float, L in 0..100, a and b in Lab units.

    Returns:
        (..., 3) float32; a and b are scaled by one factor in 0..1 for each colour. Gradients pass through that factor
        as through a constant.

    Raises:
        ValueError: the last axis is not 3.
    """
    lab = _floats(lab, 3)
    fixed = ops.stop_gradient(lab)
    l, ab = fixed[..., :1], fixed[..., 1:]
    inside = in_gamut(fixed)[..., None]
    low, high = ops.zeros_like(l), ops.ones_like(l)
    for _ in range(_GAMUT_STEPS):
        middle = (low + high) / 2
        shows = in_gamut(ops.concatenate([l, middle * ab], axis=-1))[..., None]
        low, high = ops.where(shows, middle, low), ops.where(shows, high, middle)
    return ops.concatenate([lab[..., :1], ops.where(inside, 1.0, low) * lab[..., 1:]], axis=-1)


def luminance(rgb):
    """Computes the L of CIE Lab, the channel from which everything here predicts colours.

    Args:
        rgb: (..., 3) uint8 in 0..255 or float in 0..1.

    Returns:
        (..., 1) float32 in 0..100.

    Raises:
        ValueError: the last axis is not 3.
    """
    return 116 * _f(_matrix(_linear_from_rgb(_floats(rgb, 3)), XYZ_FROM_RGB[1:2])) - 16


def gray_of_luminance(l):
    """Gives the gray of sRGB that has a given L.

    Args:
        l: (...) float in 0..100.

    Returns:
        (...) float32 in 0..1, gamma-encoded.
    """
    return linear_to_rgb(ops.clip(_f_inverse((ops.cast(l, "float32") + 16) / 116), 0.0, 1.0))


def rgb_to_yuv(rgb):
    """Converts sRGB to the YUV of BT.601.

    Args:
        rgb: (..., 3) uint8 in 0..255 or float in 0..1.

    Returns:
        (..., 3) float32: Y in 0..1, U within +-0.436, V within +-0.615.

    Raises:
        ValueError: the last axis is not 3.
    """
    return _matrix(_floats(rgb, 3), YUV_FROM_RGB)


def yuv_to_rgb(yuv):
    """Converts the YUV of BT.601 to sRGB, clipped to what sRGB can show.

    Args:
        yuv: (..., 3) float: Y in 0..1, U within +-0.436, V within +-0.615.

    Returns:
        (..., 3) float32 in 0..1.

    Raises:
        ValueError: the last axis is not 3.
    """
    return ops.clip(_matrix(_floats(yuv, 3), RGB_FROM_YUV), 0.0, 1.0)


def _floats(values, channels):
    """Gives float32; uint8 becomes 0..1."""
    values = ops.convert_to_tensor(values)
    if values.shape[-1] != channels:
        raise ValueError(f"The last axis must hold {channels} channels; received an array of shape {values.shape}.")
    kind = str(values.dtype)
    if "uint8" in kind:
        return ops.cast(values, "float32") / 255
    if "float" not in kind:
        raise ValueError(f"Colors are uint8 in 0..255 or float in 0..1; received {kind}.")
    return ops.cast(values, "float32")


def _channels(values):
    return [values[..., i] for i in range(values.shape[-1])]


def _matrix(values, matrix):
    return ops.matmul(values, ops.convert_to_tensor(matrix.T, "float32"))


def _linear_from_rgb(rgb):
    bright = rgb > 0.04045
    power = ops.power((ops.where(bright, rgb, 1.0) + 0.055) / 1.055, 2.4)
    return ops.where(bright, power, rgb / 12.92)


def _f(t):
    """The cube root of CIE Lab, with its straight line near black (CIE 15:2004, section 8.2.1.1)."""
    bright = t > 0.008856
    return ops.where(bright, ops.power(ops.where(bright, t, 1.0), 1 / 3), 7.787 * t + 16 / 116)


def _f_inverse(t):
    return ops.where(t > 0.2068966, t * t * t, (t - 16 / 116) / 7.787)
