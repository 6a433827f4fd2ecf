"""`nrw view`, a trained scene in a browser: `session` draws, `renderer` decides when, `page` is what is seen."""
