"""Stage 2, structure from motion with COLMAP.

`features` into a `database`, `pairs`, `matching`, `reconstruction`, which is made `upright`, and the `summary` of what
became of each photo.
"""
