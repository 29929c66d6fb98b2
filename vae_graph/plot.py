"""The three result pictures, two models side by side, and the training curve: arrays in, figures out.

Figures are made without pyplot: it keeps state for the whole process and asks for a display.
"""

import io
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Z_AXES = ("z1", "z2")


class Side(NamedTuple):
    """What one model shows in `comparison`; shapes as in the functions of the single pictures."""

    name: str
    reconstructions: np.ndarray
    codes: np.ndarray
    manifold: np.ndarray
    axis_names: tuple[str, str] = Z_AXES


def reconstruction(images: np.ndarray, reconstructions: np.ndarray, title: str = "") -> Figure:
    """Images beside their reconstructions, a row each.

    Args:
        images, reconstructions: float [n, 784] each, gray from 0 to 1.
        title: above the picture; said where the data are not MNIST.
    """
    figure = _figure(8, 12, title)
    axes = figure.subplots(len(images), 2)
    for row, pair in zip(axes, zip(images, reconstructions, strict=True), strict=True):
        for ax, image, name in zip(row, pair, ("True_number", "Reconstruction_number"), strict=True):
            shown = ax.imshow(image.reshape(28, 28), cmap="gray", vmin=0, vmax=1)
            ax.set_title(name)
            figure.colorbar(shown, ax=ax)
    return figure


def latent(codes: np.ndarray, digits: np.ndarray, axis_names: tuple[str, str] = Z_AXES, title: str = "") -> Figure:
    """A scatter of codes, float [n, 2], coloured by digit, int [n]."""
    figure = _figure(8, 6, title)
    _latent(figure, figure.subplots(), codes, digits, axis_names)
    return figure


def manifold(digits: np.ndarray, limit: float, axis_names: tuple[str, str] = Z_AXES, title: str = "") -> Figure:
    """Decoded digits on a square grid of the latent plane.

    Args:
        digits: float [rows, columns, 784], gray from 0 to 1, the top row first.
        limit: the first row and column stand at -limit or +limit, the last at the opposite.
    """
    figure = _figure(8, 8, title)
    _manifold(figure.subplots(), digits, limit, axis_names)
    return figure


def comparison(sides: Sequence[Side], images: np.ndarray, digits: np.ndarray, limit: float, title: str = "") -> Figure:
    """Models side by side: reconstructions below the images, latent map, manifold.

    Args:
        sides: the models, one a column.
        images: float [n, 784], those that were reconstructed first.
        digits: int [n], the labels of the images.
        limit: of each manifold.
    """
    figure = _figure(6.5 * len(sides), 14.5, title)
    rows = figure.subplots(3, len(sides), height_ratios=(2.4, 5, 6), squeeze=False)
    for (strip, scatter, canvas), side in zip(rows.T, sides, strict=True):
        shown = np.stack([images[:len(side.reconstructions)], side.reconstructions])
        strip.imshow(_tiles(shown), cmap="gray", vmin=0, vmax=1)
        strip.set_axis_off()
        strip.set_title(textwrap.fill(side.name, 60), parse_math=False)
        _latent(figure, scatter, side.codes, digits, side.axis_names)
        _manifold(canvas, side.manifold, limit, side.axis_names)
    return figure


def training_curve(errors: dict[str, list], title: str = "") -> Figure:
    """The mean errors of each epoch, as `training.train` returns them."""
    figure = _figure(8, 6, title)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    upper.plot(errors["epoch"], errors["ELBO"], label="ELBO (negative, plus n_z)")
    upper.plot(errors["epoch"], errors["Recon_error"], label="Recon_error")
    lower.plot(errors["epoch"], errors["Regularization_error"], "C2", label="Regularization_error (KL + n_z)")
    lower.set_xlabel("epoch")
    for ax in (upper, lower):
        ax.set_ylabel("nats an image")
        ax.legend()
        ax.grid()
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, 100 pixels an inch; the same figure gives the same bytes."""
    content = io.BytesIO()
    FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def _latent(figure: Figure, ax: Axes, codes: np.ndarray, digits: np.ndarray, axis_names: tuple[str, str]) -> None:
    # The limits put each digit in the middle of its own colour.
    shown = ax.scatter(codes[:, 0], codes[:, 1], c=digits, marker=".", cmap=matplotlib.colormaps["jet"].resampled(10),
                       vmin=-0.5, vmax=9.5)
    figure.colorbar(shown, ax=ax, ticks=range(10))
    ax.grid()
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1])


def _manifold(ax: Axes, digits: np.ndarray, limit: float, axis_names: tuple[str, str]) -> None:
    edge = limit * digits.shape[1] / (digits.shape[1] - 1)      # half a cell beyond the outermost codes
    ax.imshow(_tiles(digits), cmap="gray", vmin=0, vmax=1, extent=(-edge, edge, -edge, edge))
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1])


def _tiles(images: np.ndarray) -> np.ndarray:
    """Images, [rows, columns, 784], as one of [rows * 28, columns * 28]."""
    rows, columns, _ = images.shape
    return images.reshape(rows, columns, 28, 28).swapaxes(1, 2).reshape(rows * 28, columns * 28)


def _figure(width: float, height: float, title: str) -> Figure:
    """An empty figure, sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    if title:
        figure.suptitle(title, parse_math=False)
    return figure
