"""What `Session.run` does: a session in NumPy, to be read, which runs the graphs that TensorFlow's functions build.

    session = Session(graph.as_graph_def())
    session.run("init")
    loss, _ = session.run(["add_5:0", "Adam"], {"input_data:0": images, "dropout_rate:0": 0.9})

A GraphDef is a list of nodes. A node has a name, an operation type, attributes, and the names of its inputs: `a:1` is
the second output of the node `a`, `a` is its first, and `^a` is a control input: no value is passed, but `a` runs
first. `Session.run` prunes the graph to the operations that the fetches depend on and runs each of them once, after its
inputs. What lasts from one run to the next is the values of the variables and the state of the random numbers.

The table at the end has the operation types of a training step of `Variational_autoencoder` with Adam, and of the
initializers. Random numbers have the same distributions as TensorFlow's, but other values. Nothing here imports
TensorFlow.

What TensorFlow's session has besides: devices; threads that run operations in parallel, so that a variable is read
before or after an update, unless the graph says which; and Grappler, which rewrites the graph before it is run. To
compute `ELBO` from the images and the keep probability, this session runs 136 operations, as TensorFlow's does with
Grappler off. By default TensorFlow's runs 95 on an x86 processor: equal operations are merged, those without effect are
removed, and the matrix product, sum and activation of a layer are fused into one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from vae_graph import checkpoints


class Session:
    """Runs operations of a graph, given as a GraphDef (`tf.Graph.as_graph_def()`), and holds its variables' values."""

    def __init__(self, graph_def: Any) -> None:
        self.variables: dict[str, np.ndarray] = {}       # values by name, once initialized or restored
        self.operations = {node.name: Operation(node, self.variables) for node in graph_def.node}

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """Run the operations that the fetches depend on.

        Args:
            fetches: a tensor, variable or operation, or its name ("add_5:0", "Adam"), or a list of these.
            feed_dict: values by tensor, or by its name; what is fed is not computed.

        Returns:
            The value of a tensor or variable, None for an operation; for a list, a list of these.

        Raises:
            ValueError: a name is not in the graph, a placeholder is not fed, a variable is not initialized, or a shape
                does not fit.
            NotImplementedError: an operation has a type that is not in `OPERATIONS`.
        """
        values = {name_of(tensor): self.operation(tensor).convert(value) for tensor, value in (feed_dict or {}).items()}
        for name in self.prune(fetches, values):
            operation = self.operations[name]
            outputs = operation.compute([values[tensor] for tensor in operation.inputs])
            for number, output in enumerate(outputs):
                values.setdefault(f"{name}:{number}", output)                # what is fed stays
        results = [copy(values[name]) if ":" in name else None for name in map(name_of, as_list(fetches))]
        return results if isinstance(fetches, list | tuple) else results[0]

    def prune(self, fetches: Any, feeds: Iterable[Any] = ()) -> list[str]:
        """The names of the operations that `run` would run for these fetches and feeds, each after its inputs."""
        fed = {name_of(tensor) for tensor in feeds}
        # A placeholder that is fed is not run as a control input either.
        fed |= {name.removesuffix(":0") for name in fed if self.operation(name).type == "Placeholder"}
        stack = [name for name in map(name_of, reversed(as_list(fetches))) if name not in fed]
        order: dict[str, None] = {}                      # a set that keeps its order
        while stack:                                     # depth first
            operation = self.operation(stack[-1])
            if operation.type not in OPERATIONS:
                raise NotImplementedError(f"{operation.name}: the operation type {operation.type} is not implemented")
            missing = [name for name in operation.inputs + operation.control_inputs
                       if name not in fed and self.operation(name).name not in order]
            if missing:
                stack.append(missing[0])
            else:
                order[operation.name] = None
                stack.pop()
        return [*order]

    def restore(self, prefix: str) -> None:
        """Assign the values in a checkpoint to the graph's variables, as `tf.train.Saver().restore` does.

        Raises:
            CheckpointError: the checkpoint is invalid, or lacks a variable, or has one of another type or shape.
            OSError: it cannot be read.
        """
        saved = checkpoints.read_variables(prefix)
        variables = [operation for operation in self.operations.values() if operation.type == "VarHandleOp"]
        for variable in variables:
            expected, value = f"{variable.dtype.__name__} {variable.shape}", saved.get(variable.name)
            found = "no such variable" if value is None else f"{value.dtype} {[*value.shape]}"
            if found != expected:
                raise checkpoints.CheckpointError(f"{prefix}: expected {variable.name}, {expected}, found {found}")
        self.variables |= {variable.name: saved[variable.name] for variable in variables}

    def operation(self, item: Any) -> "Operation":
        """An operation, or the one whose output a tensor is; either may be given by name."""
        name = name_of(item)
        if (operation := self.operations.get(name.partition(":")[0])) is None:
            raise ValueError(f"{name}: expected a tensor or an operation of the graph")
        return operation


