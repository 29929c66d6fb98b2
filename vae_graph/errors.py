"""What the errors that a user can correct have in common."""


class UserError(ValueError):
    """The program reports it in one line: the file or flag, what was expected, and what was found."""
