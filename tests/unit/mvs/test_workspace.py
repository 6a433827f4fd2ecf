"""The maps on disk against COLMAP's own reader, and which pixels count."""

import numpy as np
import pycolmap
import pytest
from mvs_scene import HEIGHT, SKY, WIDTH, camera_at, write_workspace

from nrw.core.errors import UserError
from nrw.core.io import write_image
from nrw.mvs.workspace import Workspace, read_keep, read_map, read_unmasked, write_map


def test_maps_are_colmaps(tmp_path):
    rng = np.random.default_rng(0)
    depth, normal = rng.random((5, 7), np.float32), rng.random((5, 7, 3), np.float32)
    write_map(tmp_path / "depth.bin", depth)
    write_map(tmp_path / "normal.bin", normal)
    theirs = pycolmap.DepthMap()
    theirs.read(str(tmp_path / "depth.bin"))
    np.testing.assert_array_equal(theirs.to_array(), depth)
    theirs = pycolmap.NormalMap()
    theirs.read(str(tmp_path / "normal.bin"))
    # `to_array` has the right shape but the file's order, one channel after the other; fusion reads it as we write it
    np.testing.assert_array_equal(theirs.to_array().reshape(3, 5, 7), normal.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_map(tmp_path / "normal.bin"), normal)

    (tmp_path / "depth.bin").write_bytes((tmp_path / "depth.bin").read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated"):
        read_map(tmp_path / "depth.bin")
    (tmp_path / "depth.bin").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="not a COLMAP map"):
        read_map(tmp_path / "depth.bin")
    with pytest.raises(UserError, match="missing"):
        read_map(tmp_path / "nothing.bin")


@pytest.fixture
def workspace(tmp_path):
    cameras = {photo_id: camera_at((0, 0, 0)) for photo_id in ("0000", "0001")}
    pictures = {photo_id: np.full((HEIGHT, WIDTH), 90, np.uint8) for photo_id in cameras}
    write_workspace(tmp_path / "mvs", cameras, pictures, np.array([[0, 0, 5.0]]))
    return Workspace(tmp_path / "mvs")


def top(value, below=0):
    picture = np.full((HEIGHT, WIDTH), below, np.uint8)
    picture[:20] = value
    return picture


def test_labels_tell_what_counts_and_without_them_the_sky_mask(workspace, tmp_path):
    labels = tmp_path / "segmentation"
    write_image(labels / "0000.png", top(SKY, below=2))
    write_image(workspace.sky_mask("0000"), np.full((HEIGHT, WIDTH), 255, np.uint8))  # of an earlier run without labels
    kept = read_keep(workspace, labels, "0000", frozenset({SKY}))
    assert not kept[:20].any() and kept[20:].all()
    assert read_keep(workspace, labels, "0000", frozenset()).all()

    write_image(workspace.sky_mask("0000"), top(255))
    kept = read_keep(workspace, None, "0000", frozenset({SKY}))
    assert not kept[:20].any() and kept[20:].all()
    assert read_keep(workspace, None, "0001", frozenset({SKY})).all()  # it has no mask


def test_matching_does_not_see_sky_masks(workspace):
    write_image(workspace.sky_mask("0000"), top(255))
    assert read_unmasked(None, "0000", frozenset({SKY}), workspace.cameras["0000"]).all()


def test_a_sky_mask_of_another_size_is_named(workspace):
    write_image(workspace.sky_mask("0000"), np.zeros((5, 5), np.uint8))
    with pytest.raises(UserError, match=r"0000.png: \(5, 5\) pixels"):
        read_keep(workspace, None, "0000", frozenset())
