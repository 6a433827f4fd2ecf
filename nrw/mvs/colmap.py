"""The backend `colmap`: COLMAP's own patch-match stereo on a CUDA GPU (Schönberger et al. 2016), in the same workspace.

It leaves the same geometric maps as `depths` and `consistency`, so that `fuse` is the same for both backends.
"""

import logging
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from nrw.core.errors import UserError
from nrw.mvs.workspace import Workspace, read_map, read_usable, write_map

log = logging.getLogger(__name__)

GET_IT = (
    "mvs.backend: colmap needs COLMAP with CUDA, and found neither a pycolmap built with CUDA nor a `colmap` executable"
    " with CUDA on PATH. Install one (https://colmap.github.io/install.html; pip's pycolmap-cuda12 has CUDA), or set"
    " mvs.backend: torch, which needs no GPU"
)


def estimate_depths_colmap(
    mvs_dir: Path | str, segmentation_dir: Path | str | None, *, masked: Iterable[int] = ()
) -> None:
    """Write the geometric depth and normal maps of all photos with COLMAP; pixels of `masked` labels get no depth.

    Raises UserError if there is no COLMAP with CUDA, if COLMAP fails, or if it leaves a photo without a map.
    """
    workspace = Workspace(Path(mvs_dir))
    _patch_match(workspace)
    for photo, camera in workspace.cameras.items():
        usable = read_usable(
            None if segmentation_dir is None else Path(segmentation_dir), photo, frozenset(masked), camera
        )
        for path in (workspace.depth_map(photo, "geometric"), workspace.normal_map(photo, "geometric")):
            values = read_map(path)
            if values.shape[:2] != usable.shape:
                raise UserError(
                    f"{path}: {values.shape[:2]} pixels, expected {usable.shape}; delete {mvs_dir} and run again"
                )
            write_map(path, np.where(usable if values.ndim == 2 else usable[..., None], values, 0))


def _patch_match(workspace: Workspace) -> None:
    if pycolmap.has_cuda:
        pycolmap.patch_match_stereo(str(workspace.root))
        return
    executable = _colmap_with_cuda()
    command = [
        executable,
        "patch_match_stereo",
        "--workspace_path",
        str(workspace.root),
        "--workspace_format",
        "COLMAP",
    ]
    log.info("running %s", command)
    result = subprocess.run(command, check=False)
    if result.returncode != 0:
        raise UserError(f"{' '.join(command)} ended with exit status {result.returncode}; its messages are above")


def _colmap_with_cuda() -> str:
    """The path of a `colmap` that says it has CUDA. Raises UserError if there is none."""
    executable = shutil.which("colmap")
    if executable is None:
        raise UserError(GET_IT)
    banner = subprocess.run([executable, "help"], capture_output=True, text=True, check=False).stdout
    if "with CUDA" not in banner:
        raise UserError(f"{GET_IT} ({executable} is a COLMAP without CUDA)")
    return executable
