"""The terms of which a photo's colours are, to a first approximation, a linear function."""

import torch
from torch import Tensor

from nrw.models.inputs import BufferSpec

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


def without_cloud(spec: BufferSpec, raster: Tensor) -> Tensor:
    """The channels (…, C, h, w) of a view in which nothing of the cloud is seen."""
    bare = raster.clone()
    bare[..., :5, :, :] = 0
    if spec.lighting:
        bare[..., -spec.lighting :, :, :] = 0
    return bare


def without_labels(spec: BufferSpec, raster: Tensor) -> Tensor:
    """The channels (…, C, h, w) of a view without any label, not even the one of all others."""
    if not spec.classes:
        return raster
    first = 8 if spec.view_direction else 5
    bare = raster.clone()
    bare[..., first : first + len(spec.classes) + 1, :, :] = 0
    return bare
