"""Stage 5, the scene as each photo's camera sees it.

`rasters`: the surface and points, rasterized at the size of the pictures. `undistorted`: photos and labels at such
sizes. `coloring`: colors (`recolor`) and `lighting` of the points, from the photos' samples of them (`observations`).
`levels`: what the networks see, at their sizes. `aligned`: the PNGs in the format of 2019.
"""
