"""The database of features."""

import pycolmap
from corner_scene import FOCAL, WIDTH


def test_cameras_take_focal_lengths_from_the_table(scene):
    database = pycolmap.Database.open(scene / "features.db")
    images = database.read_all_images()
    assert [image.name for image in images] == [f"{number:04}.jpg" for number in range(14)]
    cameras = [database.read_camera(image.camera_id) for image in images]
    database.close()
    assert len({camera.camera_id for camera in cameras}) == 14
    assert all(camera.model == pycolmap.CameraModelId.SIMPLE_RADIAL for camera in cameras)
    assert [camera.has_prior_focal_length for camera in cameras] == [True] * 2 + [False] * 12
    assert [camera.focal_length for camera in cameras] == [FOCAL] * 2 + [1.2 * WIDTH] * 12
