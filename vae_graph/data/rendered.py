"""Rendered digits: an offline substitute for MNIST, drawn from the fonts that matplotlib ships.

The images are of the same kind (gray digits, 28 x 28, in ten classes) but not the same data: no number
measured on them is comparable with one measured on MNIST.
"""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
    "cmr10", "cmb10", "cmss10", "cmtt10",
)

GLYPH_SIZE = 52      # pixels, the square in which a digit is drawn and transformed
FONT_SIZE = 38       # pixels: leaves room to rotate and stretch the digit inside that square
BOX_SIZE = 20        # MNIST scales a digit to fit 20 x 20 pixels, its aspect kept ...
IMAGE_SIZE = 28      # ... and puts its centre of mass in the middle of 28 x 28


def draw_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` digits in random typefaces, each rotated, sheared, stretched and thickened at random.

    Args:
        count: how many.
        seed: the only source of randomness: the same seed gives the same bytes.

    Returns:
        images: uint8 [count, 784], ink 255 on ground 0.
        labels: uint8 [count].
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count)
    faces = random.integers(0, len(FACES), count)
    transforms = _random_affine(random, count)
    # Thresholding a blurred glyph at a low level makes it thicker, at a high level thinner.
    blur_radii = random.uniform(0.5, 1.4, count).tolist()
    cut_levels = random.uniform(0.15, 0.42, count)

    glyphs = _draw_glyphs()
    images = np.zeros((count, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for i in range(count):
        glyph = glyphs[faces[i]][labels[i]].transform(
            (GLYPH_SIZE, GLYPH_SIZE), Image.Transform.AFFINE, transforms[i], Image.Resampling.BILINEAR)
        blurred = np.asarray(glyph.filter(ImageFilter.GaussianBlur(blur_radii[i])))
        stroke = np.clip(127.5 + 5 * (blurred - cut_levels[i] * blurred.max()), 0, 255)
        images[i] = _centred_by_mass(Image.fromarray(stroke.astype(np.uint8)))
    return images.reshape(count, -1), labels.astype(np.uint8)


def _draw_glyphs() -> list[list[Image.Image]]:
    """Every typeface's ten digits, each in the middle of its square."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    glyphs: list[list[Image.Image]] = []
    for face in FACES:
        font = ImageFont.truetype(str(folder / f"{face}.ttf"), FONT_SIZE)
        glyphs.append([])
        for digit in "0123456789":
            glyph = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
            middle = GLYPH_SIZE / 2
            ImageDraw.Draw(glyph).text((middle, middle), digit, fill=255, font=font, anchor="mm")
            glyphs[-1].append(glyph)
    return glyphs


def _random_affine(random: np.random.Generator, count: int) -> list[list[float]]:
    """Pillow's six coefficients, about the middle of the square, for `count` random transforms."""
    angle = random.normal(0, np.deg2rad(9), count)
    shear = random.normal(0.1, 0.18, count)          # handwriting leans to the right
    width, height = random.uniform(0.8, 1.25, (2, count))

    cos, sin = np.cos(angle), np.sin(angle)
    a, b = cos / width, (shear * cos + sin) / width
    d, e = -sin / height, (cos - shear * sin) / height
    middle = GLYPH_SIZE / 2
    c, f = middle * (1 - a - b), middle * (1 - d - e)
    return np.stack([a, b, c, d, e, f], axis=1).tolist()


def _centred_by_mass(stroke: Image.Image) -> np.ndarray:
    """The digit scaled into MNIST's box and placed with its centre of mass in the middle of the image."""
    digit = stroke.crop(stroke.getbbox())
    scale = BOX_SIZE / max(digit.size)
    width, height = (max(1, round(side * scale)) for side in digit.size)
    pixels = np.asarray(digit.resize((width, height), Image.Resampling.BOX))

    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    top = _offset(pixels.sum(1))
    left = _offset(pixels.sum(0))
    image[top:top + pixels.shape[0], left:left + pixels.shape[1]] = pixels
    return image


def _offset(mass: np.ndarray) -> int:
    """The offset at which a profile's centre of mass is in the middle of the image."""
    centre = mass @ (np.arange(len(mass)) + 0.5) / mass.sum()
    return int(np.clip(round(IMAGE_SIZE / 2 - centre), 0, IMAGE_SIZE - len(mass)))
