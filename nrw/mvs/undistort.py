"""Undistortion of the registered photos into a new dense workspace (COLMAP's image undistorter)."""

import shutil
from pathlib import Path

import pycolmap

from nrw.core.errors import UserError
from nrw.core.io import atomic_path


def undistort(images_dir: Path | str, sparse: Path | str, mvs_dir: Path | str, *, max_size: int) -> None:
    """Write `mvs_dir`: images/<id>.jpg, sparse/ with pinhole cameras, stereo/ with COLMAP's configuration.

    max_size: pixels, the maximum of the images' longer side.

    The folder is replaced as a whole, so that no depth map of earlier photos or poses remains.
    Raises UserError if there is no model, it has no registered photo, a photo's file is missing, or COLMAP does not
    undistort one.
    """
    if not (Path(sparse) / "cameras.bin").is_file():
        raise UserError(f"{sparse}: no COLMAP model; run the structure-from-motion stage (target sfm) first")
    model = pycolmap.Reconstruction(str(sparse))
    names = sorted(image.name for image in model.images.values() if image.has_pose)
    if not names:
        raise UserError(f"{sparse}: the model has no registered photo; see sfm/summary.txt for the reasons")
    missing = [name for name in names if not (Path(images_dir) / name).is_file()]
    if missing:
        raise UserError(
            f"{images_dir}: photos of the model are missing: {', '.join(missing[:5])}; run the photos stage again"
        )
    options = pycolmap.UndistortCameraOptions()
    options.max_image_size = max_size
    with atomic_path(mvs_dir) as temporary:
        pycolmap.undistort_images(
            str(temporary),
            str(sparse),
            str(images_dir),
            image_names=names,
            undistort_options=options,
            jpeg_quality=95,
            num_patch_match_src_images=20,
        )
        lost = [name for name in names if not (temporary / "images" / name).is_file()]
        if lost:
            raise UserError(f"{images_dir}: COLMAP could not undistort {', '.join(lost[:5])}; see the log")


def undistort_photos(images_dir: Path | str, sparse: Path | str, out_dir: Path | str, *, max_size: int) -> None:
    """Write the undistorted photos alone, <id>.jpg, at a size of their own. Arguments and errors: of `undistort`."""
    with atomic_path(out_dir) as temporary:
        temporary.mkdir()
        workspace = temporary / "workspace"
        undistort(images_dir, sparse, workspace, max_size=max_size)
        for photo in (workspace / "images").iterdir():
            photo.rename(temporary / photo.name)
        shutil.rmtree(workspace)
