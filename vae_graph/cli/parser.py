"""The command line: commands and their flags, each validated by itself. Needs no TensorFlow."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from vae_graph.errors import printable

TRAIN = "train"      # the command's name where none is given
CONSOLE_SCRIPT = "vae-graph"


class Command(NamedTuple):
    """A command, its flags, and the function that runs it."""

    purpose: str
    groups: tuple[Callable[[argparse.ArgumentParser], None], ...]      # each adds flags
    function: Callable[[argparse.Namespace], str]        # returns what to print
    needs_tensorflow: bool = True
    is_training: bool = False        # rerun to resume


class OneLineParser(argparse.ArgumentParser):
    """A wrong flag gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)} (see --help)\n")

    def option_strings(self) -> list[str]:
        """The names of all flags."""
        return list(self._option_string_actions)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each flag's default, if it has one to show, and keeps the description's line breaks."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        if isinstance(action.default, list):         # as it is typed
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


def program_name() -> str:
    """The name under which the program was started."""
    return CONSOLE_SCRIPT if Path(sys.argv[0]).stem == CONSOLE_SCRIPT else "run_mnist.py"


def parse_flags(commands: Mapping[str, Command], argv: Sequence[str]) -> argparse.Namespace:
    """The flags, and the command's name in `command`; a wrong flag exits with status 2."""
    name = TRAIN
    if argv and argv[0] in commands:
        name, *argv = argv
    command = commands[name]
    if name != TRAIN:
        parser = OneLineParser(prog=f"{program_name()} {name}", allow_abbrev=False, formatter_class=HelpFormatter,
                               description=f"{command.purpose[0].upper()}{command.purpose[1:]}.")
    else:
        purposes = "\n".join(f"  {other:9} {commands[other].purpose}" for other in commands if other != TRAIN)
        parser = OneLineParser(
            prog=program_name(), allow_abbrev=False, formatter_class=HelpFormatter,
            usage="%(prog)s [flags]\n       %(prog)s COMMAND [flags]",
            description=f"{command.purpose[0].upper()}{command.purpose[1:]}.\n"
                        "To resume a stopped run, rerun the same command.",
            epilog=f"commands, each with its own --help:\n{purposes}")
    for add_group in command.groups:
        add_group(parser)
    if name == TRAIN and argv and not argv[0].startswith("-"):
        parser.error(f"expected a command or a flag, found {argv[0]!r}{_did_you_mean(argv[0], commands)}")
    flags, unknown = parser.parse_known_args(argv, argparse.Namespace(command=name))
    if unknown:
        word = unknown[0].partition("=")[0]
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{_did_you_mean(word, parser.option_strings())}")
    return flags


def _did_you_mean(word: str, expected: Iterable[str]) -> str:
    """A hint at the command or flag that a word was probably meant to be."""
    similar = difflib.get_close_matches(word, expected, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""
