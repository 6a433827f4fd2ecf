"""A photo as the matching sees it: grey values, what of it may match, and its camera."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from nrw.core.io import read_image
from nrw.geometry.cameras import Camera
from nrw.mvs.workspace import Workspace, read_usable


@dataclass(frozen=True)
class View:
    """A photo at some scale. image: (H, W) float32 grey in [0, 1]; usable: (H, W) float32, 0 where masked, else 1."""

    image: torch.Tensor
    usable: torch.Tensor
    camera: Camera

    def resized(self, width: int, height: int) -> "View":
        """The view at a smaller size (antialiased)."""
        if (width, height) == (self.camera.width, self.camera.height):
            return self
        both = torch.stack([self.image, self.usable])[None]
        both = F.interpolate(both, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
        return View(both[0].contiguous(), (both[1] > 0.5).float(), self.camera.resized(width, height))

    def scaled(self, factor: float) -> "View":
        size = (max(8, round(side * factor)) for side in (self.camera.width, self.camera.height))
        return self.resized(*size)

    def no_finer_than(self, other: "View", depth: float) -> "View":
        """The view, shrunk so that its pixels are no finer than the other's on a surface at `depth` before that."""
        surface = other.camera.center + depth * other.camera.rotation[2]
        own_depth = self.camera.project(surface[None])[1][0]
        if own_depth <= 0:
            return self
        return self.scaled(min(1.0, (other.camera.fx / depth) / (self.camera.fx / own_depth)))


def read_view(
    workspace: Workspace, segmentation_dir: Path | None, masked: frozenset[int], photo: str, device: torch.device
) -> View:
    """An undistorted photo; its pixels whose label is one of `masked` are not usable."""
    camera = workspace.cameras[photo]
    pixels = torch.from_numpy(read_image(workspace.image(photo))).to(device).float() / 255  # (H, W, 3)
    grey = pixels @ torch.tensor([0.299, 0.587, 0.114], device=device) if pixels.ndim == 3 else pixels
    usable = torch.from_numpy(read_usable(segmentation_dir, photo, masked, camera)).to(device).float()
    return View(grey, usable, camera)
