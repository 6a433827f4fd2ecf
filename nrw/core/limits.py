"""Limits that several stages share."""

MIN_PHOTOS = 3  # fewer photos do not make a scene
SIDE_MULTIPLE = 8  # pixels, of both sides of every picture: the networks halve them
