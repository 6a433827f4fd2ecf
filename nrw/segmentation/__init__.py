"""Stage 3, ADE20K labels of the undistorted photos: `segmenter` labels a photo, `labels` all of them."""
