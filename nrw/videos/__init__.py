"""Stage 9, videos: `shots` says what is drawn, `flythrough` and `camera_paths` from where, `writer` encodes it."""
