"""Stage 1, raw photos to upright copies: `importing` drives `decoding` and `duplicates` and writes the `table`."""
