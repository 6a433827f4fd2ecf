"""Photo-consistency of an inverse-depth map: each source is warped by the whole map and compared with the reference by
zero-mean normalised cross-correlation (ZNCC) in square windows; the score is the mean of the best few sources.

Since the whole map warps a source, windows follow slanted surfaces at one sample per pixel. Inverse depth is used
throughout: on any plane it is linear in the image, and equal steps of it are about equal steps of disparity.
"""

import numpy as np
import torch
import torch.nn.functional as F

from nrw.geometry.cameras import Camera
from nrw.mvs.gray_views import GrayView

GEOMETRIC_WEIGHT = 0.25  # bonus for full agreement, in units of the ZNCC
MAX_REPROJECTION_ERROR = 3.0  # pixels, from which on there is no bonus
NOISE = (1.5 / 255) ** 2  # variance of gray values added to each window's, so that windows without texture score low


class Matcher:
    """Scores inverse-depth maps of a reference view against its sources.

    best: number of sources, the best at each pixel, that the score is the mean of; in others the surface may be hidden.
    radius: pixels; windows are squares of 2 * radius + 1 pixels.
    """

    def __init__(self, reference: GrayView, sources: list[GrayView], best: int, radius: int):
        self.reference, self.best, self.radius = reference, min(best, len(sources)), radius
        height, width = reference.pixels.shape
        device = reference.pixels.device
        x = torch.arange(width, device=device) + 0.5
        y = torch.arange(height, device=device) + 0.5
        centers = torch.stack(
            [*torch.meshgrid(x, y, indexing="xy"), torch.ones(height, width, device=device)]
        )  # (3, H, W), homogeneous

        self._rays, self._shifts, self._sources = [], [], []
        for source in sources:
            a, b = _homography(reference.camera, source.camera)
            self._rays.append(torch.einsum("ij,jhw->ihw", torch.tensor(a, dtype=torch.float32, device=device), centers))
            self._shifts.append([float(value) for value in b])
            self._sources.append(torch.stack([source.pixels - 0.5, source.keep])[None])
        self._sizes = [(source.camera.width, source.camera.height) for source in sources]

        self._grid_x, self._grid_y = 2 * x / width - 1, (2 * y / height - 1)[:, None]
        self._gray = reference.pixels - 0.5
        self._count = self._sum(torch.ones_like(self._gray))
        self._mean = self._sum(self._gray) / self._count
        self._variance = (self._sum(self._gray.square()) / self._count - self._mean.square()).clamp_min(0) + NOISE

    def score(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """Score (B, H, W) inverse-depth maps: (B, H, W) in [0, 1], 1 where the best sources look like the reference.

        A source counts as 0 where it does not see the pixel, masks it, or is anti-correlated.
        """
        best = [torch.zeros_like(inverse_depth) for _ in range(self.best)]
        for source in range(len(self._sources)):
            _keep_best(best, self._similarity(source, inverse_depth))
        return torch.stack(best).mean(0)

    def _similarity(self, source: int, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(B, H, W) ZNCC of one source's windows, in [-1, 1]; 0 where it does not see the pixel or masks it."""
        gray, keep = self._warp(source, inverse_depth)
        mean = self._sum(gray) / self._count
        variance = (self._sum(gray.square()) / self._count).sub_(mean.square()).clamp_min_(0).add_(NOISE)
        covariance = (self._sum(gray * self._gray) / self._count).sub_(mean.mul_(self._mean))
        return covariance.mul_(variance.mul_(self._variance).rsqrt_()).mul_(keep)

    def bilateral_score(self, inverse_depth: torch.Tensor, radius: int, sigma_color: float) -> torch.Tensor:
        """Score one (H, W) map in windows whose pixels are weighted by how close they are to the centre's brightness.

        A pixel of sky beside a silhouette is then rated by sky alone. Weights as in COLMAP: Schönberger et al. 2016,
        "Pixelwise View Selection for Unstructured Multi-View Stereo", section 4.1. radius: pixels, of the windows.
        sigma_color: standard deviation of the weights, gray values in [0, 1].
        """
        warped = [self._warp(source, inverse_depth[None]) for source in range(len(self._sources))]
        padded = [_pad(gray[0], radius) for gray, _ in warped]
        reference = _pad(self._gray, radius)
        weights = torch.zeros_like(self._gray)
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        sums = [[torch.zeros_like(weights) for _ in range(3)] for _ in warped]
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                r = _shift(reference, radius, dx, dy)
                w = torch.exp(-((r - self._gray) / sigma_color).square_() / 2 - (dx**2 + dy**2) / (2 * radius**2))
                weights += w
                wr = w * r
                first += wr
                second.addcmul_(wr, r)
                for gray, (s1, s2, rs) in zip(padded, sums, strict=True):
                    s = _shift(gray, radius, dx, dy)
                    s1.addcmul_(w, s)
                    s2.add_(w * s * s)
                    rs.addcmul_(wr, s)
        first, second = first / weights, second / weights
        best = [torch.zeros_like(weights) for _ in range(self.best)]
        for (s1, s2, rs), (_, keep) in zip(sums, warped, strict=True):
            mean = s1 / weights
            variance = (s2 / weights - mean.square()).clamp_min(0) + NOISE
            covariance = rs / weights - mean * first
            own = (second - first.square()).clamp_min(0) + NOISE
            _keep_best(best, covariance * (own * variance).rsqrt() * keep[0])
        return torch.stack(best).mean(0)

    def disparity_rate(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(N, H, W): pixels that each source's projection moves per unit of inverse depth, at (H, W) inverse depths.

        0 where the point is behind the source.
        """
        rates = []
        for rays, shift, (width, height) in zip(self._rays, self._shifts, self._sizes, strict=True):
            x, y, z = (ray + inverse_depth * b for ray, b in zip(rays, shift, strict=True))
            dx = (shift[0] - x / z * shift[2]) / z * (width / 2)
            dy = (shift[1] - y / z * shift[2]) / z * (height / 2)
            rates.append(torch.where(z > 0, torch.hypot(dx, dy), 0.0))
        return torch.stack(rates)

    def _warp(self, source: int, inverse_depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Warp a source into the reference by (B, H, W) inverse depths: gray values - 0.5 and a 0/1 mask, (B, H, W)."""
        grid, depth = self._project(source, inverse_depth)
        gray, keep = _sample(self._sources[source], grid)
        return gray, ((keep > 0.5) & (depth > 0)).float()

    def _project(self, source: int, inverse_depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Project (B, H, W) inverse depths into a source: positions (B, H, W, 2) in grid_sample's units, and depths.

        The depths (B, H, W) are relative to the reference's; where not positive, the point is behind the source.
        """
        (x, y, z), (bx, by, bz) = self._rays[source], self._shifts[source]
        depth = torch.add(z, inverse_depth, alpha=bz)
        scale = depth.reciprocal()
        grid = inverse_depth.new_empty(*inverse_depth.shape, 2)
        torch.mul(torch.add(x, inverse_depth, alpha=bx), scale, out=grid[..., 0])
        torch.mul(torch.add(y, inverse_depth, alpha=by), scale, out=grid[..., 1])
        return grid, depth

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum (..., H, W) over the windows, which are cut off at the border: (..., H, W)."""
        radius = self.radius
        height, width = values.shape[-2:]
        padded = F.pad(values, (radius,) * 4)
        columns = padded[..., :height, :] + padded[..., 1 : height + 1, :]
        for offset in range(2, 2 * radius + 1):
            columns += padded[..., offset : height + offset, :]
        sums = columns[..., :width] + columns[..., 1 : width + 1]
        for offset in range(2, 2 * radius + 1):
            sums += columns[..., offset : width + offset]
        return sums


def _sample(maps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Sample (1, C, h, w) maps at (B, H, W, 2) positions in grid_sample's units: (C, B, H, W), 0 outside."""
    batch, height, width, _ = grid.shape
    # one tall picture instead of a batch, for which grid_sample would need a copy of the maps per grid
    sampled = F.grid_sample(maps, grid.view(1, batch * height, width, 2), align_corners=False)
    return sampled[0].view(-1, batch, height, width)


def _homography(reference: Camera, source: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) A and (3,) b: A (x, y, 1) + b / depth is the position of a reference pixel (x, y) in the source.

    It is homogeneous and in grid_sample's units, in which the photo spans -1 to 1.
    """
    rotation = source.rotation @ reference.rotation.T
    translation = source.cam_from_world[:, 3] - rotation @ reference.cam_from_world[:, 3]
    grid_from_pixel = np.array([[2 / source.width, 0, -1], [0, 2 / source.height, -1], [0, 0, 1]])
    projection = grid_from_pixel @ source.K
    return projection @ rotation @ np.linalg.inv(reference.K), projection @ translation


class GeometricMatcher(Matcher):
    """Scores as `Matcher`, and prefers depths that the sources' own depth maps confirm.

    Each source's ZNCC gets a bonus that falls with the forward-backward reprojection error, as in COLMAP (Schönberger
    et al. 2016, section 4.4, where it is a penalty).

    depths: per source, its inverse-depth map, 0 = none, of the source's size.
    """

    def __init__(
        self, reference: GrayView, sources: list[GrayView], best: int, radius: int, depths: list[torch.Tensor]
    ):
        super().__init__(reference, sources, best, radius)
        # per source: inverse depth, and 1 where there is one
        self._depths = [torch.stack([depth, (depth > 0).float()])[None] for depth in depths]
        self._back = []
        for source in sources:
            a, b = _homography(source.camera, reference.camera)
            width, height = source.camera.width / 2, source.camera.height / 2
            a = a @ [[width, 0, width], [0, height, height], [0, 0, 1]]  # from grid_sample's units
            self._back.append((a.tolist(), b.tolist()))

    def _similarity(self, source: int, inverse_depth: torch.Tensor) -> torch.Tensor:
        error = self._reprojection_error(source, inverse_depth)
        bonus = (1 - error / MAX_REPROJECTION_ERROR).clamp_min_(0).mul_(GEOMETRIC_WEIGHT)
        return super()._similarity(source, inverse_depth).add_(bonus)

    def _reprojection_error(self, source: int, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(B, H, W) pixels from each pixel to its position after projection into the source and back by its depth map.

        Infinite where the source has no depth.
        """
        there, depth = self._project(source, inverse_depth)
        found, known = _sample(self._depths[source], there)
        found = found / known  # mean of those of the four nearest pixels that have a depth
        u, v = there.unbind(-1)
        x, y, z = (a * u + b * v + c + shift * found for (a, b, c), shift in zip(*self._back[source], strict=True))
        height, width = self._gray.shape
        error = torch.hypot((x / z - self._grid_x) * (width / 2), (y / z - self._grid_y) * (height / 2))
        return torch.where((known > 0.5) & (z > 0) & (depth > 0), error, torch.inf)


def _keep_best(best: list[torch.Tensor], new: torch.Tensor) -> None:
    """Insert `new` into the descending per-pixel lists `best`, in place; the smallest value is dropped."""
    for place, value in enumerate(best):
        best[place], new = torch.maximum(value, new), torch.minimum(value, new)


def _pad(gray: torch.Tensor, radius: int) -> torch.Tensor:
    return F.pad(gray[None, None], (radius,) * 4, mode="replicate")[0, 0]


def _shift(padded: torch.Tensor, radius: int, dx: int, dy: int) -> torch.Tensor:
    height, width = padded.shape[0] - 2 * radius, padded.shape[1] - 2 * radius
    return padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
