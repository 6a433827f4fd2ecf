"""The photographed skies of the photos that a view takes its light from: clouds, at infinity.

They are looked up by direction alone. Around what a photo shows of its sky it is continued smoothly; a fit to that
part, as it is painted elsewhere (`models.terms`), runs away from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion
from torch import Tensor

from nrw.core.device import constant
from nrw.dataset.packed import PackedDataset, View, known_camera
from nrw.detail.painting import continued
from nrw.detail.warp import lift
from nrw.framebuffers.undistorted import nearest, read_photo
from nrw.geometry.cameras import Camera
from nrw.mvs.workspace import Workspace, read_keep

KEPT = 4  # skies in memory; a view blends two
MARGIN = 3  # pixels of the networks' size around what is not sky that are not trusted: outlines, branches
ENOUGH = 0.01  # of a photo's pixels must show sky
FADING = 0.3  # cosine of the angle to the photo's axis below which its sky gives way to the painted one


@dataclass(frozen=True)
class Sky:
    """A photo's sky, continued to all sides. camera: of its pixels. color: (1, 3, H, W) float32, [-1, 1]."""

    camera: Camera
    color: Tensor


class Skies:
    """The skies of a scene's photos, each made when it is asked for.

    workspace_dir: has the sky masks of photos without labels. photos_dir: undistorted photos. scale: how many times
    larger than the networks' buffer skies are.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        workspace_dir: Path,
        photos_dir: Path,
        scale: int,
        device: torch.device | str = "cpu",
    ):
        self.dataset, self.scale, self.device = dataset, scale, torch.device(device)
        self.workspace_dir, self.photos_dir = workspace_dir, photos_dir
        self._sky = lru_cache(maxsize=KEPT)(self._read)

    def look_up(self, camera: Camera, pixel: Tensor, shares: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """The photos' skies behind pixels (M,), numbered row by row, of a view.

        shares: of the photos, by id, in the view's light, sum 1. Returns colors (3, M), [-1, 1], already times their
        weights (M,), which are 0 where no photo knows the sky, to 1.
        """
        rays = lift(camera, pixel, torch.ones(len(pixel), device=pixel.device))
        rays = rays - constant(camera.center[:, None], pixel.device)
        color, weight = torch.zeros(3, len(pixel), device=pixel.device), torch.zeros(len(pixel), device=pixel.device)
        for photo_id, share in shares.items():
            sky = self._sky(photo_id)
            if sky is not None:
                found, known = look_up(sky, rays)
                color.addcmul_(found, known, value=share)
                weight.add_(known, alpha=share)
        return color, weight

    def _read(self, photo_id: str) -> Sky | None:
        """A photo's sky; None where it shows too little of it."""
        view = self.dataset.view(photo_id)
        shown = sky_of(view, self.dataset.meta["sky"], self.workspace_dir)
        if shown.mean() < ENOUGH:
            return None
        known = torch.from_numpy(shown).float()[None, None].to(self.device)
        known = known.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        height, width = known.shape[2:]
        photo = torch.from_numpy(read_photo(self.photos_dir / f"{photo_id}.jpg", width, height)).to(self.device)
        x, y = width // 2, height // 2
        pixels, known = (F.pad(some, (x, x, y, y)) for some in (photo.movedim(2, 0)[None] / 127.5 - 1, known))
        return Sky(_padded(known_camera(view).resized(width, height), x, y), continued(pixels * known, known))


def sky_of(view: View, sky: Sequence[int], workspace_dir: Path) -> np.ndarray:
    """(h, w) bool: the pixels of a photo, at the networks' size, that show sky for certain.

    By its labels, or its sky mask where there are none; neither counts where a surface is seen.
    """
    labels = np.asarray(view.labels)
    if labels.any():
        shown = np.isin(labels, sky)
    else:
        keep = read_keep(Workspace(workspace_dir), None, view.id, frozenset())
        shown = ~nearest(keep, labels.shape[1], labels.shape[0])
    shown = shown & (np.asarray(view.depth[0]) == 0)
    return binary_erosion(shown, iterations=MARGIN, border_value=1)


def _padded(camera: Camera, x: int, y: int) -> Camera:
    """The camera of a picture with a border of x and y pixels."""
    return Camera(
        camera.width + 2 * x, camera.height + 2 * y, camera.fx, camera.fy, camera.cx + x, camera.cy + y,
        camera.cam_from_world,
    )  # fmt: skip


def look_up(sky: Sky, rays: Tensor) -> tuple[Tensor, Tensor]:
    """The colors (3, M) of a sky in directions (3, M), of any length, in the world, and how much they count (M,)."""
    rotation = constant(sky.camera.rotation, rays.device)
    x, y, z = rotation @ rays
    camera = sky.camera
    known = (z / rays.square().sum(dim=0).sqrt() / FADING).clamp(0, 1)
    z = z.clamp_min(1e-6)
    u, v = (x / z * camera.fx + camera.cx) / camera.width, (y / z * camera.fy + camera.cy) / camera.height
    grid = torch.stack([u, v], dim=1).clamp(0, 1)[None, None] * 2 - 1
    return F.grid_sample(sky.color, grid, align_corners=False, padding_mode="border")[0, :, 0], known
