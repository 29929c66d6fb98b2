"""Results as text: lines for people, JSON for programs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vae_graph
from vae_graph.settings import Settings

if TYPE_CHECKING:        # these import NumPy, or TensorFlow, which `inspect` does without
    from vae_graph.checkpoints.inspection import Inspection
    from vae_graph.comparison import Comparison
    from vae_graph.data import DataSet
    from vae_graph.evaluation import Evaluation

# The labels of the metrics, and notes: the original's three under their own names, then the true ones.
METRICS = {
    "Recon_error": ("Recon_error", ""),
    "Regularization_error": ("Regularization_error", ""),
    "ELBO": ("ELBO", "standard deviation over draws {ELBO_sd:.4f}"),
    "true_negative_ELBO": ("true negative ELBO", "ELBO minus n_z = {n_z}"),
    "KL": ("KL", "Regularization_error minus n_z"),
    "negative_IWAE_bound": ("negative IWAE bound", "importance-weighted, {iwae_samples} samples per image"),
}

# The standard deviation of the original's test ELBO over seeds, its network and MNIST: figures/study/study.json.
ELBO_SD_OVER_SEEDS = 0.48
# Variables that only training needs, which a comparison counts and does not name.
TRAINING_VARIABLES = {"the step": "Variable", "Adam's {n} slots": ".*/Adam(_1)?", "Adam's {n} powers": "beta[12]_power"}


def inspection(found: Inspection) -> str:
    """A checkpoint's contents."""
    if found.sizes:
        network = f"{found.sizes}, {found.n_adam_slots} of Adam's 24 slots"
    else:
        network = f"not this program's: {found.mismatch}"
    non_finite = ", ".join(variable.name for variable in found.variables if variable.n_nan or variable.n_inf)
    numbers = f"NaN or infinity in {non_finite}" if non_finite else "all finite"
    return "\n".join([
        found.prefix,
        f"  format    {found.format}",
        f"  names     {found.origin}",
        f"  network   {network}",
        f"  step      {_step(found)}",
        f"  numbers   {f'missing: {found.missing}' if found.missing else numbers}",
        "",
        table(("variable", "shape", "dtype", "norm", "NaN", "inf"), (
            (variable.name, _shape(variable.shape), variable.dtype, _significant(variable.norm),
             *("-" if number is None else str(number) for number in (variable.n_nan, variable.n_inf)))
            for variable in found.variables))])


def errors(heading: str, found: Evaluation) -> str:
    """The errors of a model on the images that `heading` describes."""
    lines = [_heading(heading, found)]
    for name, (label, note) in METRICS.items():
        if (value := getattr(found, name)) is not None:
            note = f"   ({note.format(**vars(found))})" if note else ""
            lines.append(f"  {label:20} {value:10.4f}{note}")
    return "\n".join(lines)


def evaluation(heading: str, found: Evaluation) -> str:
    """The results of `evaluate`."""
    names = [name for name in METRICS if getattr(found, name) is not None]
    return "\n".join([
        errors(heading, found),
        f"  {'active units':20} {found.active_units:5} of {found.n_z}",
        "",
        table(("digit", "images", *(METRICS[name][0] for name in names)), (
            (str(digit), str(means["images"]), *(f"{means[name]:.4f}" for name in names))
            for digit, means in found.per_digit.items()))])


def comparison(heading: str, found: Comparison, on_mnist: bool) -> str:
    """The results of `compare`; `on_mnist`: the images are all of MNIST's test set."""
    a, b = found.evaluation_a, found.evaluation_b
    agreement = "undefined: one of them is a single point" if found.latent_agreement is None else (
        f"{found.latent_agreement:.4f} (1: the same up to shift, rotation or reflection, and scale)")
    lines = [
        _verdict(found, on_mnist),
        "",
        *(f"{name}: {side.prefix}\n   {side.format}, {side.sizes}, step {_step(side)}"
          for name, side in (("A", found.a), ("B", found.b))),
        "",
        _heading(heading, a),
        table(("", "A", "B", "B - A", "standard error over images"), (
            (METRICS[name][0], f"{getattr(a, name):.4f}", f"{getattr(b, name):.4f}", f"{number.difference:+.4f}",
             _significant(number.standard_error_over_images)) for name, number in found.numbers.items())),
        "The standard errors do not cover the variation from one training run to another.",
        f"active units: {a.active_units} of {a.n_z} and {b.active_units} of {b.n_z}",
        f"agreement of the latent spaces: {agreement}",
        "",
        table(("shared variable", "shape", "max |B - A|", "rms of B - A", "cosine"), (
            (variable.name, _shape(variable.shape), _significant(variable.maximum), _significant(variable.rms),
             _significant(variable.cosine)) for variable in found.variables))]
    of_other_shape = set(found.not_shared) - {*found.only_in_a, *found.only_in_b}
    for where, names in (("only in A", found.only_in_a), ("only in B", found.only_in_b),
                         ("of another shape or type", [name for name in found.not_shared if name in of_other_shape])):
        if names:
            lines.append(f"{where}: {_in_short(names)}")
    return "\n".join(lines)


