"""Two trained models compared, from their checkpoints: variables, metrics, latent spaces."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vae_graph import checkpoints, evaluation
from vae_graph.checkpoints.inspection import Inspection, inspect
from vae_graph.evaluation import Evaluation


@dataclass(frozen=True)
class VariableDifference:
    """How a variable of B differs from that of A; None where it is not finite."""

    name: str
    shape: tuple[int, ...]
    maximum: float | None            # of |B - A|
    rms: float | None                # root of the mean of (B - A)^2
    cosine: float | None             # A.B / (|A| |B|); None if one is zero too


@dataclass(frozen=True)
class NumberDifference:
    """B's metric minus A's, in nats per image."""

    difference: float
    # Of these two checkpoints, on other images: that of other training runs is larger. None for a single image.
    standard_error_over_images: float | None


@dataclass(frozen=True)
class Comparison:
    """Two checkpoints compared; they may differ in every layer size but the input's."""

    a: Inspection
    b: Inspection
    variables: tuple[VariableDifference, ...]      # of one name and shape in both, the network's first
    not_shared: tuple[str, ...]      # names of the other variables of A or B
    only_in_a: tuple[str, ...]       # those of them that B does not have in any shape
    only_in_b: tuple[str, ...]
    evaluation_a: Evaluation
    evaluation_b: Evaluation
    numbers: dict[str, NumberDifference]
    latent_agreement: float | None   # see `latent_agreement`


def compare(prefix_a: str, prefix_b: str, images: np.ndarray, digits: np.ndarray, seed: int = 0, draws: int = 10,
            iwae_samples: int = 0, verbose: bool = False) -> Comparison:
    """Compare two checkpoints, evaluated on the same images and, where their n_z is the same, the same noise.

    Args:
        prefix_a, prefix_b: the checkpoints.
        images, digits, seed, draws, iwae_samples, verbose: see `evaluation.evaluate`.

    Raises:
        CheckpointError: see `evaluation.measure`.
    """
    for prefix in (prefix_a, prefix_b):
        checkpoints.read_network(prefix)         # both are validated before the long measurement of the first
    a, b = (evaluation.measure(prefix, images, seed, draws, iwae_samples, verbose=verbose)
            for prefix in (prefix_a, prefix_b))
    numbers_a, numbers_b = a.numbers(), b.numbers()
    values_a, values_b = checkpoints.read_variables(prefix_a), checkpoints.read_variables(prefix_b)
    names = _network_first(values_a.keys() | values_b.keys())
    shared = [name for name in names if name in values_a and name in values_b
              and _comparable(values_a[name], values_b[name])]
    return Comparison(
        a=inspect(prefix_a), b=inspect(prefix_b),
        variables=tuple(_variable_difference(name, values_a[name], values_b[name]) for name in shared),
        not_shared=tuple(name for name in names if name not in shared),
        only_in_a=tuple(name for name in names if name not in values_b),
        only_in_b=tuple(name for name in names if name not in values_a),
        evaluation_a=evaluation.summarize(a, digits), evaluation_b=evaluation.summarize(b, digits),
        numbers={name: _number_difference(numbers_a[name], numbers_b[name]) for name in numbers_a},
        latent_agreement=latent_agreement(a.mean, b.mean))


def _network_first(names: Iterable[str]) -> list[str]:
    """Names of variables in the order of `checkpoints.training_shapes`, others after them."""
    order = [*checkpoints.training_shapes(checkpoints.LayerSizes(1, 1, 1, 1))]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _variable_difference(name: str, a: np.ndarray, b: np.ndarray) -> VariableDifference:
    """How two arrays of numbers of one shape differ."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):      # infinity minus infinity, and zero by zero, give NaN, which becomes None
        return VariableDifference(
            name, a.shape,
            maximum=_finite(np.abs(b - a).max()),
            rms=_finite(np.sqrt(np.mean((b - a) ** 2))),
            cosine=_finite((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b))))


def _number_difference(a: np.ndarray, b: np.ndarray) -> NumberDifference:
    """The mean of B - A over images, [n] each, and its standard error over them, that of paired samples."""
    difference = b - a
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    return NumberDifference(float(difference.mean()), _finite(error))


def latent_agreement(a: np.ndarray, b: np.ndarray) -> float | None:
    """How well two latent spaces agree up to a shift, a rotation or reflection, and a scale.

    The share of A's variance that B explains after the best such transform onto A, by orthogonal Procrustes analysis
    (Schönemann 1966): the square of the sum of the singular values of A^T B, both centred and of norm 1. The
    smaller space is padded with dimensions that are zero.

    Args:
        a: float [n, n_z], the means of q(z|X) of n images.
        b: float [n, another n_z], those of the same images in another model.

    Returns:
        From 0, nothing in common, to 1, the same; symmetric in A and B. None if one of them is a single point.
    """
    a, b = a - a.mean(0), b - b.mean(0)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms == 0:
        return None
    return float(np.linalg.svd(a.T @ b / norms, compute_uv=False).sum() ** 2)


def _comparable(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two variables are non-empty arrays of numbers with the same shape."""
    return all(np.asarray(value).dtype.kind in "biuf" for value in (a, b)) and a.shape == b.shape and a.size > 0


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
