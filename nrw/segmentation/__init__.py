"""Stage 3, ADE20K labels of the undistorted photos.

`model_files` checks a model by its files, `hub` fetches it, `segmenter` labels a photo with it, `labels` all of them.
"""
