"""Which line of code made an operation: the lines of `program.py`, and of the builders of `model.py` that it calls."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from vae_graph import model
from vae_graph.pages import program

# What other functions make belongs to the line that calls them.
FUNCTIONS = {program.__file__: ("build",),
             model.__file__: ("Variational_autoencoder", "gaussian_encoder", "Bernoulli_decoder")}


class Line(NamedTuple):
    """A line of code as it was executed: one of a builder that is called twice is there twice."""

    file: str
    number: int
    code: str
    name: str                    # of the variable that the line assigns, or ""
    caller: int | None           # the line that called its function


def code_map(graph: tf.Graph) -> tuple[list[Line], dict[str, int]]:
    """The lines that made a graph's operations, in the order of execution, and each operation's line by its name."""
    statements = {file: _statements(file, names) for file, names in FUNCTIONS.items()}
    lines: list[Line] = []
    numbers: dict[tuple[tuple[str, int], ...], int] = {}             # by the statements on the stack
    of_operations = {}
    for op in graph.get_operations():
        stack: tuple[tuple[str, int], ...] = ()
        caller = None
        for frame in op.traceback:
            if frame.name not in FUNCTIONS.get(frame.filename, ()):
                continue
            statement = statements[frame.filename][frame.lineno]
            stack += (frame.filename, statement.lineno),
            if stack not in numbers:
                numbers[stack] = len(lines)
                lines.append(_line(frame.filename, statement, caller))
            caller = numbers[stack]
        of_operations[op.name] = numbers[stack]
    return lines, of_operations


def _statements(file: str, functions: tuple[str, ...]) -> dict[int, ast.stmt]:
    """The statements in some functions by each line that they cover, the innermost if they are nested."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {number: statement for function in tree.body
            if isinstance(function, ast.FunctionDef) and function.name in functions
            for statement in ast.walk(function) if isinstance(statement, ast.stmt)
            for number in range(statement.lineno, (statement.end_lineno or 0) + 1)}


def _line(file: str, statement: ast.stmt, caller: int | None) -> Line:
    name = statement.targets[0].id if isinstance(statement, ast.Assign) and isinstance(
        statement.targets[0], ast.Name) else ""
    source = ast.get_source_segment(Path(file).read_text(encoding="utf-8"), statement) or ""
    code = re.sub(r"(\()?\s*\n\s*", lambda mark: mark[1] or " ", source)
    return Line(Path(file).name, statement.lineno, code, name, caller)


def groups(graph: tf.Graph) -> dict[str, str]:
    """The groups of the operations that `minimize` and `Saver` make, hundreds per line, by the operations' names.

    The gradients of weights and biases, Adam's slots and its update belong to their variable, as what restores it does;
    other gradients to "gradient of" and the operation's name; the rest to Adam, to SaveV2, to RestoreV2 or
    to the name of the file, which both read.
    """
    found: dict[str, str] = {}
    for op in reversed(graph.get_operations()):                      # what reads a tensor, before what makes it
        readers = [reader for tensor in op.outputs for reader in tensor.consumers()]
        of_variable = re.match(r"(?:Adam/update_)?(\w+/\w+?)/(?:Adam|ResourceApplyAdam)", op.name)
        if gradient := re.match(r"gradients/(.+)_grad/", op.name):
            inputs = [tensor.op for tensor in graph.get_operation_by_name(gradient[1]).inputs]
            read = [variable.inputs[0].op.name for variable in inputs if variable.type == "ReadVariableOp"]
            found[op.name] = read[0] if read else f"gradient of {gradient[1]}"
        elif op.name.startswith("gradients/"):                       # a sum of gradients, or the loss's own, which is 1
            found[op.name] = next(found[reader.name] for reader in readers)
        elif of_variable:
            found[op.name] = of_variable[1]
        elif op.name.startswith(("Adam", "beta")):
            found[op.name] = "Adam"
        elif op.type == "AssignVariableOp" and op.name.startswith("save/"):
            found[op.name] = op.inputs[0].op.name
        elif op.type == "Identity" and op.name.startswith("save/") and readers:
            found[op.name] = found[readers[0].name]
        elif op.name.startswith(("save/Const", "save/filename")):
            found[op.name] = "filename"
        elif op.name.startswith("save/"):
            found[op.name] = "RestoreV2" if op.name.startswith(("save/Restore", "save/restore")) else "SaveV2"
    return found
