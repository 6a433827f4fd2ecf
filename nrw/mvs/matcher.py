"""Photo-consistency of an inverse-depth map: each source is warped by the whole map and compared with the reference by
zero-mean normalised cross-correlation (ZNCC) in square windows; the score is the mean of the best few sources.

Since the whole map warps a source, windows follow slanted surfaces at one sample per pixel. Inverse depth is used
throughout: on any plane it is linear in the image, and equal steps of it are about equal steps of disparity.
"""

import numpy as np
import torch
import torch.nn.functional as F

from nrw.geometry.cameras import Camera
from nrw.mvs.batches import batches
from nrw.mvs.gray_views import GrayView

GEOMETRIC_WEIGHT = 0.25  # bonus for full agreement, in units of the ZNCC
MAX_REPROJECTION_ERROR = 3.0  # pixels, from which on there is no bonus
NOISE = (1.5 / 255) ** 2  # variance of gray values added to each window's, so that windows without texture score low


class Matcher:
    """Scores inverse-depth maps of a reference view against its S sources.

    best: number of sources, the best at each pixel, that the score is the mean of; in others the surface may be hidden.
    radius: pixels; windows are squares of 2 * radius + 1 pixels.
    """

    def __init__(self, reference: GrayView, sources: list[GrayView], best: int, radius: int):
        self.reference, self.best, self.radius = reference, min(best, len(sources)), radius
        height, width = reference.pixels.shape
        device = self._device = reference.pixels.device
        x = torch.arange(width, device=device) + 0.5
        y = torch.arange(height, device=device) + 0.5
        centers = torch.stack(
            [*torch.meshgrid(x, y, indexing="xy"), torch.ones(height, width, device=device)]
        )  # (3, H, W), homogeneous

        a, b = _stacked([_homography(reference.camera, source.camera) for source in sources], device)
        rays = [torch.einsum("ij,jhw->ihw", part, centers) for part in a]
        self._rays = torch.stack(rays, 1)[:, :, None]  # (3, S, 1, H, W)
        self._shifts = b.T[..., None, None, None]  # (3, S, 1, 1, 1)
        self._sources = [torch.stack([source.pixels - 0.5, source.keep])[None] for source in sources]
        sizes = [(source.camera.width / 2, source.camera.height / 2) for source in sources]
        self._halves = torch.tensor(sizes, device=device).T[..., None, None]  # (2, S, 1, 1)

        self._gray = reference.pixels - 0.5
        self._count = self._sum(torch.ones_like(self._gray))
        self._mean = self._sum(self._gray) / self._count
        self._variance = (self._sum(self._gray.square()) / self._count - self._mean.square()).clamp_min(0) + NOISE

    def at_once(self, count: int) -> list[slice]:
        """Split `count` inverse-depth maps into ranges to score at once."""
        return batches(count, len(self._sources) * self._gray.numel(), self._device)

    def score(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """Score (B, H, W) inverse-depth maps: (B, H, W) in [0, 1], 1 where the best sources look like the reference.

        A source counts as 0 where it does not see the pixel, masks it, or is anti-correlated.
        """
        return torch.cat([self._score(inverse_depth[maps]) for maps in self.at_once(len(inverse_depth))])

    def _score(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        best = [torch.zeros_like(inverse_depth) for _ in range(self.best)]
        for sources in self._batches(inverse_depth):
            for similarity in self._similarity(sources, inverse_depth):
                _keep_best(best, similarity)
        return torch.stack(best).mean(0)

    def _batches(self, inverse_depth: torch.Tensor) -> list[slice]:
        """Ranges of the sources into which to warp (..., H, W) maps at once."""
        return batches(len(self._sources), inverse_depth.numel(), self._device)

    def _similarity(self, sources: slice, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(S', B, H, W) ZNCC of S' sources' windows, in [-1, 1]; 0 where they do not see the pixel or mask it."""
        gray, keep = self._warp(sources, inverse_depth)
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
        height, width = inverse_depth.shape
        pictures, seen = [self._gray[None]], []
        for sources in self._batches(inverse_depth):
            gray, keep = self._warp(sources, inverse_depth[None])
            pictures.append(gray[:, 0])
            seen.append(keep[:, 0])
        padded = F.pad(torch.cat(pictures), (radius,) * 4, mode="replicate")  # (1 + S, H', W')
        keep = torch.cat(seen)
        scores = []
        for rows in batches(height, len(padded) * width, self._device):
            best = [torch.zeros_like(inverse_depth[rows]) for _ in range(self.best)]
            zncc = _bilateral_zncc(padded[:, rows.start : rows.stop + 2 * radius], radius, sigma_color)
            for similarity in zncc.mul_(keep[:, rows]):
                _keep_best(best, similarity)
            scores.append(torch.stack(best).mean(0))
        return torch.cat(scores)

    def disparity_rate(self, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(S, H, W): pixels that each source's projection moves per unit of inverse depth, at (H, W) inverse depths.

        0 where the point is behind the source.
        """
        return torch.cat([self._disparity_rate(sources, inverse_depth) for sources in self._batches(inverse_depth)])

    def _disparity_rate(self, sources: slice, inverse_depth: torch.Tensor) -> torch.Tensor:
        shifts = self._shifts[:, sources, 0]
        position = self._rays[:, sources, 0] + inverse_depth * shifts
        grid, depth = position[:2], position[2]
        moved = (shifts[:2] - grid.div_(depth).mul_(shifts[2])).div_(depth).mul_(self._halves[:, sources])
        return torch.where(depth > 0, torch.hypot(moved[0], moved[1]), 0.0)

    def _warp(self, sources: slice, inverse_depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Warp S' sources into the reference by (B, H, W) inverse depths: gray values - 0.5 and a 0/1 mask.

        Both are (S', B, H, W).
        """
        grid, depth = self._project(sources, inverse_depth)
        gray, keep = _sample(self._sources[sources], grid)
        return gray, keep.gt_(0.5).mul_(depth > 0)

    def _project(self, sources: slice, inverse_depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Project (B, H, W) inverse depths into S' sources: positions (2, S', B, H, W) in grid_sample's units, depths.

        The depths (S', B, H, W) are relative to the reference's; where not positive, the point is behind the source.
        """
        position = torch.addcmul(self._rays[:, sources], inverse_depth, self._shifts[:, sources])
        grid, depth = position[:2], position[2]
        return grid.mul_(depth.reciprocal()), depth

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


def _bilateral_zncc(pictures: torch.Tensor, radius: int, sigma_color: float) -> torch.Tensor:
    """(S, H, W) ZNCC of the first of (1 + S, H', W') pictures with each of the others, in windows of its weights.

    The pictures are `radius` pixels larger on each side than the result.
    """
    height, width = pictures.shape[1] - 2 * radius, pictures.shape[2] - 2 * radius
    center = pictures[0, radius : radius + height, radius : radius + width]
    total = torch.zeros_like(center)
    first, second, product = (torch.zeros_like(center).expand(len(pictures), -1, -1).clone() for _ in range(3))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            values = pictures[:, radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            far = (dx**2 + dy**2) / (2 * radius**2)
            weight = (values[0] - center).div_(sigma_color).square_().div_(-2).sub_(far).exp_()
            weighted = weight * values
            total += weight
            first += weighted
            second.addcmul_(weighted, values)
            product.addcmul_(weighted[0], values)
    mean = first.div_(total)
    variance = second.div_(total).sub_(mean.square()).clamp_min_(0).add_(NOISE)
    covariance = product.div_(total).sub_(mean * mean[0])
    return covariance[1:].mul_((variance[0] * variance[1:]).rsqrt_())


def _sample(maps: list[torch.Tensor], grid: torch.Tensor) -> torch.Tensor:
    """Sample S' (1, C, h, w) maps at (2, S', B, H, W) positions in grid_sample's units: (C, S', B, H, W), 0 outside."""
    # one tall picture instead of a batch, for which grid_sample would need a copy of the map per grid
    tall = grid.flatten(2, 3).permute(1, 2, 3, 0)  # (S', B * H, W, 2)
    sampled = [F.grid_sample(own, at[None], align_corners=False) for own, at in zip(maps, tall, strict=True)]
    return torch.cat(sampled).transpose(0, 1).unflatten(2, grid.shape[2:4])


def _homography(reference: Camera, source: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) A and (3,) b: A (x, y, 1) + b / depth is the position of a reference pixel (x, y) in the source.

    It is homogeneous and in grid_sample's units, in which the photo spans -1 to 1.
    """
    rotation = source.rotation @ reference.rotation.T
    translation = source.cam_from_world[:, 3] - rotation @ reference.cam_from_world[:, 3]
    grid_from_pixel = np.array([[2 / source.width, 0, -1], [0, 2 / source.height, -1], [0, 0, 1]])
    projection = grid_from_pixel @ source.K
    return projection @ rotation @ np.linalg.inv(reference.K), projection @ translation


def _pixel_from_grid(camera: Camera) -> np.ndarray:
    width, height = camera.width / 2, camera.height / 2
    return np.array([[width, 0, width], [0, height, height], [0, 0, 1]])


def _stacked(pairs: list[tuple[np.ndarray, np.ndarray]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """All first and all second arrays of the pairs, as float32 tensors."""
    a, b = (torch.tensor(np.stack(parts), dtype=torch.float32, device=device) for parts in zip(*pairs, strict=True))
    return a, b


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
        back = [_homography(source.camera, reference.camera) for source in sources]
        from_grid = [_pixel_from_grid(source.camera) for source in sources]
        a, b = _stacked([(a @ pixel, b) for (a, b), pixel in zip(back, from_grid, strict=True)], self._device)
        self._back = torch.cat([a, b[..., None]], 2).permute(2, 1, 0)[..., None, None, None]  # (4, 3, S, 1, 1, 1)
        height, width = reference.pixels.shape
        x = (2 * torch.arange(width, device=self._device) + 1) / width - 1
        y = (2 * torch.arange(height, device=self._device) + 1) / height - 1
        self._grid = torch.stack(torch.meshgrid(x, y, indexing="xy"))[:, None, None]  # (2, 1, 1, H, W)
        self._half = torch.tensor([width / 2, height / 2], device=self._device)[:, None, None, None, None]

    def _similarity(self, sources: slice, inverse_depth: torch.Tensor) -> torch.Tensor:
        error = self._reprojection_error(sources, inverse_depth)
        bonus = error.div_(-MAX_REPROJECTION_ERROR).add_(1).clamp_min_(0).mul_(GEOMETRIC_WEIGHT)
        return super()._similarity(sources, inverse_depth).add_(bonus)

    def _reprojection_error(self, sources: slice, inverse_depth: torch.Tensor) -> torch.Tensor:
        """(S', B, H, W) pixels from each pixel to its position after projection into a source and back by its depths.

        Infinite where the source has no depth.
        """
        grid, depth = self._project(sources, inverse_depth)
        found, known = _sample(self._depths[sources], grid)
        found.div_(known)  # mean of those of the four nearest pixels that have a depth
        across, down, here, shift = self._back[:, :, sources]  # (3, S', 1, 1, 1) each
        back = (across * grid[0]).addcmul_(down, grid[1]).add_(here).addcmul_(shift, found)  # (3, S', B, H, W)
        z = back[2]
        off = back[:2].div_(z).sub_(self._grid).mul_(self._half)
        return torch.where((known > 0.5) & (z > 0) & (depth > 0), off[0].hypot_(off[1]), torch.inf)


def _keep_best(best: list[torch.Tensor], new: torch.Tensor) -> None:
    """Insert `new` into the descending per-pixel lists `best`, in place; the smallest value is dropped."""
    *others, last = best
    for place, value in enumerate(others):
        best[place], new = torch.maximum(value, new), torch.minimum(value, new)
    best[-1] = torch.maximum(last, new)
