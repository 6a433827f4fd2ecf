"""Photos as the matching uses them: gray values, a mask of what may match, and the camera."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from nrw.core.io import read_image
from nrw.geometry.cameras import Camera
from nrw.mvs.sources import SparseScene
from nrw.mvs.workspace import Workspace, read_unmasked

LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601


@dataclass(frozen=True)
class GrayView:
    """A photo at some scale.

    pixels: (H, W) float32 gray values in [0, 1]. keep: (H, W) float32, 0 where masked, else 1.
    """

    pixels: torch.Tensor
    keep: torch.Tensor
    camera: Camera

    def resized(self, width: int, height: int) -> "GrayView":
        """The view at a smaller size (antialiased)."""
        if (width, height) == (self.camera.width, self.camera.height):
            return self
        both = torch.stack([self.pixels, self.keep])[None]
        both = F.interpolate(both, (height, width), mode="bilinear", antialias=True, align_corners=False)[0]
        return GrayView(both[0].contiguous(), (both[1] > 0.5).float(), self.camera.resized(width, height))

    def scaled(self, factor: float) -> "GrayView":
        """The view at `factor` times its size, but at least 8 pixels wide and high."""
        size = (max(8, round(side * factor)) for side in (self.camera.width, self.camera.height))
        return self.resized(*size)

    def no_finer_than(self, other: "GrayView", depth: float) -> "GrayView":
        """The view, shrunk where needed so that it samples a surface at `depth` of `other` no finer than `other`."""
        surface = other.camera.center + depth * other.camera.rotation[2]
        own_depth = self.camera.project(surface[None])[1][0]
        if own_depth <= 0:
            return self
        return self.scaled(min(1.0, (other.camera.fx / depth) / (self.camera.fx / own_depth)))


@dataclass(frozen=True)
class Photos:
    """The photos of a workspace that are matched with one another, as the matching reads them.

    masked: labels (0-255) whose pixels do not match. scene: who sees what. device: of the views.
    """

    workspace: Workspace
    segmentation_dir: Path | None
    masked: frozenset[int]
    scene: SparseScene
    device: torch.device

    def view(self, photo_id: str) -> GrayView:
        """Read an undistorted photo and, if there are labels, its label map."""
        return read_gray_view(self.workspace, self.segmentation_dir, self.masked, photo_id, self.device)


def read_gray_view(
    workspace: Workspace, segmentation_dir: Path | None, masked: frozenset[int], photo_id: str, device: torch.device
) -> GrayView:
    """Read an undistorted photo without the pixels whose label is in `masked`. Raises UserError as `read_unmasked`."""
    camera = workspace.cameras[photo_id]
    pixels = torch.from_numpy(read_image(workspace.image(photo_id))).to(device).float() / 255  # (H, W, 3)
    gray = pixels @ torch.tensor(LUMA, device=device) if pixels.ndim == 3 else pixels
    keep = torch.from_numpy(read_unmasked(segmentation_dir, photo_id, masked, camera)).to(device).float()
    return GrayView(gray, keep, camera)
