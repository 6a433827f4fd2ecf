"""The photos that lend a view their detail: stored residuals, and the choice among them."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nrw.core.device import constant
from nrw.core.errors import UserError
from nrw.detail.residuals import load_residual, residual_path
from nrw.detail.warp import ANGLE, COARSENESS, COARSEST, Places, Source, blend, lift, warp
from nrw.framebuffers.rasters import load_buffer
from nrw.geometry.cameras import Camera
from nrw.models.detail_channels import DETAIL

CHOSEN = 6  # photos per view
PLACES = 256  # of the view's pixels, that the choice rests on
KEPT = 16  # sources in memory: a camera path comes back to them
LEAVING = 1.0  # a photo whose score exceeds the best one not chosen by less than this share has less weight


class Sources:
    """The residuals in a scene's folder `detail`, ready for views.

    cameras: of the photos that may be sources, at the size of their residuals, by id. device: of the tensors.
    """

    def __init__(
        self, folder: Path, framebuffers_dir: Path, cameras: dict[str, Camera], device: torch.device | str = "cpu"
    ):
        self.folder, self.framebuffers_dir, self.device = folder, framebuffers_dir, torch.device(device)
        self.ids = sorted(cameras)
        missing = [photo_id for photo_id in self.ids if not residual_path(folder, photo_id).is_file()]
        if missing:
            raise UserError(
                f"{folder} lacks the detail of photos {', '.join(missing[:5])}; run `measure_residuals` again"
            )
        self._cameras = cameras
        rows = [_row(cameras[photo_id]) for photo_id in self.ids]
        self._table = torch.tensor(np.array(rows).reshape(-1, 21), dtype=torch.float32, device=self.device)
        self._source = lru_cache(maxsize=KEPT)(self._load)

    def detail(self, camera: Camera, depth: Tensor, without: Collection[str] = ()) -> tuple[Tensor, Tensor]:
        """The detail of a view with depths (H, W), 0 = none: (5, H, W) float32 (`models.detail_channels`), and (H, W).

        The second is the effective number of photos in each place (`blend`). without: ids of photos that must not be
        sources: the photo itself, where it is the one to be learned.
        """
        pixel = depth.flatten().nonzero().squeeze(1)
        points = lift(camera, pixel, depth.flatten().index_select(0, pixel))
        places = Places.of(points, camera)
        logs, weights = [], points.new_zeros(CHOSEN, len(pixel))
        for (photo_id, share), weight in zip(self.choose(camera, points, without), weights, strict=False):
            found, worth = warp(self._source(photo_id), places)
            logs.append(found)
            torch.mul(worth, share, out=weight)
        found, number = blend(logs, weights[: len(logs)])
        full = torch.zeros(DETAIL, depth.numel(), device=depth.device).scatter_(1, pixel.expand(DETAIL, -1), found)
        numbers = torch.zeros(depth.numel(), device=depth.device).scatter_(0, pixel, number)
        return full.view(DETAIL, *depth.shape), numbers.view(depth.shape)

    def choose(self, camera: Camera, points: Tensor, without: Collection[str] = ()) -> list[tuple[str, float]]:
        """Choose up to CHOSEN photos for a view of points (3, M): ids, and shares from 0 to 1 of their weights.

        A photo's score is how much it is worth (`warp`), summed over some of the points. The shares go to 0 where a
        photo is about to be replaced by another, so that along a camera path none appears or vanishes at once.
        """
        if not points.shape[1]:
            return []
        some = points[:, :: max(1, points.shape[1] // PLACES)].T
        scores = self._scores(camera, some)
        for number, photo_id in enumerate(self.ids):
            if photo_id in without:
                scores[number] = 0
        best, order = torch.sort(scores, descending=True)
        numbers, values = (some[: CHOSEN + 1].tolist() for some in (order, best))
        ranked = [(self.ids[number], value) for number, value in zip(numbers, values, strict=True)]
        limit = ranked[CHOSEN][1] if len(ranked) > CHOSEN else 0.0
        shares = [(photo_id, min(1.0, (score - limit) / max(LEAVING * limit, 1e-9))) for photo_id, score in ranked]
        return [(photo_id, share) for photo_id, share in shares[:CHOSEN] if share > 0]

    def _scores(self, camera: Camera, points: Tensor) -> Tensor:
        """(S,) of all photos. points: (M, 3)."""
        pose, center = self._table[:, :12].view(-1, 3, 4), self._table[:, 12:15]
        fx, fy, cx, cy, width, height = self._table[:, 15:].unsqueeze(2).unbind(1)  # each (S, 1)
        x, y, z = (torch.einsum("sij,mj->sim", pose[:, :, :3], points) + pose[:, :, 3:]).unbind(1)  # each (S, M)
        u, v = x / z * fx + cx, y / z * fy + cy
        inside = (z > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        eye = constant(camera.center, points.device)
        ours, theirs = points - eye, points - center[:, None]  # (M, 3), (S, M, 3)
        near, far = ours.norm(dim=1), theirs.norm(dim=2)
        cosine = (torch.einsum("mc,smc->sm", ours, theirs) / (near * far)).clamp(-1, 1)
        angle = torch.rad2deg(torch.arccos(cosine)) / ANGLE
        coarser = (far / fx / (near / camera.fx) - 1).clamp(0, COARSEST)
        return (inside * torch.exp(-(angle**2) - COARSENESS * coarser)).sum(dim=1)

    def _load(self, photo_id: str) -> Source:
        residual = load_residual(self.folder, photo_id).to(self.device)
        depth = load_buffer(self.framebuffers_dir, photo_id).depth.to(self.device)
        return Source(self._cameras[photo_id], residual, depth)


def _row(camera: Camera) -> list[float]:
    lens = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return [*camera.cam_from_world.ravel(), *camera.center, *lens]


def training_sources(
    folder: Path,
    framebuffers_dir: Path,
    cameras: dict[str, Camera],
    ids: Sequence[str],
    device: torch.device | str = "cpu",
) -> Sources:
    """The sources of the training photos `ids` alone. cameras: of all photos, at any size."""
    sized = {}
    for photo_id in ids:
        height, width = np.load(residual_path(folder, photo_id), mmap_mode="r").shape[:2]
        sized[photo_id] = cameras[photo_id].resized(width, height)
    return Sources(folder, framebuffers_dir, sized, device)
