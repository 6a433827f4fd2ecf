"""Stage 5, the cloud as each photo's camera sees it.

`rasters`: one point per pixel. `undistorted`: photos and labels at that size. `coloring`: colors (`recolor`) and
`lighting` of the points, from the photos' samples of them (`observations`). `aligned`: the PNGs in the format of 2019.
"""
