from dataclasses import replace

import numpy as np
import torch

from nrw.models.inputs import BufferSpec
from nrw.models.terms import spherical_harmonics, without_cloud, without_labels


def test_spherical_harmonics_are_orthogonal_over_the_sphere():
    """Checked with a product rule that is exact for polynomials of degree 6: Gauss in z, equal steps around it."""
    z, weights = np.polynomial.legendre.leggauss(8)
    around = np.arange(16) * np.pi / 8
    x, y = (np.sqrt(1 - z**2)[:, None] * turn(around) for turn in (np.cos, np.sin))
    directions = torch.from_numpy(np.stack([x, y, np.repeat(z[:, None], 16, axis=1)]))
    terms = spherical_harmonics(directions).flatten(1).numpy()  # (16, places)
    products = (terms * np.repeat(weights, 16)) @ terms.T
    norms = np.sqrt(np.diag(products))
    np.testing.assert_allclose(products / norms / norms[:, None], np.eye(16), atol=1e-12)


def test_views_without_cloud_and_without_labels():
    made = BufferSpec("corrected", 1, True, 2, 0, 0, (1, 2), 1.0, 10.0)
    raster = torch.rand(made.raster_channels, 3, 4) + 1
    bare = without_cloud(made, raster)
    assert (bare[:5] == 0).all() and (bare[-2:] == 0).all() and torch.equal(bare[5:-2], raster[5:-2])
    plain = without_labels(made, raster)
    assert (plain[8:11] == 0).all() and torch.equal(plain[:8], raster[:8]) and torch.equal(plain[11:], raster[11:])
    assert without_labels(replace(made, classes=()), raster) is raster
