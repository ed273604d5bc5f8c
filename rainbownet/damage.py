"""What time does to photos, done to new ones, so that their true colours are known: for evaluation.

Each damage is a function of a photo, (height, width, 3) uint8, and a seed; it gives an array of the same kind, and the
same one for the same seed. Lengths are parts of the short side, so that a photo looks alike at every size. The
strengths are those of a badly kept photo that is still worth restoring; they were chosen by eye.
"""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def faded(rgb, seed=0):
    """Takes the contrast: black goes up to a middle gray, white comes down, as of a print that hung in the sun.

    Args:
        rgb: (height, width, 3) uint8.
        seed: ignored; a photo fades in one way.

    Returns:
        (height, width, 3) uint8.
    """
    return _to_8_bit(95 + rgb * np.float32(0.45))


def blurred(rgb, seed=0):
    """Takes the sharpness, as a lens out of focus or a copy of a copy: a Gaussian of 1/100 of the short side.

    Args:
        rgb: (height, width, 3) uint8.
        seed: ignored.

    Returns:
        (height, width, 3) uint8.
    """
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(_side(rgb) / 100)))


def grainy(rgb, seed=0):
    """Adds the grain of fast film: clumps of Gaussian noise of 18 levels, the same in all channels, less in the lights.

    Args:
        rgb: (height, width, 3) uint8.
        seed: of the noise.

    Returns:
        (height, width, 3) uint8.
    """
    noise = _smooth(np.random.default_rng(seed).normal(size=rgb.shape[:2]), max(0.5, _side(rgb) / 500))
    light = rgb.mean(axis=-1) / 255
    return _to_8_bit(rgb + (noise / noise.std() * 18 * (1.2 - 0.6 * light))[..., None])


def yellowed(rgb, seed=0):
    """Makes a toned print on yellowed paper: brown shadows, cream lights, and stains. No colour of the photo is left.

    Args:
        rgb: (height, width, 3) uint8.
        seed: of the stains.

    Returns:
        (height, width, 3) uint8.
    """
    gray = np.asarray(Image.fromarray(rgb).convert("L"), "float32")[..., None] / 255
    ink, paper = np.float32([52, 34, 20]), np.float32([240, 219, 170])
    coarse = np.random.default_rng(seed).uniform(size=(4, 4)).astype("float32")
    stains = np.asarray(Image.fromarray(coarse).resize(rgb.shape[1::-1], Image.Resampling.BICUBIC))[..., None]
    # A stain takes blue first, which makes it yellower and not only darker.
    return _to_8_bit((ink + (paper - ink) * gray) * (1 - stains * np.float32([0.06, 0.12, 0.3])))


def crushed(rgb, seed=0):
    """Crushes the photo as a JPEG of quality 10, with the blocks of one that was sent around too often.

    Args:
        rgb: (height, width, 3) uint8.
        seed: ignored.

    Returns:
        (height, width, 3) uint8.
    """
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=10)
    return np.asarray(Image.open(file))


def scratched(rgb, seed=0):
    """Scratches the photo: long fine lines and a crease, light or dark, and dust.

    Args:
        rgb: (height, width, 3) uint8.
        seed: of the places.

    Returns:
        (height, width, 3) uint8.
    """
    rng = np.random.default_rng(seed)
    height, width = rgb.shape[:2]
    side = _side(rgb)
    # Drawn four times as large, because Pillow's lines are not antialiased.
    large = (4 * width, 4 * height)
    covered, tone = (Image.new("L", large, value) for value in (0, 255))
    draw, paint = ImageDraw.Draw(covered), ImageDraw.Draw(tone)
    for number in range(9):
        crease = number == 0
        x, y = rng.uniform(0, large[0]), rng.uniform(-0.2, 0.4) * large[1]
        length = 2 * large[1] if crease else rng.uniform(0.3, 1.2) * large[1]
        lean = rng.uniform(-0.8, 0.8) if crease else rng.normal(0, 0.08)
        steps = np.linspace(0, 1, 12)
        wobble = np.cumsum(rng.normal(0, 0.004, 12)) * large[0]
        line = list(zip(x + lean * length * steps + wobble, y + length * steps, strict=True))
        thick = max(2, round(4 * side * (0.012 if crease else rng.uniform(0.002, 0.007))))
        draw.line(line, fill=int(rng.uniform(170, 255)), width=thick)
        paint.line(line, fill=int(rng.choice([15, 245], p=[0.25, 0.75])), width=thick + 4)
    for _ in range(60):
        x, y = rng.uniform(0, large[0]), rng.uniform(0, large[1])
        radius = 4 * side * rng.uniform(0.001, 0.006)
        spot = [x - radius, y - radius * rng.uniform(0.5, 1), x + radius, y + radius]
        draw.ellipse(spot, fill=int(rng.uniform(150, 255)))
        paint.ellipse(spot, fill=int(rng.choice([20, 240])))
    share, light = (
        np.asarray(layer.resize((width, height), Image.Resampling.BOX), "float32")[..., None]
        for layer in (covered, tone)
    )
    return _to_8_bit(rgb + (light - rgb) * (share / 255))


DAMAGES = {
    "faded": faded,
    "blurred": blurred,
    "grainy": grainy,
    "yellowed": yellowed,
    "JPEG-crushed": crushed,
    "scratched": scratched,
}
"""The damages of the grid, by the name that a table gives them."""


def _side(rgb):
    return min(rgb.shape[:2])


def _smooth(values, radius):
    blur = ImageFilter.GaussianBlur(radius)
    # Pillow blurs 8 bits only: eight deviations to either side of the noise's mean.
    image = Image.fromarray(_to_8_bit(128 + 30 * values))
    return np.asarray(image.filter(blur), "float32") - 128


def _to_8_bit(values):
    return np.rint(np.clip(values, 0, 255)).astype("uint8")
