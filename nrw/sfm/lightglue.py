"""LightGlue: matches the keypoints of two pictures by attention between them.

Lindenberger, Sarlin, Pollefeys, "LightGlue: Local Feature Matching at Light Speed" (ICCV 2023), with the weights for
ALIKED. Modules have the names of the authors' code (Apache-2.0), so that their weights fit. All layers are computed
for all keypoints: pairs that need rescue are not the easy ones, for which the authors stop early.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS, LAYERS = 256, 4, 9
LEAST = 0.1  # probability of a match


class LightGlue(nn.Module):
    """Matches of two sets of keypoints."""

    def __init__(self, descriptors: int) -> None:
        super().__init__()
        self.input_proj = nn.Linear(descriptors, WIDTH)
        self.posenc = Positions()
        self.transformers = nn.ModuleList(Layer() for _ in range(LAYERS))
        # the weights have one for each layer, for those who stop early
        self.log_assignment = nn.ModuleList(Assignment() for _ in range(LAYERS))

    def forward(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """(M, 2) indices into both. a, b: positions (N, 2), from `normalized`, and descriptors (N, D)."""
        turns = [self.posenc(positions) for positions, _ in (a, b)]
        x, y = (self.input_proj(descriptors)[None] for _, descriptors in (a, b))
        for layer in self.transformers:
            x, y = layer(x, y, *turns)
        return mutual(self.log_assignment[-1](x[0], y[0]))


def normalized(points: Tensor, width: int, height: int) -> Tensor:
    """Points (N, 2) in pixels with the picture's centre at 0 and its longer side from -1 to 1."""
    size = torch.tensor([width, height], device=points.device)
    return (points - size / 2) / (size.max() / 2)


class Positions(nn.Module):
    """Rotary encoding: a position is an angle for every two numbers of a query or key."""

    def __init__(self) -> None:
        super().__init__()
        self.Wr = nn.Linear(2, WIDTH // HEADS // 2, bias=False)

    def forward(self, positions: Tensor) -> Tensor:
        """(2, N, WIDTH / HEADS) cosines and sines of positions (N, 2)."""
        angles = self.Wr(positions).repeat_interleave(2, dim=-1)
        return torch.stack([angles.cos(), angles.sin()])


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Turn every two numbers of x (…, N, C) by the angles of `turns` (2, N, C)."""
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return x * turns[0] + torch.stack([-second, first], -1).flatten(-2) * turns[1]


def heads(x: Tensor) -> Tensor:
    """(1, N, C) to (1, HEADS, N, C / HEADS)."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """The inverse of `heads`."""
    return x.transpose(1, 2).flatten(-2)


class Update(nn.Sequential):
    """What a message changes in the keypoints' states."""

    def __init__(self) -> None:
        double = 2 * WIDTH
        super().__init__(nn.Linear(double, double), nn.LayerNorm(double), nn.GELU(), nn.Linear(double, WIDTH))


class Layer(nn.Module):
    """Attention within each picture, then from each to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = SelfAttention()
        self.cross_attn = CrossAttention()

    def forward(self, x: Tensor, y: Tensor, turns_x: Tensor, turns_y: Tensor) -> tuple[Tensor, Tensor]:
        return self.cross_attn(self.self_attn(x, turns_x), self.self_attn(y, turns_y))


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.Wqkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)
        self.ffn = Update()

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        query, key, value = self.Wqkv(x).unflatten(-1, (HEADS, -1, 3)).transpose(1, 2).unbind(-1)
        found = F.scaled_dot_product_attention(rotated(query, turns), rotated(key, turns), value)
        return x + self.ffn(torch.cat([x, self.out_proj(joined(found))], -1))


class CrossAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_qk = nn.Linear(WIDTH, WIDTH)
        self.to_v = nn.Linear(WIDTH, WIDTH)
        self.to_out = nn.Linear(WIDTH, WIDTH)
        self.ffn = Update()

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._updated(x, y), self._updated(y, x)

    def _updated(self, x: Tensor, y: Tensor) -> Tensor:
        query, key, value = heads(self.to_qk(x)), heads(self.to_qk(y)), heads(self.to_v(y))
        found = F.scaled_dot_product_attention(query, key, value)
        return x + self.ffn(torch.cat([x, self.to_out(joined(found))], -1))


class Assignment(nn.Module):
    """How likely keypoints match one another."""

    def __init__(self) -> None:
        super().__init__()
        self.matchability = nn.Linear(WIDTH, 1)
        self.final_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(N, M) logarithms of the probabilities. x: (N, WIDTH), y: (M, WIDTH)."""
        similar = self.final_proj(x) @ self.final_proj(y).mT / WIDTH**0.5
        matched = F.logsigmoid(self.matchability(x)) + F.logsigmoid(self.matchability(y)).mT
        return similar.log_softmax(0) + similar.log_softmax(1) + matched


def mutual(scores: Tensor) -> Tensor:
    """(M, 2) indices of the pairs that are each other's best in scores (N, M) and more likely than LEAST."""
    if not scores.numel():
        return torch.empty(0, 2, dtype=torch.long, device=scores.device)
    best, other = scores.max(1)
    mine = torch.arange(len(scores), device=scores.device)
    match = (scores.argmax(0)[other] == mine) & (best.exp() > LEAST)
    return torch.stack([mine[match], other[match]], 1)
