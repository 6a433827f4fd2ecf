"""`nrw view`, a trained scene in a browser: `session` draws, `scheduler` decides when, `page` is the user interface."""
