"""The one exception that the command line turns into a sentence and exit code 2."""


class InputError(ValueError):
    """Input that cannot be used; its message is one sentence for the user.

    The message says what was expected, what came and what to do. Recipes and `kerasdnn` print it
    and exit with 2, without a traceback; in your own code it is an ordinary `ValueError`.
    """
