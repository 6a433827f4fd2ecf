"""Stage 8, the photos' own detail, which neither points nor a small network can hold.

`painting`: a photo's view in its own light, at the size of the pictures, without learning. `residuals`: what the photo
shows beyond that. `sources`: photos chosen for a view. `warp`: their residuals carried over to it and blended.
`training`: the same for the photos themselves, each from others only, for the networks to learn from. `skies`: the sky
of a photo, for views in its light.
"""
