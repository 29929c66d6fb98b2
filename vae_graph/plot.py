"""The pictures: arrays in, figures out.

Figures are made without pyplot, which has global state and may need a display.
"""

import io
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from PIL import Image

Z_AXES = ("z1", "z2")
# The colours of the ten digits. jet is the original's. The colours of `accessible` differ for people with red-green
# colour blindness too, and have a contrast of at least 3:1 with white and with the pages' dark background. Some are
# equally light, so clusters in them are labelled.
ACCESSIBLE = ("#96966e", "#be78c8", "#a05050", "#fa00fa", "#dc008c",
              "#00788c", "#8c32dc", "#009600", "#fa4600", "#328cfa")
PALETTES = ("jet", "accessible")
MS_PER_FRAME = 80
N_CELLS = 15                     # along each side of the latent plane, to find where it is densest


class ModelPanel(NamedTuple):
    """One model's column in `comparison`; shapes as in the functions of the single pictures."""

    name: str
    reconstructions: np.ndarray
    codes: np.ndarray
    manifold: np.ndarray
    limits: tuple[float, float]
    axis_names: tuple[str, str] = Z_AXES


def reconstruction(images: np.ndarray, reconstructions: np.ndarray, title: str = "") -> Figure:
    """Images beside their reconstructions, a row each.

    Args:
        images, reconstructions: float [n, 784] each, gray from 0 to 1.
        title: above the picture; names the data set if it is not MNIST.
    """
    figure = _figure(8, 12, title)
    axes = figure.subplots(len(images), 2, squeeze=False)
    for row, pair in zip(axes, zip(images, reconstructions, strict=True), strict=True):
        for ax, image, name in zip(row, pair, ("True_number", "Reconstruction_number"), strict=True):
            shown = ax.imshow(image.reshape(28, 28), cmap="gray", vmin=0, vmax=1)
            ax.set_title(name)
            figure.colorbar(shown, ax=ax)
    return figure


def latent(codes: np.ndarray, digits: np.ndarray, axis_names: tuple[str, str] = Z_AXES, title: str = "",
           palette: str = "jet") -> Figure:
    """A scatter of codes, float [n, 2], coloured by digit, int [n], with one of `PALETTES`."""
    figure = _figure(8, 6, title)
    _latent(figure, figure.subplots(), codes, digits, axis_names, palette)
    return figure


def manifold(digits: np.ndarray, limits: tuple[float, float], axis_names: tuple[str, str] = Z_AXES, title: str = ""
             ) -> Figure:
    """Decoded digits on a square grid of the latent plane.

    Args:
        digits: float [rows, columns, 784], gray from 0 to 1, the top row first.
        limits: the coordinate of the first column and of the last; of the bottom row and the top one.
    """
    figure = _figure(8, 8, title)
    _manifold(figure.subplots(), digits, limits, axis_names)
    return figure


def comparison(panels: Sequence[ModelPanel], images: np.ndarray, digits: np.ndarray,
               title: str = "", palette: str = "accessible") -> Figure:
    """Models side by side: reconstructions below the images, latent maps on the same axes, manifold.

    Args:
        panels: the models, one per column.
        images: float [n, 784], those that were reconstructed first.
        digits: int [n], the labels of the images.
        palette: one of `PALETTES`, for the latent maps.
    """
    figure = _figure(6.5 * len(panels), 14.5, title)
    rows = figure.subplots(3, len(panels), height_ratios=(2.4, 5, 6), squeeze=False)
    for (strip, scatter, canvas), panel in zip(rows.T, panels, strict=True):
        shown = np.stack([images[:len(panel.reconstructions)], panel.reconstructions])
        strip.imshow(_tiles(shown), cmap="gray", vmin=0, vmax=1)
        strip.set_axis_off()
        strip.set_title(textwrap.fill(_drawable(panel.name), 60), parse_math=False)
        _latent(figure, scatter, panel.codes, digits, panel.axis_names, palette)
        _manifold(canvas, panel.manifold, panel.limits, panel.axis_names)
    every = np.concatenate([panel.codes for panel in panels])
    margin = 0.05 * np.ptp(every, 0)
    margin[margin == 0] = 1              # of a single image
    for scatter in rows[1]:
        scatter.set(xlim=(every[:, 0].min() - margin[0], every[:, 0].max() + margin[0]),
                    ylim=(every[:, 1].min() - margin[1], every[:, 1].max() + margin[1]))
    return figure


