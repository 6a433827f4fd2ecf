"""The maps on disk against COLMAP's own reader."""

import numpy as np
import pycolmap
import pytest

from nrw.core.errors import UserError
from nrw.mvs.workspace import read_map, write_map


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
