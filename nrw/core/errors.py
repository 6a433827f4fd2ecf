"""The exception for errors that a user can cause and fix."""


class UserError(Exception):
    """An error whose message says what was found, where, and what to do; shown to the user without a traceback."""
