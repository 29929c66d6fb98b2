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


def comparison(heading: str, found: Comparison) -> str:
    """The results of `compare`."""
    a, b = found.evaluation_a, found.evaluation_b
    agreement = "undefined: one of them is a single point" if found.latent_agreement is None else (
        f"{found.latent_agreement:.4f} (1: the same up to shift, rotation or reflection, and scale)")
    lines = [
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
    if found.not_shared:
        lines.append(f"not shared, or of another shape: {', '.join(found.not_shared)}")
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
    return f"{text}, mean of {found.draws} noise draws, nats per image:"


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
