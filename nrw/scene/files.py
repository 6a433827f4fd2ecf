"""Where the files of a scene are."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nrw.core.errors import UserError
from nrw.geometry.pointcloud import Cloud, read_cloud


def read_colored_cloud(cloud_ply: Path | str, colors_npy: Path | str) -> Cloud:
    """The cloud in the colours gathered from the training photos. Raises UserError where the two do not fit."""
    cloud = read_cloud(cloud_ply)
    colors = np.load(colors_npy, allow_pickle=False)
    if len(colors) != len(cloud):
        raise UserError(
            f"{cloud_ply} has {len(cloud)} points, {colors_npy} has {len(colors)} colours: they are of different runs; "
            f"delete {colors_npy} and run the workflow again"
        )
    return replace(cloud, colors=colors)
