"""A small configuration of the networks, and inputs for it."""

import torch

from nrw.models.inputs import BufferSpec

NETWORK = {"architecture": "film", "base_width": 8, "max_width": 32, "stages": 3, "z_dim": 8}

CONFIG = {
    "network": NETWORK,
    "training": {"losses": {"adversarial": 0.0}},
}

SPEC = BufferSpec("corrected", 3, True, 3, 4, 100, (1, 2), 1.0, 10.0)


def pyramid(batch: int, channels: int, height: int, width: int, levels: int) -> list[torch.Tensor]:
    return [torch.randn(batch, channels, -(-height // 2**level), -(-width // 2**level)) for level in range(levels)]


def n_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def size_of(network: type[torch.nn.Module]) -> int:
    """Count the parameters of a network with default arguments, without allocating them."""
    with torch.device("meta"):
        return n_parameters(network())


def photo_and_buffer(batch, height, width, seed=0):
    """Make x of an encoder for SPEC: a random photo and a random buffer, half of it empty."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, 3 + SPEC.raster_channels, height, width, generator=generator) * 2 - 1
    hit = torch.arange(height)[:, None].expand(height, width) > height // 2
    x[:, 3:8] *= hit
    x[:, 7] = hit.float()
    return x
