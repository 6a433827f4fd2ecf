"""Stage 4, dense multi-view stereo in COLMAP's workspace format, with or without a GPU.

The steps in order:

- `undistort.undistort` the photos.
- `photometric.photometric_depths`, for each photo: select its `sources`; `sweep` planes that face the camera and level
  planes for the ground, scored by a `matcher` of `gray_views`; aggregate the costs along 8 directions (`sgm`); take the
  better of the two per pixel; `refine` the depth map scale by scale with local `planes`, and rate it.
- `geometric.match_with_neighbours`, for each photo and pass: match again with the `consensus` of the neighbours' maps
  among the candidates, and keep the depths that pass the check of `consistency`.
- `sky.mask_sky`, for each photo without labels: what no photo has a depth for, and looks like it (`sky_colors`).
- `fuse.fuse_depths` the maps into a `surface` (a triangle mesh) and, where there is none, loose points; with the
  `ground` plane where the ground has no depth (`ground_mesh`): the `ground_plane` that most matched ground lies on,
  where labels or, without them, the photos' agreement (`ground_support`) show it; with a `backdrop` for what stands
  beyond.

`colmap.patch_match` runs COLMAP's own CUDA patch-match in place of the two middle steps. `workspace` knows the paths
and the format of the maps. The passes compute on one device, in `batches` as large as it likes, with the neighbours'
`depth_maps` on it, and leave it only to write their results.
"""
