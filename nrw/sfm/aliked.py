"""ALIKED: learned keypoints and descriptors.

Zhao et al., "ALIKED: A Lighter Keypoint and Descriptor Extraction Network via Deformable Transformation" (IEEE TIM
2023), model n16. Modules have the names of the authors' code (BSD-3-Clause), so that their weights fit.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128)  # of the blocks, at 1, 1/2, 1/8 and 1/32 of the picture's size
DIM, SAMPLES = 128, 16  # numbers of a descriptor, places that it is gathered from
RADIUS = 2  # pixels: keypoints are the largest score within it
TEMPERATURE = 0.1  # of the mean that places keypoints between pixels
STRIDE = 32  # sides of what the network sees are multiples


class Aliked(nn.Module):
    """Keypoints of a picture, the best first, with descriptors; not for training."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4 = CHANNELS
        self.block1 = Block(3, c1, nn.Conv2d)
        self.block2 = ResidualBlock(c1, c2, nn.Conv2d)
        self.block3 = ResidualBlock(c2, c3, DeformableConv2d)
        self.block4 = ResidualBlock(c3, c4, DeformableConv2d)
        for number, channels in enumerate(CHANNELS, 1):
            self.add_module(f"conv{number}", nn.Conv2d(channels, DIM // 4, 1, bias=False))
        self.score_head = nn.Sequential(
            *(nn.Conv2d(DIM, 8, 1, bias=False), nn.SELU()),
            *(nn.Conv2d(8, 4, 3, padding=1, bias=False), nn.SELU()),
            *(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.SELU()),
            nn.Conv2d(4, 1, 3, padding=1, bias=False),
        )
        self.desc_head = DescriptorHead()

    def forward(self, picture: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """Keypoints (N, 2) x, y in pixels, the centre of the first at 0, and descriptors (N, DIM) of length 1.

        picture: (1, 3, H, W) in [0, 1]. N: at most `most`.
        """
        features, scores = self._dense(picture)
        points = keypoints(scores, most)
        return points, self.desc_head(features, points)

    def _dense(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Features (DIM, H, W) of length 1 and scores (H, W) in [0, 1]."""
        height, width = picture.shape[-2:]
        down, right = -height % STRIDE, -width % STRIDE
        top, left = down // 2, right // 2
        x = F.pad(picture, (left, right - left, top, down - top), mode="replicate")
        size = x.shape[-2:]
        levels = []
        for number, shrink in enumerate((1, 2, 4, 4), 1):
            x = self.get_submodule(f"block{number}")(F.avg_pool2d(x, shrink))
            level = F.selu(self.get_submodule(f"conv{number}")(x))
            levels.append(F.interpolate(level, size, mode="bilinear", align_corners=True))
        together = torch.cat(levels, 1)
        scores = self.score_head(together).sigmoid()
        inside = (..., slice(top, top + height), slice(left, left + width))
        together /= together.norm(dim=1, keepdim=True).clamp(min=1e-12)  # in place: it is half a gigabyte
        return together[inside][0], scores[inside][0, 0]


class Block(nn.Module):
    """Two convolutions of one kind, each normalized and through SELU."""

    def __init__(self, channels: int, out: int, convolution: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = convolution(channels, out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = convolution(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.bn2(self.conv2(F.selu(self.bn1(self.conv1(x))))))


class ResidualBlock(Block):
    """The same, with the input added before the last SELU."""

    def __init__(self, channels: int, out: int, convolution: type[nn.Module]) -> None:
        super().__init__(channels, out, convolution)
        self.downsample = nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(self.bn2(self.conv2(F.selu(self.bn1(self.conv1(x))))) + self.downsample(x))


class DeformableConv2d(nn.Module):
    """A convolution whose taps move by offsets that another convolution finds (Dai et al. 2017); padded with zeros."""

    def __init__(self, channels: int, out: int, size: int, padding: int, bias: bool) -> None:
        super().__init__()
        self.padding = padding
        self.offset_conv = nn.Conv2d(channels, 2 * size * size, size, padding=padding)
        self.regular_conv = nn.Conv2d(channels, out, size, padding=padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        offsets = self.offset_conv(x).clamp(-max(height, width) / 4, max(height, width) / 4)[0]  # dy, dx of each tap
        rows = torch.arange(height, device=x.device)[:, None] - self.padding
        columns = torch.arange(width, device=x.device) - self.padding
        weight = self.regular_conv.weight
        result = x.new_zeros(1, len(weight), height, width)
        for tap, (down, right) in enumerate(torch.cartesian_prod(*map(torch.arange, weight.shape[2:])).tolist()):
            y, x_ = rows + down + offsets[2 * tap], columns + right + offsets[2 * tap + 1]
            moved = sample(x[0], torch.stack([x_, y], -1))
            result += F.conv2d(moved[None], weight[:, :, down : down + 1, right : right + 1])
        return result


class DescriptorHead(nn.Module):
    """A descriptor from the features at SAMPLES places around a keypoint, which its surroundings choose."""

    def __init__(self) -> None:
        super().__init__()
        channels = 2 * SAMPLES
        self.offset_conv = nn.Sequential(nn.Conv2d(DIM, channels, 3), nn.SELU(), nn.Conv2d(channels, channels, 1))
        self.sf_conv = nn.Conv2d(DIM, DIM, 1, bias=False)
        self.agg_weights = nn.Parameter(torch.empty(SAMPLES, DIM, DIM))

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        """(N, DIM) of length 1. features: (DIM, H, W). points: (N, 2) x, y in pixels."""
        height, width = features.shape[1:]
        around = torch.arange(3, device=points.device)
        x = (points[:, 0].long() - 1).clamp(0, width - 4)[:, None] + around
        y = (points[:, 1].long() - 1).clamp(0, height - 4)[:, None] + around
        patches = features[:, y[:, :, None], x[:, None, :]].movedim(1, 0)  # (N, DIM, 3, 3)
        farthest = max(height, width) / 4
        offsets = self.offset_conv(patches).clamp(-farthest, farthest).view(-1, 2, SAMPLES).mT  # (N, SAMPLES, 2)
        gathered = sample(features, points[:, None] + offsets)[None]  # (1, DIM, N, SAMPLES)
        gathered = F.selu(self.sf_conv(gathered))[0]
        return F.normalize(torch.einsum("cnp,pce->ne", gathered, self.agg_weights), dim=1)


def keypoints(scores: Tensor, most: int) -> Tensor:
    """The `most` largest local maxima of the scores (H, W), each at the mean place of its neighbourhood: (N, 2) x, y.

    N is smaller where there are fewer maxima.
    """
    maxima = _maxima(scores)
    border = torch.zeros_like(maxima)
    border[RADIUS:-RADIUS, RADIUS:-RADIUS] = maxima[RADIUS:-RADIUS, RADIUS:-RADIUS]
    best, at = border.flatten().topk(min(most, border.numel()))
    at = at[best > 0]
    y, x = at // scores.shape[1], at % scores.shape[1]
    reach = torch.arange(-RADIUS, RADIUS + 1, device=scores.device)
    near = scores[y[:, None, None] + reach[:, None], x[:, None, None] + reach]  # (N, 5, 5)
    weights = (near.flatten(1) / TEMPERATURE).softmax(1).view_as(near)
    shift = torch.stack([(weights.sum(1) * reach).sum(1), (weights.sum(2) * reach).sum(1)], 1)
    return torch.stack([x, y], 1) + shift


def _maxima(scores: Tensor) -> Tensor:
    """The scores (H, W) of pixels that are the largest within RADIUS, 0 elsewhere.

    Twice, what lies near a maximum is taken away, and what is largest then is a maximum too.
    """
    found = scores == _dilated(scores)
    for _ in range(2):
        covered = _dilated(found.float()) > 0
        rest = torch.where(covered, 0, scores)
        found |= (rest == _dilated(rest)) & ~covered
    return torch.where(found, scores, 0)


def _dilated(x: Tensor) -> Tensor:
    return F.max_pool2d(x[None], 2 * RADIUS + 1, stride=1, padding=RADIUS)[0]


def sample(features: Tensor, places: Tensor) -> Tensor:
    """(C, …) features (C, H, W) at places (…, 2) x, y in pixels, interpolated; 0 outside. places has 3 dimensions."""
    height, width = features.shape[1:]
    x, y = places.unbind(-1)
    grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], -1)
    return F.grid_sample(features[None], grid[None], mode="bilinear", align_corners=True)[0]
