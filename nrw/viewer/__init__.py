"""`nrw view`, a trained scene in a browser.

`address` finds where it may listen, `session` draws, `scheduler` decides when, `page` is the user interface.
"""
