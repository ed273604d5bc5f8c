"""The single figures: what one photo in predicted colours is worth against the true one, and nothing but NumPy.

Sources:
- PSNR of 8-bit pictures: ITU-T J.340, section 5.
- SSIM: Wang, Bovik, Sheikh & Simoncelli, "Image quality assessment: from error visibility to structural similarity"
  (IEEE Transactions on Image Processing 13, 2004), equation 13, as scikit-image computes it by default.
- AuC, plain and class-balanced: Zhang, Isola & Efros, "Colorful Image Colorization" (ECCV 2016), section 3.1; the idea
  of error curves over thresholds is Deshpande, Rock & Forsyth's (ICCV 2015).
- CIEDE2000: Sharma, Wu & Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data,
  and mathematical observations" (Color Research and Application 30, 2005), equations 2 to 22.
- Colourfulness: Hasler & Suesstrunk, "Measuring colourfulness in natural images" (SPIE Human Vision 2003), section 7.
- Hue coverage, the effective number of hues: Hill, "Diversity and evenness" (Ecology 54, 1973), the number of order 1.
"""

import math

import numpy as np
from scipy.ndimage import uniform_filter

THRESHOLDS = 151
"""The AuC runs over the errors 0, 1, ..., 150 in Lab units (Zhang et al.)."""

PSNR_LIMIT = 10 * math.log10(255**2 * 12)
"""A perfect prediction has an infinite PSNR, which no mean survives. Rounding to 8 bits alone leaves a squared error of
1/12, so a better one is not to be had of a computed picture."""

SSIM_WINDOW = 7
"""Side of SSIM's window in pixels: no smaller photo has an SSIM."""


def psnr(rgb, truth):
    """Computes the peak signal-to-noise ratio, 10 log10(255^2 / mean squared error).

    Args:
        rgb: array of any shape, 0..255.
        truth: array of the same shape, 0..255.

    Returns:
        Float in dB, infinite for equal arrays.
    """
    return decibel(np.mean(np.square(np.asarray(rgb, "float64") - np.asarray(truth, "float64"))))


def decibel(mean_squared):
    """Turns a mean squared error of 8-bit values into a PSNR in dB."""
    return 10 * math.log10(255**2 / mean_squared) if mean_squared else math.inf


def ssim(rgb, truth):
    """Computes the structural similarity in RGB: of each channel on its own, then their mean.

    In RGB, as papers on colorization give it. The luminance being the photo's own, the structure of a gray photo is
    right already: its SSIM lies around 0.9.

    Args:
        rgb: (..., height, width, 3), 0..255; no side shorter than 7.
        truth: array of the same shape.

    Returns:
        (...) float, 1 for equal photos.
    """
    return ssim_against(rgb, ssim_moments(truth))


def ssim_moments(truth):
    """Computes what `ssim_against` needs of the true photos, once for all predictions.

    Args:
        truth: (..., height, width, 3), 0..255.

    Returns:
        Tuple of the photos, and of mean and variance in each window, float32.
    """
    truth = np.asarray(truth, "float32")
    mean = _windows(truth)
    return truth, mean, _windows(truth * truth) - mean * mean


def ssim_against(rgb, moments):
    """Computes the structural similarity of predictions, as `ssim`.

    Args:
        rgb: (..., height, width, 3), 0..255.
        moments: `ssim_moments` of the true photos.

    Returns:
        (...) float.
    """
    rgb = np.asarray(rgb, "float32")
    truth, truth_mean, truth_variance = moments
    mean = _windows(rgb)
    c1, c2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    # Variance and covariance of a sample.
    sample = np.float32(SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1))
    # In place, as most of the time would go into making arrays.
    product = mean * truth_mean
    similar = _windows(rgb * truth)
    similar -= product
    similar *= 2 * sample
    similar += c2
    product *= 2
    product += c1
    similar *= product
    mean *= mean
    np.multiply(rgb, rgb, out=product)
    variances = _windows(product)
    variances -= mean
    variances += truth_variance
    variances *= sample
    variances += c2
    mean += np.multiply(truth_mean, truth_mean, out=product)
    mean += c1
    variances *= mean
    similar /= variances
    # Only windows that lie in the photo whole.
    border = SSIM_WINDOW // 2
    return similar[..., border:-border, border:-border, :].mean(axis=(-3, -2, -1), dtype="float64")


def _windows(values):
    """The mean of each window."""
    return uniform_filter(values, (*[1] * (values.ndim - 3), SSIM_WINDOW, SSIM_WINDOW, 1))


def ab_distance(ab, truth_ab):
    """Computes how far colours lie apart in the ab plane.

    Args:
        ab: (..., 2) float, Lab units.
        truth_ab: array of the same shape.

    Returns:
        (...) float32, Lab units.
    """
    difference = np.asarray(ab, "float32") - np.asarray(truth_ab, "float32")
    return np.hypot(difference[..., 0], difference[..., 1])


def error_steps(distance):
    """Finds the first threshold of the AuC at which a pixel counts.

    Args:
        distance: (...) float, Lab units.

    Returns:
        (...) int, 0..150, or 151 where none is.
    """
    return np.minimum(np.ceil(distance), THRESHOLDS).astype("int64")


def auc(ab, truth_ab):
    """Computes the area under the curve of ab errors: the share of pixels with an error of at most t, over t = 0..150.

    Args:
        ab: (..., 2) float, Lab units.
        truth_ab: array of the same shape.

    Returns:
        Float in percent, 0..100. Photos answered with gray reach 89.1 on ImageNet (Zhang et al. 2016, table 1).
    """
    return 100 * float(np.mean(THRESHOLDS - error_steps(ab_distance(ab, truth_ab)))) / THRESHOLDS


