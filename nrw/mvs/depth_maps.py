"""Depth maps of photos as the geometric passes use them."""

from dataclasses import dataclass

import torch

from nrw.geometry.cameras import Camera


@dataclass(frozen=True)
class DepthMap:
    """A photo's surface. depth: (H, W) z, world units, 0 = none. normals: (H, W, 3). Both in the camera."""

    depth: torch.Tensor
    normals: torch.Tensor
    camera: Camera

    @property
    def inverse(self) -> torch.Tensor:
        """(H, W) inverse depth, 0 = none."""
        return torch.where(self.depth > 0, 1 / self.depth, 0.0)


def intrinsics(cameras: list[Camera], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal lengths and principal points, (2, N) each: of x and y, pixels."""
    values = [((camera.fx, camera.cx), (camera.fy, camera.cy)) for camera in cameras]
    focal, center = torch.tensor(values, dtype=torch.float32, device=device).permute(2, 1, 0)
    return focal, center
