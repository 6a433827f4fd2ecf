"""SIFT features of the photos, as a COLMAP database."""

import logging
from pathlib import Path

import pycolmap

from nrw.core.io import atomic_path
from nrw.core.progress import progress
from nrw.sfm.database import image_name, usable_photos

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
    """SIFT features of the photos marked `ok` in `photos_csv`, as a COLMAP database.

    Runs on the CPU; the result does not depend on `threads`.
    Each photo gets a SIMPLE_RADIAL camera of its own; where `photos_csv` has a focal length it is the camera's prior.
    max_size: pixels, longer side that SIFT sees. max_features: keypoints a photo, coarsest first (one with two
    orientations counts once, so that more rows can result).
    """
    photos = usable_photos(photos_csv)
    names = [image_name(id) for id in photos]
    with atomic_path(database_out) as path:
        pycolmap.Database.open(path).close()
        # Images are entered before extraction, in order, because threads would number them in the order they finish in
        pycolmap.import_images(path, images_dir, pycolmap.CameraMode.PER_IMAGE, names)
        database = pycolmap.Database.open(path)
        for id, photo in photos.items():
            if photo["focal_px"]:
                camera = database.read_camera(database.read_image_with_name(image_name(id)).camera_id)
                camera.focal_length = float(photo["focal_px"])
                camera.has_prior_focal_length = True
                database.update_camera(camera)
        database.close()

        options = pycolmap.FeatureExtractionOptions(use_gpu=False, num_threads=threads, max_image_size=max_size)
        options.sift.max_num_features = max_features
        for name_batch in progress(*_batches(names, 4 * threads), "features, batches of photos"):
            pycolmap.extract_features(
                path, images_dir, name_batch, pycolmap.CameraMode.PER_IMAGE, extraction_options=options
            )
        database = pycolmap.Database.open(path)
        logger.info("features: %d photos, %d keypoints", database.num_images(), database.num_keypoints())
        database.close()


def _batches(items: list, size: int) -> tuple[list[list], int]:
    """The items cut into lists of `size`, and how many lists those are."""
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    return batches, len(batches)
