"""Stage 2, structure from motion with COLMAP.

`features` into a `database`, `pairs`, `matching`, which leaves out what is `stationary`, `reconstruction`, which is
made `upright`, the `summary` of what became of each photo, and `checks` of the whole. With `sfm.rescue`, the parts of a
first reconstruction are joined by `rescue`, with `learned` features and matches and their `learned_weights`.
"""
