"""Change one small thing in a module, run the module's tests, and list the changes that no test notices.

    python -m tests.stress.mutate vae_graph/files.py ... [--mutants N] [--seed N] [--tests PATH ...]

A module's tests are those in `tests/<folder>/test_<module>.py`; `--tests` names others. A mutant, the module with one
change, is killed if a test fails, the process dies or the time limit is reached. Operators, constants, results,
conditions, caught exceptions, raised ones, calls and keyword arguments are changed. Some survivors are equivalent to
the module: no input tells them apart, and only a reader can say so. POSIX only; exit status 2 if the tests fail without
a change.
"""

import argparse
import ast
import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("tests.conftest", "tensorflow.compat.v1", "matplotlib.figure", "pytest")      # what takes long to import
MAX_MEMORY = 16 * 2**30          # bytes: a reader without a check may ask for any amount
SWAPPED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
           ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
           ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
           ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift}
UNCHANGED = ("annotation", "returns", "decorator_list")          # fields of the syntax tree


class Mutant(NamedTuple):
    """A module with one change."""

    line: int
    change: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """A module with each of the possible changes."""
    tree, found = ast.parse(source), []
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in UNCHANGED or is_excluded(parent):
                continue
            children = value if isinstance(value, list) else [value]
            for number, child in enumerate(children):
                for variant in variants(child) if isinstance(child, ast.AST) else ():
                    replaced = children[:number] + [variant] * (variant is not None) + children[number + 1:]
                    setattr(parent, field, replaced if isinstance(value, list) else variant)
                    before, after = (ast.unparse(node).split("\n")[0] if node else "" for node in (child, variant))
                    line = getattr(child, "lineno", getattr(parent, "lineno", 0))
                    found.append(Mutant(line, f"{before}  ->  {after}", ast.unparse(ast.fix_missing_locations(tree))))
                    setattr(parent, field, value)
    return [mutant for mutant in found if mutant.source != ast.unparse(tree)]


def is_excluded(node: ast.AST) -> bool:
    """Whether changes of a node's children would change no behaviour: docstrings, `__all__`, imports for types."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__")]) | ast.JoinedStr():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def variants(node: ast.AST) -> Iterator[ast.AST | None]:
    """What a node is replaced by; None removes it."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1 if isinstance(value, int) else 1.1 * value + 0.001)
        case ast.Constant(value=str(value)):
            yield ast.Constant(f"XX{value}")
        case ast.cmpop() | ast.operator() | ast.boolop() if type(node) in SWAPPED:
            yield SWAPPED[type(node)]()
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.If() | ast.IfExp() | ast.While():
            for test in (True, False)[isinstance(node, ast.While):]:
                yield type(node)(**{**dict(ast.iter_fields(node)), "test": ast.Constant(test)})
        case ast.ExceptHandler(type=ast.expr()):
            yield ast.ExceptHandler(ast.Name("StopAsyncIteration"), node.name, node.body)
        case ast.keyword(arg=str()):
            yield None


def is_killed(module: Path, source: str, tests: Sequence[str], seconds: int) -> bool:
    """Whether the tests fail on a copy of the project in which the module has another source."""
    with tempfile.TemporaryDirectory() as place:
        project = Path(place, "project")
        project.mkdir()
        for path in ROOT.iterdir():
            (project / path.name).symlink_to(path)
        for name in ("vae_graph", "tests"):
            (project / name).unlink()
            shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
        if (project / module).is_symlink():              # run_mnist.py
            (project / module).unlink()
        (project / module).write_text(source, encoding="utf-8")
        child = os.fork()
        if not child:
            run_tests(project, tests, seconds)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)             # what the tests have started
        return status != 0


def run_tests(project: Path, tests: Sequence[str], seconds: int) -> NoReturn:
    """In a child process: import this copy of the project in place of the parent's, and run pytest."""
    status = 1
    try:
        os.setsid()
        signal.alarm(seconds)
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
        os.chdir(project)
        os.environ |= {"PYTHONPATH": str(project), "TMPDIR": str(project.parent)}
        tempfile.tempdir = None                          # to be read from TMPDIR again
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 1)
            os.dup2(null.fileno(), 2)
        sys.path.insert(0, str(project))
        for name in [name for name in sys.modules if name.partition(".")[0] in ("vae_graph", "run_mnist", "tests")]:
            del sys.modules[name]
        assert str(project) in str(importlib.import_module("vae_graph").__file__)
        status = sys.modules["pytest"].main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests])
    finally:
        os._exit(status)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", type=Path, metavar="MODULE")
    parser.add_argument("--mutants", type=int, default=15, help="of each module; default: 15")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of changes; default: 0")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="in place of the modules' own")
    flags = parser.parse_args()
    for name in PRELOADED:
        importlib.import_module(name)
    survivors = []
    print("| module | mutants | killed | per cent |\n|---|---|---|---|")
    for module in flags.modules:
        source = (ROOT / module).read_text(encoding="utf-8")
        tests = flags.tests or [str(Path("tests", *module.parts[1:-1], f"test_{module.name}"))]
        begin = time.monotonic()
        if is_killed(module, source, tests, 600):
            print(f"{module}: expected tests that pass without a change, found failures in {' '.join(tests)}",
                  file=sys.stderr)
            return 2
        limit = 10 + 3 * int(time.monotonic() - begin)
        possible = mutants_of(source)
        chosen = sorted(random.Random(flags.seed).sample(possible, min(flags.mutants, len(possible))))
        alive = [mutant for mutant in chosen if not is_killed(module, mutant.source, tests, limit)]
        survivors += [f"{module}:{mutant.line}: {mutant.change}" for mutant in alive]
        killed = len(chosen) - len(alive)
        print(f"| {module} | {len(chosen)} | {killed} | {100 * killed / len(chosen):.0f} |", flush=True)
    print("", *survivors, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
