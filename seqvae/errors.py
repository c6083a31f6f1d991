"""The one exception that means: the user can fix this."""


class UserError(Exception):
    """A mistake in what the user gave: a file, an option, a value.

    The message says what is wrong, where (file, line or field), which value was got, and how to
    fix it. The command line prints it without a traceback and exits with status 2.
    """
