"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """Bad input, told in one line: which file, which row, what was expected.

    A stage prints the line and exits with status 2; anything else that escapes is a bug of ours.
    """
