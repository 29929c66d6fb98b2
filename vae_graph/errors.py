"""What the errors that a user can correct have in common, and how a text from outside is shown."""

import re

# The beginning of a session's error message: the operation that failed and where it was built.
_SESSION_ERROR = re.compile(r"^Graph execution error:\s+(Detected at node .*?\nNode: [^\n]*\n)?", re.DOTALL)


class UserError(ValueError):
    """The program reports it in one line: the file or flag, what was expected, and what was found."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: object) -> str:
    """A text as one line without control characters: those of a file's name, for example, are escaped."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in str(text))


def first_line(error: Exception) -> str:
    """An error's message, without the graph operations that TensorFlow's messages begin and end with."""
    return _SESSION_ERROR.sub("", str(getattr(error, "message", error))).partition("\n")[0]