def ciede2000(ab, truth_ab):
    """Computes CIEDE2000, the difference that the eye sees between two colours, of the same L.

    The luminance of a colorized photo is the photo's own; with it all terms of lightness vanish, so that L is not
    needed. Angles are kept as sine and cosine, which is several times as fast as the formula with degrees.

    Args:
        ab: (..., 2) float, Lab units.
        truth_ab: array of the same shape.

    Returns:
        (...) float32; 1 is about the smallest difference that is noticed side by side.
    """
    (a1, b1), (a2, b2) = (np.moveaxis(np.asarray(plane, "float32"), -1, 0) for plane in (ab, truth_ab))
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    # Nearly gray colours are stretched along a (equations 3 to 7).
    stretch = np.float32(1.5) - np.float32(0.5) * np.sqrt(_share_of_25(mean))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    mean = (c1 + c2) / 2
    # Delta H squared is 2 (C1 C2 - the dot product), and its sign that of the cross product (equations 10 and 11).
    hue = np.copysign(np.sqrt(np.maximum(2 * (c1 * c2 - a1 * a2 - b1 * b2), 0)), a1 * b2 - a2 * b1)
    # The mean hue halves the angle between the two: it is the direction of the sum of the two unit vectors, and for a
    # gray and a colour that of the colour (equation 14). A trace of a right angle decides between the two directions
    # in the middle of opposite hues.
    tiny, trace = np.float32(1e-9), np.float32(1e-6)
    cosine_1, sine_1 = a1 / (c1 + tiny), b1 / (c1 + tiny)
    x, y = cosine_1 - trace * sine_1 + a2 / (c2 + tiny), sine_1 + trace * cosine_1 + b2 / (c2 + tiny)
    length = np.hypot(x, y) + tiny
    cosine, sine = x / length, y / length
    cosine_2, sine_2 = cosine * cosine - sine * sine, 2 * sine * cosine
    cosine_3, sine_3 = cosine * cosine_2 - sine * sine_2, sine * cosine_2 + cosine * sine_2
    cosine_4, sine_4 = cosine_2 * cosine_2 - sine_2 * sine_2, 2 * sine_2 * cosine_2
    t = (
        1
        - _turned(cosine, sine, -30, 0.17)
        + np.float32(0.24) * cosine_2
        + _turned(cosine_3, sine_3, 6, 0.32)
        - _turned(cosine_4, sine_4, -63, 0.20)
    )
    degrees = np.degrees(np.arctan2(sine, cosine)) % 360
    turn = np.exp(-np.square((degrees - 275) / 25))
    # sin(2 * 30 degrees * turn) for the rotation of blues (equations 16, 17 and 21).
    rotation = -2 * np.sqrt(_share_of_25(mean)) * np.sin(np.float32(np.pi / 3) * turn)
    chroma = (c2 - c1) / (1 + np.float32(0.045) * mean)
    hue /= 1 + np.float32(0.015) * mean * t
    return np.sqrt(np.maximum(chroma * chroma + hue * hue + rotation * chroma * hue, 0))


def _share_of_25(chroma):
    """C^7 / (C^7 + 25^7)."""
    ratio = chroma / 25
    seventh = ratio * ratio * ratio
    seventh = seventh * seventh * ratio
    return seventh / (seventh + 1)


def _turned(cosine, sine, degrees, factor):
    """`factor` times the cosine of an angle plus `degrees`."""
    angle = math.radians(degrees)
    return np.float32(factor * math.cos(angle)) * cosine - np.float32(factor * math.sin(angle)) * sine


def colorfulness(rgb):
    """Computes Hasler and Suesstrunk's colourfulness of photos.

    With rg = R - G and yb = (R + G) / 2 - B: sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2).

    Args:
        rgb: (..., height, width, 3) array, 0..255.

    Returns:
        (...) float from 0 (gray); 15 is slightly colourful, 33 moderately, 59 quite, 109 extremely (table 1 of the
        paper).
    """
    r, g, b = np.moveaxis(np.asarray(rgb, "float32"), -1, 0)
    rg, yb = r - g, (r + g) / 2 - b
    variance, mean = (
        [getattr(plane, of)(axis=(-2, -1), dtype="float64") for plane in (rg, yb)] for of in ("var", "mean")
    )
    return np.sqrt(sum(variance)) + 0.3 * np.hypot(*mean)


def hue_coverage(chroma_by_hue):
    """Computes which part of the colour circle is in use: the effective number of hues over their number.

    The exponential of the entropy of the hues' shares (Hill's number of order 1): n hues of equal share count as n, and
    a trace of a hue counts as a trace.

    Args:
        chroma_by_hue: (..., bins) sum of chroma in each bin of hue.

    Returns:
        (...) float: 0 without any colour, 1 / bins for a single hue, 2 / bins for two of equal share, 1 for all alike.
    """
    chroma = np.asarray(chroma_by_hue, "float64")
    total = chroma.sum(axis=-1, keepdims=True)
    shares = np.divide(chroma, total, out=np.zeros_like(chroma), where=total > 0)
    entropy = -np.sum(shares * np.log(shares, out=np.zeros_like(shares), where=shares > 0), axis=-1)
    return np.where(total[..., 0] > 0, np.exp(entropy) / chroma.shape[-1], 0.0)
