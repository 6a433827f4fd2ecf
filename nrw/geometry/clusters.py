"""A coarser surface, for pictures that must be fast: clusters of vertices become one (Rossignac & Borrel, 1993)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nrw.geometry.rasterize import Geometry


@dataclass(frozen=True)
class Clusters:
    """A geometry whose points are means of another's. group: (N,) int64, the cluster of each of the other's points."""

    geometry: Geometry
    group: Tensor

    def mean(self, channels: Tensor) -> Tensor:
        """Average channels (C, N) of the other's points, of any type: (C, M) float32."""
        return _mean(channels.float(), self.group, len(self.geometry.points))

    def first(self) -> Tensor:
        """(M,) int64: the first of the other's points in each cluster."""
        numbers = torch.arange(len(self.group), device=self.group.device)
        return numbers.new_zeros(len(self.geometry.points)).scatter_reduce_(
            0, self.group, numbers, "amin", include_self=False
        )


def clustered(geometry: Geometry, cell: float) -> Clusters:
    """Join the vertices of the surface in each cell of a grid, `cell` world units wide; loose points stay.

    Triangles whose corners meet vanish, and of those with the same corners one remains.
    """
    if not len(geometry.faces):
        return Clusters(geometry, torch.arange(len(geometry.points), device=geometry.device))
    place = (geometry.points[: geometry.first_loose] / cell).floor().long()
    x, y, z = (place - place.amin(dim=0)).T
    _, joined = torch.unique((x * (y.max() + 1) + y) * (z.max() + 1) + z, return_inverse=True)
    count = int(joined.max()) + 1
    loose = torch.arange(len(geometry.spacing), device=geometry.device) + count
    group = torch.cat([joined, loose])
    faces = group[geometry.faces].sort(dim=1).values
    faces = torch.unique(faces[(faces[:, 1:] > faces[:, :-1]).all(dim=1)], dim=0)
    points = _mean(geometry.points.T, group, count + len(loose)).T
    return Clusters(Geometry(points, faces.T.contiguous().T, geometry.spacing), group)


def _mean(values: Tensor, group: Tensor, count: int) -> Tensor:
    """(C, count) float32: the means of values (C, N) over the members of each group."""
    total = values.new_zeros(len(values), count).index_add_(1, group, values)
    return total / torch.bincount(group, minlength=count)
