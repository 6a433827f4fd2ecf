"""The detail of source photos as bytes and as channels."""

import torch
import torch.nn.functional as F
from torch import Tensor

DETAIL = 5  # channels: log ratio of RGB, spread, weight
DETAIL_LIMIT = 1.6  # largest log ratio
DARKEST = 0.04  # added to colours in [0, 1] before their ratio is taken: black says nothing of detail


def encode_detail(detail: Tensor) -> Tensor:
    """uint8 of detail (…, 5): log ratios of RGB within DETAIL_LIMIT, spread and weight from 0 to 1."""
    logs = 128 + detail[..., :3].clamp(-DETAIL_LIMIT, DETAIL_LIMIT) * (127 / DETAIL_LIMIT)
    return torch.cat([logs, 255 * detail[..., 3:].clamp(0, 1)], dim=-1).round().byte()


def decode_detail(detail: Tensor) -> Tensor:
    """Invert `encode_detail`, and move the channels before rows and columns: (…, h, w, 5) to (…, 5, h, w) float32."""
    logs = (detail[..., :3].float() - 128) * (DETAIL_LIMIT / 127)
    return torch.cat([logs, detail[..., 3:] / 255], dim=-1).movedim(-1, -3)


def pooled_detail(detail: Tensor, factor: int) -> Tensor:
    """Reduce detail (5, H, W) by a factor: the log ratios and the spread are means weighted with the weight."""
    weight = detail[4:]
    mass = F.avg_pool2d(weight, factor)
    return torch.cat([F.avg_pool2d(detail[:4] * weight, factor) / mass.clamp_min(1e-6), mass])
