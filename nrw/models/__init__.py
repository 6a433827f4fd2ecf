"""The networks: what they see (`inputs`), ours, those of 2019 (`paper2019`), and VGG16 (`perceptual`)."""
