"""Stage 1, from raw photos to upright copies: `importing` drives `decoding` and `duplicates` and writes the `table`."""
