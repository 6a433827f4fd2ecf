"""The networks, their inputs and their losses.

`inputs` turns views into tensors, `detail_channels` the detail of source photos, `points` holds channels of the cloud.
`terms` are what a photo's colours are linear in. The networks are `appearance` (the encoder), `generator` (the
renderer), `discriminator` and `completion` (labels), with `layers` in common, and those of 2019 (`paper2019`); `build`
puts them together. `losses` and `perceptual` (VGG16) are what they are trained with, `weights` their files.
"""
