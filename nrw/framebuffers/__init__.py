"""Stage 5, the cloud as each photo's camera sees it.

`rasters`: one point per pixel. `undistorted`: photos and labels at that size. `observations`: the photos' samples of
the points, from which `recolor` and `lighting` come. `aligned`: the PNGs in the format of 2019.
"""
