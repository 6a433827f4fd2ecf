"""Photo-consistency of an inverse-depth map: each source warped by the whole map, compared by zero-mean normalised
cross-correlation (ZNCC) in square windows, the best few sources averaged.

Warping by the whole map lets windows follow slanted surfaces at one sample a pixel. Inverse depth is used throughout:
it is linear in the image on any plane, and equal steps of it are about equal steps of disparity.
"""

import numpy as np
import torch
import torch.nn.functional as F

from nrw.geometry.cameras import Camera
from nrw.mvs.views import View

GEOMETRIC_WEIGHT = 0.25  # what full agreement is worth, in units of the ZNCC
MAX_REPROJECTION_ERROR = 3.0  # pixels, from which on there is no agreement
NOISE = (1.5 / 255) ** 2  # variance of grey values, added to a window's own: windows without texture score low


class Matcher:
    """Scores inverse-depth maps of a reference view against its sources.

    best: how many sources, the best ones at each pixel, the score averages: surfaces are hidden in some photos.
    radius: pixels; windows have 2 * radius + 1 pixels a side.
    """

    def __init__(self, reference: View, sources: list[View], best: int, radius: int):
        self.reference, self.best, self.radius = reference, min(best, len(sources)), radius
        height, width = reference.image.shape
        device = reference.image.device
        x = torch.arange(width, device=device) + 0.5
        y = torch.arange(height, device=device) + 0.5
        pixels = torch.stack(
            [*torch.meshgrid(x, y, indexing="xy"), torch.ones(height, width, device=device)]
        )  # (3, H, W)

        self._rays, self._shifts, self._sources = [], [], []
        for source in sources:
            a, b = _homography(reference.camera, source.camera)
            self._rays.append(torch.einsum("ij,jhw->ihw", torch.tensor(a, dtype=torch.float32, device=device), pixels))
            self._shifts.append([float(value) for value in b])
            self._sources.append(torch.stack([source.image - 0.5, source.usable])[None])
        self._sizes = [(source.camera.width, source.camera.height) for source in sources]

        self._grid_x, self._grid_y = 2 * x / width - 1, (2 * y / height - 1)[:, None]
        self._image = reference.image - 0.5
        self._count = self._sum(torch.ones_like(self._image))
        self._mean = self._sum(self._image) / self._count
        self._variance = (self._sum(self._image.square()) / self._count - self._mean.square()).clamp_min(0) + NOISE

    def score(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """Score (B, H, W) inverse-depth maps: (B, H, W) in [0, 1], 1 = the best sources look alike.

        A source that does not see a pixel, or masks it, or is anti-correlated, counts as 0.
        """
        best = [torch.zeros_like(inverse_depth) for _ in range(self.best)]
        for source in range(len(self._sources)):
            _keep_best(best, self._similarity(source, inverse_depth))
        return torch.stack(best).mean(0)

    def _similarity(self, source: int, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(B, H, W) ZNCC of one source's windows, in [-1, 1]; 0 where it does not see the pixel or masks it."""
        image, usable = self._warp(source, inverse_depth)
        mean = self._sum(image) / self._count
        variance = (self._sum(image.square()) / self._count).sub_(mean.square()).clamp_min_(0).add_(NOISE)
        covariance = (self._sum(image * self._image) / self._count).sub_(mean.mul_(self._mean))
        return covariance.mul_(variance.mul_(self._variance).rsqrt_()).mul_(usable)

    def bilateral_score(self, inverse_depth: torch.Tensor, radius: int, sigma_color: float) -> torch.Tensor:
        """The score of one (H, W) map with windows in which only pixels of the centre's own brightness count.

        So a pixel of sky beside a silhouette is rated by sky alone. As COLMAP's weights: Schönberger et al. 2016,
        "Pixelwise View Selection for Unstructured Multi-View Stereo", section 4.1. sigma_color: grey, in [0, 1].
        """
        warped = [self._warp(source, inverse_depth[None]) for source in range(len(self._sources))]
        padded = [_pad(image[0], radius) for image, _ in warped]
        reference = _pad(self._image, radius)
        weights = torch.zeros_like(self._image)
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        sums = [[torch.zeros_like(weights) for _ in range(3)] for _ in warped]
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                r = _shift(reference, radius, dx, dy)
                w = torch.exp(-((r - self._image) / sigma_color).square_() / 2 - (dx**2 + dy**2) / (2 * radius**2))
                weights += w
                wr = w * r
                first += wr
                second.addcmul_(wr, r)
                for image, (s1, s2, rs) in zip(padded, sums, strict=True):
                    s = _shift(image, radius, dx, dy)
                    s1.addcmul_(w, s)
                    s2.add_(w * s * s)
                    rs.addcmul_(wr, s)
        first, second = first / weights, second / weights
        best = [torch.zeros_like(weights) for _ in range(self.best)]
        for (s1, s2, rs), (_, usable) in zip(sums, warped, strict=True):
            mean = s1 / weights
            variance = (s2 / weights - mean.square()).clamp_min(0) + NOISE
            covariance = rs / weights - mean * first
            own = (second - first.square()).clamp_min(0) + NOISE
            _keep_best(best, covariance * (own * variance).rsqrt() * usable[0])
        return torch.stack(best).mean(0)

    def disparity_rate(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(N, H, W): the pixels that each source's projection moves per unit of inverse depth, at (H, W) values of it.

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
        """A source as the reference sees it with (B, H, W) inverse depths: grey - 0.5 and 0/1 usable, (B, H, W)."""
        grid, depth = self._project(source, inverse_depth)
        image, usable = _sample(self._sources[source], grid)
        return image, ((usable > 0.5) & (depth > 0)).float()

    def _project(self, source: int, inverse_depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where (B, H, W) inverse depths lie in a source: (B, H, W, 2) in grid_sample's units, and the depth there.

        (B, H, W), in units of the reference's depth; where it is not positive the point is behind the source.
        """
        (x, y, z), (bx, by, bz) = self._rays[source], self._shifts[source]
        depth = torch.add(z, inverse_depth, alpha=bz)
        scale = depth.reciprocal()
        grid = inverse_depth.new_empty(*inverse_depth.shape, 2)
        torch.mul(torch.add(x, inverse_depth, alpha=bx), scale, out=grid[..., 0])
        torch.mul(torch.add(y, inverse_depth, alpha=by), scale, out=grid[..., 1])
        return grid, depth

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over the windows, which end at the border: (..., H, W) to (..., H, W)."""
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
    """(C, B, H, W) values of (1, C, h, w) maps at (B, H, W, 2) places in grid_sample's units; 0 outside."""
    batch, height, width, _ = grid.shape
    # one tall picture instead of a batch: grid_sample would copy the maps for every grid
    sampled = F.grid_sample(maps, grid.view(1, batch * height, width, 2), align_corners=False)
    return sampled[0].view(-1, batch, height, width)


def _homography(reference: Camera, source: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) A and (3,) b with which A (x, y, 1) + b / depth is a reference pixel's place in the source.

    It is homogeneous and in grid_sample's units: the photo spans -1 to 1.
    """
    rotation = source.rotation @ reference.rotation.T
    translation = source.cam_from_world[:, 3] - rotation @ reference.cam_from_world[:, 3]
    grid_from_pixel = np.array([[2 / source.width, 0, -1], [0, 2 / source.height, -1], [0, 0, 1]])
    projection = grid_from_pixel @ source.K
    return projection @ rotation @ np.linalg.inv(reference.K), projection @ translation


class GeometricMatcher(Matcher):
    """Scores as `Matcher`, and prefers depths that the sources' own depth maps confirm.

    To each source's ZNCC comes a bonus that falls with the forward-backward reprojection error, as in COLMAP
    (Schönberger et al. 2016, section 4.4, where it is a penalty).

    depths: for each source its inverse depth map, 0 = none, of the source's size.
    """

    def __init__(self, reference: View, sources: list[View], best: int, radius: int, depths: list[torch.Tensor]):
        super().__init__(reference, sources, best, radius)
        # a source's inverse depth, and where there is one
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
        """(B, H, W) pixels between a pixel and where the source's depth map, at the pixel's place there, puts it.

        Infinite where the source has no depth.
        """
        there, depth = self._project(source, inverse_depth)
        found, known = _sample(self._depths[source], there)
        found = found / known  # of those of the four pixels around that have a depth
        u, v = there.unbind(-1)
        x, y, z = (a * u + b * v + c + shift * found for (a, b, c), shift in zip(*self._back[source], strict=True))
        height, width = self._image.shape
        error = torch.hypot((x / z - self._grid_x) * (width / 2), (y / z - self._grid_y) * (height / 2))
        return torch.where((known > 0.5) & (z > 0) & (depth > 0), error, torch.inf)


def _keep_best(best: list[torch.Tensor], new: torch.Tensor) -> None:
    """Insert `new` into the descending per-pixel lists `best`, in place; the least value falls out."""
    for place, value in enumerate(best):
        best[place], new = torch.maximum(value, new), torch.minimum(value, new)


def _pad(image: torch.Tensor, radius: int) -> torch.Tensor:
    return F.pad(image[None, None], (radius,) * 4, mode="replicate")[0, 0]


def _shift(padded: torch.Tensor, radius: int, dx: int, dy: int) -> torch.Tensor:
    height, width = padded.shape[0] - 2 * radius, padded.shape[1] - 2 * radius
    return padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
