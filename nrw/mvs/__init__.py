"""Dense multi-view stereo, with or without a GPU, in COLMAP's dense workspace format.

The steps in order: `undistort` the photos; for each photo `select` its sources, `sweep` planes that face the camera and
level ones for the ground, scored as in `match`, make the costs agree along 8 directions (`sgm`), take at each pixel the
better of the two, `refine` the depth map scale by scale with local `planes` and rate it, all driven by
`depths.estimate_depths`; match each photo again with the `consensus` of its neighbours' maps among the candidates, and
keep what passes the check of `consistency`, driven by `geometric.match_again`; `fuse` the maps, where the `ground` has
no depth with that of its plane, into one cloud. `colmap` runs COLMAP's own CUDA patch-match in place of the middle
steps.
"""