def image_rows(rows: Mapping[str, Sequence[np.ndarray]], column_titles: Sequence[str] = ("",), title: str = ""
               ) -> Figure:
    """Rows of digits, one below the other.

    Args:
        rows: the digits of each row by the label to its left, float [n, 784], gray from 0 to 1: one array per column
            title. An empty array leaves its place empty.
        column_titles: above the columns.
    """
    columns = [*zip(*rows.values(), strict=True)]
    widths = [max(map(len, column)) for column in columns]
    # All in inches: tight layouts leave margins where the digits keep their aspect.
    digit, gap, row_gap, margin = 0.6, 0.3, 0.12, 0.2
    beyond = [max(0, _text_width(head, 12) - digit * width) / 2
              for head, width in zip(column_titles, widths, strict=True)]
    left = margin + max(beyond[0], max(_text_width(name, 10) for name in rows) + 0.1)
    right = margin + beyond[-1]
    above = margin + 0.22 * max(len(head.splitlines()) for head in column_titles) + (0.3 if title else 0)
    width = left + digit * sum(widths) + gap * (len(widths) - 1) + right
    height = above + (digit + row_gap) * len(rows) - row_gap + margin
    figure = _figure(width, height, title, layout=None)
    grid = figure.subplots(len(rows), len(widths), width_ratios=widths, squeeze=False, gridspec_kw={
        "left": left / width, "right": 1 - right / width, "top": 1 - above / height, "bottom": margin / height,
        "wspace": gap / digit / np.mean(widths), "hspace": row_gap / digit})
    for line, (name, parts) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, digits in zip(line, parts, strict=True):
            ax.set(xticks=[], yticks=[], frame_on=False)
            if len(digits):
                ax.imshow(_tiles(digits[None]), cmap="gray", vmin=0, vmax=1, aspect="auto")
    for places, column, head in zip(grid.T, columns, column_titles, strict=True):
        next(ax for ax, digits in zip(places, column, strict=True) if len(digits)).set_title(head)
    return figure


def canvas(digits: np.ndarray, title: str = "") -> Figure:
    """Digits, float [n, 784] with gray from 0 to 1, on a canvas as nearly square as possible."""
    n_columns = math.ceil(math.sqrt(len(digits)))
    n_rows = math.ceil(len(digits) / n_columns)
    cells = np.ones((n_rows * n_columns, digits.shape[1]))
    cells[:len(digits)] = digits
    figure = _figure(8, 8 * n_rows / n_columns + (0.4 if title else 0), title)
    ax = figure.subplots()
    ax.imshow(_tiles(cells.reshape(n_rows, n_columns, -1)), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    return figure


def training_curve(errors: dict[str, list], title: str = "") -> Figure:
    """The mean errors of each epoch, as `training.train` returns them."""
    figure = _figure(8, 6, title)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    marker = "o" if len(errors["epoch"]) == 1 else None          # a line of one point is invisible
    upper.plot(errors["epoch"], errors["ELBO"], label="ELBO (negative, plus n_z)", marker=marker)
    upper.plot(errors["epoch"], errors["Recon_error"], label="Recon_error", marker=marker)
    lower.plot(errors["epoch"], errors["Regularization_error"], "C2", label="Regularization_error (KL + n_z)",
               marker=marker)
    lower.set_xlabel("epoch")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for ax in (upper, lower):
        ax.set_ylabel("nats per image")
        ax.legend()
        ax.grid()
    return figure


def schematic(n_input: int, n_hidden_encoder: int, n_z: int, n_hidden_decoder: int, keep_prob: float,
              title: str = "") -> Figure:
    """The network as boxes and arrows: its layers' sizes, and their weights' scopes."""
    width, bottom, top = 14.1, 0.3, 4.7 if title else 4.4
    figure = _figure(width, top - bottom, title, layout=None)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(bottom, top))
    ax.set_axis_off()
    for left, right, builder in ((1.6, 6.8, "gaussian_encoder"), (8.95, 13.85, "Bernoulli_decoder")):
        ax.add_patch(FancyBboxPatch((left, 0.55), right - left, 3.3, boxstyle="round,pad=0.05", fill=False,
                                    edgecolor="gray", linestyle="--"))
        ax.text((left + right) / 2, 4, builder, ha="center", va="bottom", fontsize=13)

    hidden = f"elu\ndropout,\nkeep {keep_prob:g}"
    _layer(ax, (0.75, 2.2), f"X\n{n_input} pixels", "input_data", "white")
    _layer(ax, (2.4, 2.2), f"{n_hidden_encoder} units\n{hidden}", "encoder_hidden_1", "#cfe2f3")
    _layer(ax, (4.2, 2.2), f"{n_hidden_encoder} units\n{hidden}", "encoder_hidden_2", "#cfe2f3")
    _layer(ax, (6, 2.95), f"mean\nn_z = {n_z}", "", "#fce5cd")
    _layer(ax, (6, 1.45), f"std\nn_z = {n_z}\nsoftplus", "encoder_z", "#fce5cd")
    _layer(ax, (7.9, 2.2), "z = mean\n+ std * eps", "", "#fff2cc")
    ax.text(7.9, 0.75, "eps ~ N(0, I)", ha="center", va="center", fontsize=11)
    _layer(ax, (9.75, 2.2), f"{n_hidden_decoder} units\n{hidden}", "decoder_hidden_1", "#d9ead3")
    _layer(ax, (11.4, 2.2), f"{n_hidden_decoder} units\n{hidden}", "decoder_hidden_2", "#d9ead3")
    _layer(ax, (13.05, 2.2), f"X_out\n{n_input} pixels\nsigmoid", "decoder_output", "#d9ead3")
    for start, end in (((1.3, 2.2), (1.85, 2.2)), ((2.95, 2.2), (3.65, 2.2)), ((4.75, 2.4), (5.45, 2.95)),
                       ((4.75, 2), (5.45, 1.45)), ((6.55, 2.95), (7.35, 2.4)), ((6.55, 1.45), (7.35, 2)),
                       ((7.9, 0.95), (7.9, 1.6)), ((8.45, 2.2), (9.2, 2.2)), ((10.3, 2.2), (10.85, 2.2)),
                       ((11.95, 2.2), (12.5, 2.2))):
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0})
    return figure


