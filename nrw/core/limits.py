"""Limits that several stages share."""

MIN_PHOTOS = 3  # a scene needs at least this many photos
SIDE_MULTIPLE = 8  # pixels: both sides of every picture are multiples of it, because the networks halve them
