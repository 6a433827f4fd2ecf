from dataclasses import replace

import numpy as np
import torch

from nrw.models.inputs import BufferSpec
from nrw.models.terms import label_channels, spherical_harmonics


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


def test_labels_are_found_among_the_channels():
    made = BufferSpec("corrected", 1, True, 2, 0, 0, (1, 2), 1.0, 10.0)
    raster = torch.rand(made.raster_channels, 3, 4)
    assert torch.equal(label_channels(made, raster), raster[8:11])
    assert label_channels(replace(made, classes=()), raster).shape == (0, 3, 4)
