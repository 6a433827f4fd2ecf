"""The backend `colmap`: COLMAP's own patch-match stereo on a CUDA GPU (Schönberger et al. 2016), in the same workspace.

It writes the same geometric maps as the last pass of `geometric`, so that `fuse` serves both backends.
"""

import logging
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from nrw.core.errors import UserError
from nrw.mvs.workspace import Workspace, read_map, read_unmasked, write_map

logger = logging.getLogger(__name__)

GET_IT = (
    "mvs.backend: colmap needs COLMAP with CUDA, and found neither a pycolmap built with CUDA nor a `colmap` executable"
    " with CUDA on PATH. Install one (https://colmap.github.io/install.html; pip's pycolmap-cuda12 has CUDA), or set"
    " mvs.backend: torch, which needs no GPU"
)


def patch_match(mvs_dir: Path | str, segmentation_dir: Path | str | None, *, masked: Iterable[int] = ()) -> None:
    """Write the geometric depth and normal maps of all photos with COLMAP; pixels of `masked` labels get no depth.

    Raises UserError if there is no COLMAP with CUDA, if COLMAP fails, or if it writes no map for a photo.
    """
    workspace = Workspace(Path(mvs_dir))
    segmentation_dir = None if segmentation_dir is None else Path(segmentation_dir)
    masked = frozenset(masked)
    _run_colmap(workspace)
    for photo_id, camera in workspace.cameras.items():
        keep = read_unmasked(segmentation_dir, photo_id, masked, camera)
        for path in (workspace.depth_map(photo_id, "geometric"), workspace.normal_map(photo_id, "geometric")):
            values = read_map(path)
            if values.shape[:2] != keep.shape:
                raise UserError(
                    f"{path}: {values.shape[:2]} pixels, expected {keep.shape}; delete {mvs_dir} and run again"
                )
            write_map(path, np.where(keep if values.ndim == 2 else keep[..., None], values, 0))


def _run_colmap(workspace: Workspace) -> None:
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
    logger.info("running %s", command)
    result = subprocess.run(command, check=False)
    if result.returncode != 0:
        raise UserError(f"{' '.join(command)} ended with exit status {result.returncode}; its messages are above")


def require_cuda() -> None:
    """Raises UserError if there is no COLMAP with CUDA on this machine."""
    if not pycolmap.has_cuda:
        _colmap_with_cuda()


def _colmap_with_cuda() -> str:
    """The path of a `colmap` executable built with CUDA. Raises UserError if there is none."""
    executable = shutil.which("colmap")
    if executable is None:
        raise UserError(GET_IT)
    banner = subprocess.run([executable, "help"], capture_output=True, text=True, check=False).stdout
    if "with CUDA" not in banner:
        raise UserError(f"{GET_IT} ({executable} is a COLMAP without CUDA)")
    return executable
