"""Stage 3, ADE20K labels of the undistorted photos: a `segmenter` writes the label maps that `labels` counts."""
