"""What is told in one line: a user's mistake, and what the system took away."""


class InputError(ValueError):
    """Bad input, told in one line: which file, which row, what was expected.

    A stage prints the line and exits with status 2; anything else that escapes is a bug of ours.
    """


class WorkerError(RuntimeError):
    """A process that worked for this one has ended before its work; told in one line, too."""