class Operation:
    """A node of the graph, with all that its outputs depend on: inputs, attributes, variables and random numbers."""

    def __init__(self, node: Any, variables: dict[str, np.ndarray]) -> None:
        self.name, self.type, self.attr, self.variables = node.name, node.op, node.attr, variables
        self.inputs = [name if ":" in name else f"{name}:0" for name in node.input if not name.startswith("^")]
        self.control_inputs = [name[1:] for name in node.input if name.startswith("^")]

    def compute(self, inputs: list[Any]) -> tuple[Any, ...]:
        """Compute the outputs from the values of the inputs."""
        try:
            with np.errstate(all="ignore"):              # TensorFlow does not warn of infinity and NaN either
                outputs = OPERATIONS[self.type](self, *inputs)
        except (ValueError, IndexError) as error:
            shapes = ", ".join(str(np.shape(value)) for value in inputs)
            raise ValueError(f"{self.name} = {self.type}({shapes}): {error}") from None
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def convert(self, value: Any) -> np.ndarray:
        """The array for a value that is fed in place of an output."""
        array = np.array(value, self.dtype)
        if self.type == "Placeholder" and self.shape is not None and (
                len(self.shape) != array.ndim
                or any(expected not in (None, size) for expected, size in zip(self.shape, array.shape, strict=True))):
            raise ValueError(f"{self.name}: expected a value of shape {self.shape}, found {[*array.shape]}")
        return array

    @property
    def shape(self) -> list[int | None] | None:
        """The shape of a placeholder or variable; None is any size, or any shape."""
        shape = self.attr["shape"].shape
        return None if shape.unknown_rank else [None if dim.size == -1 else dim.size for dim in shape.dim]

    @property
    def dtype(self) -> type[np.generic]:
        """The type of the outputs: bool of a comparison, otherwise the first of these attributes."""
        keys = [key for key in ("dtype", "DstT", "out_type", "Tparams", "T", "Tidx") if key in self.attr]
        return np.bool_ if self.type in ("GreaterEqual", "LessEqual") else DTYPES[self.attr[keys[0]].type]

    @cached_property
    def random(self) -> np.random.Generator:
        """Each operation has its own random numbers; if the graph has a seed, they are the same in every session."""
        seeds = [self.attr["seed"].i, self.attr["seed2"].i]
        return np.random.default_rng(seeds if any(seeds) else None)


def as_list(fetches: Any) -> list[Any]:
    return [*fetches] if isinstance(fetches, list | tuple) else [fetches]


def name_of(item: Any) -> str:
    """The name of a tensor or operation, or of the tensor that reads a variable; a name stands for itself."""
    return f"{item.handle.op.name}/Read/ReadVariableOp:0" if hasattr(item, "handle") else getattr(item, "name", item)


# The types of tensors, by their numbers in a GraphDef.
DTYPES: dict[int, type[np.generic]] = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}


def constant(op: Operation) -> np.ndarray:
    """The value is stored as bytes, or as numbers, of which the last is repeated."""
    tensor = op.attr["value"].tensor
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, op.dtype).reshape(shape)
    numbers = [*tensor.float_val, *tensor.double_val, *tensor.int_val, *tensor.int64_val, *tensor.bool_val]
    return np.array(numbers + numbers[-1:] * (math.prod(shape) - len(numbers)), op.dtype).reshape(shape)


def placeholder(op: Operation) -> None:
    raise ValueError(f"you must feed {op.name}:0, {op.dtype.__name__} of shape {op.shape}")


def read(op: Operation, handle: str) -> np.ndarray:
    if handle not in op.variables:
        raise ValueError(f"the variable {handle} is not initialized")
    return op.variables[handle]


def assign(op: Operation, handle: str, value: np.ndarray) -> None:
    op.variables[handle] = value                         # a new array: what was read before does not change


def apply_adam(op: Operation, var: str, m: str, v: str, beta1_power: Any, beta2_power: Any, rate: Any, beta1: Any,
               beta2: Any, epsilon: Any, grad: np.ndarray) -> None:
    """Kingma & Ba, "Adam", arXiv 1412.6980, in the form at the end of section 2."""
    assign(op, m, beta1 * read(op, m) + (1 - beta1) * grad)
    assign(op, v, beta2 * read(op, v) + (1 - beta2) * grad**2)
    rate = rate * np.sqrt(1 - beta2_power) / (1 - beta1_power)
    assign(op, var, read(op, var) - rate * read(op, m) / (np.sqrt(read(op, v)) + epsilon))