def png(figure: Figure, note: str = "") -> bytes:
    """The figure as a PNG file, 100 pixels per inch, with a note in small type below; deterministic."""
    if note:
        figure.text(0.995, 2 / (100 * figure.get_figheight()), _drawable(note), ha="right", va="bottom", fontsize=8,
                    color="dimgray", parse_math=False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A data set's name may have letters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def gif(frames: np.ndarray, scale: int = 6) -> bytes:
    """Digits, float [n, 784] with gray from 0 to 1, in sequence and back again, in a loop, as a GIF file."""
    forward_and_back = [*frames, *frames[-2:0:-1]]
    images = [Image.fromarray(np.uint8(255 * np.kron(frame.reshape(28, 28), np.ones((scale, scale)))))
              for frame in forward_and_back]
    content = io.BytesIO()
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=MS_PER_FRAME, loop=0)
    return content.getvalue()


def colours(palette: str) -> list[str]:
    """The colours of the digits 0 to 9 in one of `PALETTES`, such as "#96966e"."""
    return [to_hex(colour) for colour in _colormap(palette)(range(10))]


def _colormap(palette: str) -> Colormap:
    return matplotlib.colormaps["jet"].resampled(10) if palette == "jet" else ListedColormap(ACCESSIBLE)


def _layer(ax: Axes, middle: tuple[float, float], text: str, scope: str, colour: str) -> None:
    """A box of 1.1 by 1.2 with a layer's name and size in it, its scope below."""
    x, y = middle
    ax.add_patch(FancyBboxPatch((x - 0.55, y - 0.6), 1.1, 1.2, boxstyle="round,pad=0,rounding_size=0.1",
                                facecolor=colour, edgecolor="black"))
    ax.text(x, y, text, ha="center", va="center", fontsize=11)
    ax.text(x, y - 0.7, scope, ha="center", va="top", fontsize=9, family="monospace")


def _latent(figure: Figure, ax: Axes, codes: np.ndarray, digits: np.ndarray, axis_names: tuple[str, str],
            palette: str) -> None:
    # With these limits each digit is in the middle of its own colour.
    shown = ax.scatter(codes[:, 0], codes[:, 1], c=digits, marker=".", cmap=_colormap(palette), vmin=-0.5, vmax=9.5)
    figure.colorbar(shown, ax=ax, ticks=range(10))
    if palette == "accessible":
        _label_clusters(ax, codes, digits)
    ax.grid()
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1])


def _label_clusters(ax: Axes, codes: np.ndarray, digits: np.ndarray) -> None:
    """Write each digit where its codes are densest: the means of digits that mix would coincide."""
    low, size = codes.min(0), np.ptp(codes, 0)
    size[size == 0] = 1              # of a single image
    cells = np.minimum(N_CELLS * (codes - low) / size, N_CELLS - 1).astype(int) @ (N_CELLS, 1)
    is_free = np.ones(N_CELLS**2)
    for digit in np.unique(digits):
        cell = (np.bincount(cells[digits == digit], minlength=N_CELLS**2) * is_free).argmax()
        is_free[cell] = 0            # one label in each
        a, b = low + (np.array(divmod(cell, N_CELLS)) + 0.5) / N_CELLS * size
        ax.text(a, b, str(digit), ha="center", va="center", fontsize=16, weight="bold",
                path_effects=[withStroke(linewidth=3, foreground="white")])


def _manifold(ax: Axes, digits: np.ndarray, limits: tuple[float, float], axis_names: tuple[str, str]) -> None:
    half_cell = (limits[1] - limits[0]) / (digits.shape[1] - 1) / 2
    edges = (limits[0] - half_cell, limits[1] + half_cell)
    ax.imshow(_tiles(digits), cmap="gray", vmin=0, vmax=1, extent=(*edges, *edges))
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1])


def _tiles(images: np.ndarray) -> np.ndarray:
    """Images, [rows, columns, 784], as one of [rows * 28, columns * 28]."""
    rows, columns, _ = images.shape
    return images.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, columns * 28)


def _text_width(text: str, size: float) -> float:
    """The width in inches of a text's longest line, its size in points."""
    return max(TextPath((0, 0), line, size).get_extents().width / 72 if line else 0 for line in text.split("\n"))


def _drawable(text: str) -> str:
    """A text without the bytes of a file's name that are not UTF-8, for which no font has a glyph: they are escaped."""
    return text.encode(errors="backslashreplace").decode()


def _figure(width: float, height: float, title: str, layout: Literal["tight"] | None = "tight") -> Figure:
    """An empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    if title:
        figure.suptitle(_drawable(title), y=1 - 0.16 / height, parse_math=False)
    return figure
