"""Stage 9, videos: `flythrough` and `camera_paths` plan cameras, `shots` draws the frames, `writer` encodes them."""
