"""The terms of which a photo's colours are, to a first approximation, a linear function."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nrw.core import ade20k
from nrw.models.inputs import BufferSpec

ABOVE = 0.02  # of the height may be covered above a pixel that is sky: stray points, wires
HORIZON = 0.05  # sine of the elevation above which an empty pixel is sky only


def color_terms(spec: BufferSpec, raster: Tensor) -> Tensor:
    """Return the terms of which a photo's colours are, to a first approximation, a linear function.

    raster: (…, C, h, w), channels of `raster_tensors`. Returns (…, K, h, w), K = spec.color_terms, no terms in the
    representation of 2019. The terms are the render's RGB and hit; for the share without a hit, spherical harmonics up
    to degree 3 of the direction above the horizon (the sky), and below it (the ground) a constant and the sine of the
    elevation, or, without view directions, a single term; the labels; the lighting.
    """
    if spec.representation == "paper2019":
        return raster[..., :0, :, :]
    color, hit = raster[..., :3, :, :], raster[..., 4:5, :, :]
    empty, labels = 1 - hit, 5
    if spec.view_direction:
        elevation, labels = raster[..., 7:8, :, :], 8
        above = (elevation / HORIZON).clamp(0, 1)
        sky = spherical_harmonics(raster[..., 5:8, :, :])
        terms = torch.cat([above * sky, 1 - above, (1 - above) * elevation], dim=-3) * empty
    else:
        terms = empty
    return torch.cat([color, hit, terms, raster[..., labels:, :, :]], dim=-3)


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics up to degree 3, up to constant factors, as polynomials of unit vectors (…, 3, h, w).

    Returns (…, 16, h, w). Ramamoorthi & Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001.
    """
    x, y, z = directions.unbind(-3)
    terms = [torch.ones_like(x), x, y, z, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    terms += [y * (3 * x * x - y * y), x * y * z, y * (5 * z * z - 1), z * (5 * z * z - 3), x * (5 * z * z - 1)]
    terms += [z * (x * x - y * y), x * (x * x - 3 * y * y)]
    return torch.stack(terms, dim=-3)


def label_channels(spec: BufferSpec, raster: Tensor) -> Tensor:
    """The labels among the channels of a buffer (…, C, h, w), the last that of all others: (…, n, h, w), n may be 0."""
    first, count = 8 if spec.view_direction else 5, len(spec.classes) + 1 if spec.classes else 0
    return raster[..., first : first + count, :, :]


def sky_share(spec: BufferSpec, raster: Tensor, sky: Sequence[int]) -> Tensor:
    """How much of each pixel of a buffer (…, C, h, w) is sky, 0 to 1: (…, 1, h, w).

    Above the horizon, where nothing of the cloud is seen, and labelled as one of `sky` (ADE20K) or, without labels, not
    below more of the cloud. 0 without view directions.
    """
    if not spec.view_direction:
        return torch.zeros_like(raster[..., :1, :, :])
    share = (raster[..., 7:8, :, :] / HORIZON).clamp(0, 1) * (1 - raster[..., 4:5, :, :])
    if not spec.classes:
        return share * ~_covered_above(raster)
    groups = {int(ade20k.GROUPS[label]) for label in sky}
    places = [8 + number for number, group in enumerate(spec.classes) if group in groups]
    return share * sum((raster[..., place : place + 1, :, :] for place in places), torch.zeros_like(share))


def holes(spec: BufferSpec, raster: Tensor) -> Tensor:
    """The pixels of a buffer (…, C, h, w) that no label and no point explains, but that are not sky: (…, 1, h, w) bool.

    Above the horizon, with more of the cloud above them: windows, gates. None in a buffer with labels.
    """
    hit = raster[..., 4:5, :, :]
    if spec.classes or not spec.view_direction:
        return torch.zeros_like(hit, dtype=torch.bool)
    return (hit == 0) & (raster[..., 7:8, :, :] > 0) & _covered_above(raster)


def _covered_above(raster: Tensor) -> Tensor:
    """The pixels of a buffer (…, C, h, w) with more of the cloud above them: (…, 1, h, w) bool."""
    hit = raster[..., 4:5, :, :]
    return hit.cumsum(dim=-2) > ABOVE * hit.shape[-2]
