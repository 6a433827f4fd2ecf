"""Undistortion of a synthetic model into a workspace."""

import numpy as np
import pycolmap
import pytest
from PIL import Image

from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.mvs.sources import read_sparse, select_sources
from nrw.mvs.undistort import undistort
from nrw.mvs.workspace import Workspace, write_map


def test_undistort_and_select_on_a_synthetic_model(tmp_path):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 4, 2, 200
    model = pycolmap.synthesize_dataset(options)
    (tmp_path / "sfm").mkdir()
    for number, image in enumerate(model.images.values()):
        image.name = f"{number:04d}.jpg"
        write_image(tmp_path / f"images/{image.name}", np.full((768, 1024, 3), 100, np.uint8))
    model.write(str(tmp_path / "sfm"))
    undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=200)

    workspace = Workspace(tmp_path / "mvs")
    assert list(workspace.cameras) == [f"{number:04d}" for number in range(8)]
    for photo_id, camera in workspace.cameras.items():
        with Image.open(workspace.image(photo_id)) as image:
            assert image.size == (camera.width, camera.height) and max(image.size) == 200
    listed = (workspace.stereo / "fusion.cfg").read_text().split()
    assert listed == [f"{photo_id}.jpg" for photo_id in workspace.cameras]
    scene = read_sparse(workspace.sparse, workspace.cameras)
    for photo_id in workspace.cameras:
        sources = select_sources(scene, photo_id, 3)
        assert len(sources) == 3 and photo_id not in sources

    # a second run leaves nothing of the first
    write_map(workspace.depth_map("0000", "photometric"), np.zeros((5, 5)))
    undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=100)
    assert not workspace.depth_map("0000", "photometric").exists()
    (tmp_path / "images/0003.jpg").unlink()
    with pytest.raises(UserError, match=r"0003\.jpg"):
        undistort(tmp_path / "images", tmp_path / "sfm", tmp_path / "mvs", max_size=100)
    with pytest.raises(UserError, match="no COLMAP model"):
        undistort(tmp_path / "images", tmp_path / "nothing", tmp_path / "mvs", max_size=100)
