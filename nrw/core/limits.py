"""Limits that several stages share."""

MIN_PHOTOS = 3  # a scene needs at least this many photos
RESCUE_PAIRS = 300  # most pairs of photos of different models that `sfm.rescue` matches
SIDE_MULTIPLE = 8  # pixels: both sides of every picture are multiples of it, because the networks halve them
