"""Stage 1, from raw photos to upright copies: `importing` drives `decoding`, `borders` and
`duplicates` and writes the `table`."""