def sweep(heading: str, found: Mapping[int, Evaluation]) -> str:
    """The errors of networks that differ in n_z."""
    names = [name for name in METRICS if all(getattr(one, name) is not None for one in found.values())]
    return "\n".join([
        _heading(heading, next(iter(found.values()))),
        table(("n_z", *(METRICS[name][0] for name in names), "active units"), (
            (str(n_z), *(f"{getattr(one, name):.4f}" for name in names), str(one.active_units))
            for n_z, one in found.items()))])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns, the first on the left, the others on the right."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells)


def as_json(flags: argparse.Namespace, data_set: DataSet | None = None, **results: object) -> str:
    """Results, which may be dataclasses, with the flags, data set, versions and machine that they depend on."""
    return json.dumps({
        "flags": vars(flags),
        "data": {"name": data_set.name, "sha256": data_set.sha256} if data_set else None,
        "versions": {"vae_graph": vae_graph.__version__, "python": platform.python_version(),
                     **{name: _version(name) for name in ("tensorflow", "numpy", "matplotlib", "pillow")}},
        "host": {"machine": platform.machine(), "processor": processor(), "threads": os.cpu_count()},
        "seed": vars(flags).get("seed"),
        **results,
    }, indent=1, allow_nan=False, default=_as_json)


def processor() -> str:
    """The processor's model name; where the system does not give it, that of its family."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    return found[1] if found else platform.processor()


def _as_json(value: Any) -> object:
    """What stands in JSON for a path or a dataclass."""
    return value.as_posix() if isinstance(value, Path) else dataclasses.asdict(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:          # such as that of tensorflow-cpu
        return importlib.import_module(package).__version__


def _heading(text: str, found: Evaluation) -> str:
    return f"{text}, mean of {found.draws} noise draws, nats per image (a lower ELBO is better):"


def _verdict(found: Comparison, on_mnist: bool) -> str:
    """Which of two models has the better ELBO, and how much that means."""
    # The original's ELBO is larger by n_z than the true one.
    name = "ELBO" if found.evaluation_a.n_z == found.evaluation_b.n_z else "true_negative_ELBO"
    number, label = found.numbers[name], METRICS[name][0]
    if number.difference == 0:
        return f"A and B have the same {label}."
    text = (f"{'A' if number.difference > 0 else 'B'}'s {label} is lower, that is better, by "
            f"{abs(number.difference):.4f}")
    if error := number.standard_error_over_images:
        text += f": {abs(number.difference) / error:.1f} standard errors over images"
    default_sizes = (784, Settings.n_hidden_encoder, Settings.n_z, Settings.n_hidden_decoder)
    if on_mnist and all(tuple(vars(side.sizes).values()) == default_sizes for side in (found.a, found.b)):
        text += f"; the original's runs of 200 epochs differ by {ELBO_SD_OVER_SEEDS} (standard deviation over seeds)"
    return f"{text}."


def _in_short(names: Sequence[str]) -> str:
    """Names of variables; those that only training needs by their number."""
    counts = {kind: sum(bool(re.fullmatch(pattern, name)) for name in names)
              for kind, pattern in TRAINING_VARIABLES.items()}
    others = [name for name in names if not any(re.fullmatch(one, name) for one in TRAINING_VARIABLES.values())]
    return ", ".join([*others, *(kind.format(n=n) for kind, n in counts.items() if n)])


def _step(found: Inspection) -> str:
    from vae_graph.checkpoints.inspection import STEPS_PER_EPOCH

    if found.step is None:
        return "unknown"
    if found.epochs is None:
        return str(found.step)
    return f"{found.step}, {found.epochs:.4g} epochs of MNIST at {STEPS_PER_EPOCH} steps per epoch"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _significant(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
