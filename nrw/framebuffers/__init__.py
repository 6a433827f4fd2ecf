"""Stage 5, the cloud as each photo's camera sees it: `rasters`, then colours (`observations`, `recolor`) and light
(`lighting`) of the points, then the PNGs of the aligned format (`aligned`).
"""