def reduce(op: Operation, function: Callable[..., Any], x: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return function(x, tuple(np.ravel(axes)), x.dtype, keepdims=op.attr["keep_dims"].b)


def index(op: Operation, begin: np.ndarray, end: np.ndarray, strides: np.ndarray) -> tuple[Any, ...]:
    """What stood in the brackets of x[...]. Each mask has a bit per position."""
    def has(mask: str, i: int) -> bool:
        return bool(op.attr[mask].i >> i & 1)

    return tuple(
        ... if has("ellipsis_mask", i) else None if has("new_axis_mask", i) else
        begin[i] if has("shrink_axis_mask", i) else
        slice(None if has("begin_mask", i) else begin[i], None if has("end_mask", i) else end[i], strides[i])
        for i in range(len(begin)))


def strided_slice_grad(op: Operation, shape: np.ndarray, begin: np.ndarray, end: np.ndarray, strides: np.ndarray,
                       grad: np.ndarray) -> np.ndarray:
    x_grad = np.zeros(shape, op.dtype)
    x_grad[index(op, begin, end, strides)] = grad
    return x_grad


def broadcast_gradient_args(op: Operation, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """For the shapes of two operands: the axes along which each was broadcast. Its gradient is summed over these."""
    rank = max(len(x), len(y))
    padded = [np.pad(shape, (rank - len(shape), 0), constant_values=1) for shape in (x, y)]
    is_broadcast = not np.array_equal(x, y)
    return tuple(np.flatnonzero(is_broadcast & (shape == 1)).astype(op.dtype) for shape in padded)


def dynamic_stitch(op: Operation, *inputs: np.ndarray) -> np.ndarray:
    """Rows of several arrays in one array; the first half of the inputs says where each row goes."""
    indices, arrays = inputs[:len(inputs) // 2], inputs[len(inputs) // 2:]
    n_rows = 1 + max(np.max(rows, initial=-1) for rows in indices)
    stitched = np.zeros((n_rows, *arrays[0].shape[indices[0].ndim:]), op.dtype)
    for rows, array in zip(indices, arrays, strict=True):
        stitched[rows] = array
    return stitched


# What an operation of each type computes from the values of its inputs: an output, a tuple of outputs, or None.
OPERATIONS: dict[str, Callable[..., Any]] = {
    # What needs no value
    "Placeholder": placeholder,
    "Const": constant,
    "RandomUniform": lambda op, shape: op.random.random(shape, np.float32),
    "RandomStandardNormal": lambda op, shape: op.random.standard_normal(shape, np.float32),

    # Variables, by a handle: here, their name
    "VarHandleOp": lambda op: op.name,
    "ReadVariableOp": read,
    "AssignVariableOp": assign,
    "AssignAddVariableOp": lambda op, handle, value: assign(op, handle, read(op, handle) + value),
    "ResourceApplyAdam": apply_adam,
    "NoOp": lambda op: None,                             # for its control inputs

    # The network and the loss
    "MatMul": lambda op, a, b: (a.T if op.attr["transpose_a"].b else a) @ (b.T if op.attr["transpose_b"].b else b),
    "AddV2": lambda op, x, y: x + y,
    "Sub": lambda op, x, y: x - y,
    "Mul": lambda op, x, y: x * y,
    "RealDiv": lambda op, x, y: x / y,
    "Elu": lambda op, x: np.where(x > 0, x, np.expm1(x)),
    "Softplus": lambda op, x: np.logaddexp(x, np.zeros_like(x)),
    "Sigmoid": lambda op, x: 1 / (1 + np.exp(-x)),
    "Log": lambda op, x: np.log(x),
    "Square": lambda op, x: x * x,
    "Maximum": lambda op, x, y: np.maximum(x, y),
    "Minimum": lambda op, x, y: np.minimum(x, y),
    "Sum": lambda op, x, axes: reduce(op, np.sum, x, axes),
    "Mean": lambda op, x, axes: reduce(op, np.mean, x, axes),
    "GreaterEqual": lambda op, x, y: x >= y,
    "SelectV2": lambda op, condition, x, y: np.where(condition, x, y),
    "Shape": lambda op, x: np.array(x.shape, op.dtype),
    "StridedSlice": lambda op, x, begin, end, strides: x[index(op, begin, end, strides)],

    # The gradients and the learning rate
    "AddN": lambda op, *xs: np.sum(xs, 0, op.dtype),
    "Neg": lambda op, x: -x,
    "Reciprocal": lambda op, x: 1 / x,
    "Pow": lambda op, x, y: x**y,
    "FloorMod": lambda op, x, y: x % y,
    "LessEqual": lambda op, x, y: x <= y,
    "EluGrad": lambda op, grad, y: np.where(y < 0, grad * (y + 1), grad),
    "SigmoidGrad": lambda op, y, grad: grad * y * (1 - y),
    "StridedSliceGrad": strided_slice_grad,
    "BroadcastGradientArgs": broadcast_gradient_args,
    "Identity": lambda op, x: x,
    "Cast": lambda op, x: x.astype(op.dtype),
    "Prod": lambda op, x, axes: reduce(op, np.prod, x, axes),
    "Reshape": lambda op, x, shape: np.reshape(x, shape),
    "BroadcastTo": lambda op, x, shape: np.broadcast_to(x, shape),
    "Tile": lambda op, x, multiples: np.tile(x, multiples),
    "Fill": lambda op, shape, value: np.full(shape, value),
    "ZerosLike": lambda op, x: np.zeros_like(x),
    "Range": lambda op, start, limit, delta: np.arange(start, limit, delta).astype(op.dtype),
    "GatherV2": lambda op, x, indices, axis: np.take(x, indices, axis),
    "DynamicStitch": dynamic_stitch,
}
