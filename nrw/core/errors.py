"""The one exception for what a user can cause and mend."""


class UserError(Exception):
    """Says what was found, where, and what to do; shown to the user without a traceback."""
