"""Photos of a synthetic wall, taken from nine places, as the rules before `color_cloud` leave them."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image

from nrw.framebuffers.observations import Observations, sample_photos
from nrw.framebuffers.rasters import rasterize_photos
from nrw.geometry.cameras import Camera, read_cameras
from nrw.geometry.pointcloud import Cloud, write_cloud

WIDTH, HEIGHT = 160, 120


def write_scene(
    root: Path, cloud: Cloud, count: int, shoot: Callable[[str, Camera], tuple[np.ndarray, np.ndarray]]
) -> list[str]:
    """Write mvs/, segmentation/ and framebuffers/ of `count` photos, which look along z; returns their ids.

    shoot: of id and camera, the picture (H, W, 3), 0 to 255, and the labels (H, W) uint8.
    """
    mvs, segmentation = root / "mvs", root / "segmentation"
    for folder in (mvs / "images", mvs / "sparse", segmentation):
        folder.mkdir(parents=True)
    model = pycolmap.Reconstruction()
    lens = pycolmap.Camera(camera_id=1, model="PINHOLE", width=WIDTH, height=HEIGHT, params=[150, 150, 80, 60])
    model.add_camera_with_trivial_rig(lens)
    for i in range(count):
        center = np.array([0.5 * (i % 3 - 1), 0.4 * (i // 3 % 3 - 1), 0])
        image = pycolmap.Image(name=f"{i:04d}.jpg", camera_id=1, image_id=i + 1)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(), -center))
    model.write(mvs / "sparse")
    for photo_id, camera in read_cameras(mvs / "sparse").items():
        picture, labels = shoot(photo_id, camera)
        picture = Image.fromarray(np.rint(picture).astype(np.uint8))
        picture.save(mvs / "images" / f"{photo_id}.jpg", quality=98, subsampling=0)
        Image.fromarray(labels).save(segmentation / f"{photo_id}.png")
    write_cloud(mvs / "cloud.ply", cloud)
    ids = [f"{i:04d}" for i in range(count)]
    options = {"max_size": WIDTH, "scale": 1, "splat": 3, "backend": "torch", "device": "cpu"}
    rasterize_photos(mvs / "cloud.ply", mvs, root / "framebuffers", ids, root / "key.json", **options)
    return ids


def observe(root: Path, ids: list[str], masked: Iterable[int] = (), segmentation: bool = True) -> Observations:
    """Sample these photos of a scene that `write_scene` wrote."""
    labels, folder = root / "segmentation" if segmentation else None, Path(tempfile.mkdtemp(dir=root))
    return sample_photos(
        *(root / "mvs/cloud.ply", root / "framebuffers", root / "mvs", labels, ids, folder),
        masked=masked,
        threads=2,
    )
