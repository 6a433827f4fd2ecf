"""SIFT features of the photos, as a COLMAP database."""

import logging
from pathlib import Path

import pycolmap

from nrw.core.io import atomic_path
from nrw.core.progress import progress
from nrw.sfm.database import image_name, opened, usable_photos

logger = logging.getLogger(__name__)


def extract_features(
    images_dir: Path | str,
    photos_csv: Path | str,
    database_out: Path | str,
    *,
    max_size: int,
    max_features: int,
    threads: int,
) -> None:
    """Write a COLMAP database with the SIFT features of the photos marked `ok` in `photos_csv`.

    Each photo gets a SIMPLE_RADIAL camera of its own; a focal length in `photos_csv` becomes the camera's prior.
    max_size: pixels, longer side of the picture that SIFT works on. max_features: keypoints per photo, coarsest first
    (a keypoint with two orientations counts once, so there may be more rows).
    Runs on the CPU; the result does not depend on `threads`.
    """
    photos = usable_photos(photos_csv)
    names = [image_name(photo_id) for photo_id in photos]
    with atomic_path(database_out) as path:
        pycolmap.Database.open(path).close()
        # before extraction, whose threads would number the images in the order in which they finish
        pycolmap.import_images(path, images_dir, pycolmap.CameraMode.PER_IMAGE, names)
        _set_focal_lengths(path, photos)

        options = pycolmap.FeatureExtractionOptions(use_gpu=False, num_threads=threads, max_image_size=max_size)
        options.sift.max_num_features = max_features
        size = 4 * threads
        batches = [names[start : start + size] for start in range(0, len(names), size)]
        for batch in progress(batches, len(batches), "features, batches of photos"):
            pycolmap.extract_features(
                path, images_dir, batch, pycolmap.CameraMode.PER_IMAGE, extraction_options=options
            )
        with opened(path) as database:
            logger.info("features: %d photos, %d keypoints", database.num_images(), database.num_keypoints())


def _set_focal_lengths(path: Path, photos: dict[str, dict[str, str]]) -> None:
    """Give the cameras the focal lengths from EXIF as priors."""
    with opened(path) as database:
        camera_ids = {image.name: image.camera_id for image in database.read_all_images()}
        for photo_id, photo in photos.items():
            if photo["focal_px"]:
                camera = database.read_camera(camera_ids[image_name(photo_id)])
                camera.focal_length = float(photo["focal_px"])
                camera.has_prior_focal_length = True
                database.update_camera(camera)
