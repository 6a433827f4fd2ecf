"""Channels of the cloud's points: learned ones, and the measured lighting."""

import torch
from torch import Tensor, nn


class PointFeatures(nn.Module):
    """Learned channels of the cloud's points, gathered by rasterized index; no differentiable rasterizer is needed.

    They start at zero, so that a point that no training photo shows adds nothing to a novel view.
    """

    def __init__(self, n_points: int, channels: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(n_points, channels))

    def forward(self, index: Tensor) -> Tensor:
        """Gather the channels of index (B, h, w) int64, -1 without a hit. Returns (B, C, h, w), 0 without a hit."""
        features = torch.nn.functional.embedding(index.clamp_min(0), self.table)  # (B, h, w, C)
        return (features * (index >= 0).unsqueeze(-1)).movedim(-1, 1)


class PointLighting(nn.Module):
    """The lighting of the cloud's points (`framebuffers.lighting`), stored with the networks for novel views.

    table: (N, K) uint8.
    """

    table: Tensor

    def __init__(self, n_points: int, channels: int):
        super().__init__()
        self.register_buffer("table", torch.zeros(n_points, channels, dtype=torch.uint8))
