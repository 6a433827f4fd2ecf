"""Views of a trained scene from any camera, at any size: the public way from a scene to a picture.

What is measured is drawn at the picture's size: the surface's colors in a light, its outline, the detail of source
photos. The networks run at a fraction of it, the size at which they were trained to see a scene, and correct the rest.
"""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nrw.dataset.packed import View
from nrw.detail.painting import (
    alpha_of,
    continued,
    enlarged,
    joined,
    lit_points,
    sharpened,
    spread_out,
    surface_picture,
)
from nrw.framebuffers.levels import finest_level, pyramid
from nrw.geometry.cameras import Camera
from nrw.geometry.clusters import clustered
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import DeepBuffer, Geometry, Samples, coverage, rasterize
from nrw.models.appearance import paint_labels
from nrw.models.build import with_detail
from nrw.models.detail_channels import encode_detail, pooled_detail
from nrw.models.terms import holes, sky_share
from nrw.scene.model import SceneModel, to_picture

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nrw.detail.skies import Skies
    from nrw.detail.sources import Sources


@dataclass(frozen=True)
class Seen:
    """What a camera sees of a scene, whatever the light.

    view: of the networks' size, its arrays on the device, labels as given or predicted. camera, samples, depth (H, W),
    solid (H, W) bool, the pixels on a surface, logs (3, H, W), the detail, and photos (H, W), the effective number of
    photos that it is the mean of, or None and None: of the picture's size.
    """

    view: View
    camera: Camera
    samples: Samples
    depth: Tensor
    solid: Tensor
    logs: Tensor | None
    photos: Tensor | None

    @property
    def detailed(self) -> float:
        """The share of the surface, in pixels of the networks' size, to which source photos lend detail."""
        hit = self.view.depth[0] > 0
        if self.view.detail is None or not hit.any():
            return 0.0
        return float((self.view.detail[..., 4] > 0)[hit].float().mean())


class Views:
    """Draws a trained scene from any camera; everything stays on the model's device until a picture is finished.

    cloud: in the colors of the training photos, its points in the order they were trained in. sources: of the detail;
    None for a scene whose networks were trained without. skies: photographed; None: painted ones alone. scale: how many
    times larger than the networks' buffer pictures are.
    """

    def __init__(
        self,
        model: SceneModel,
        cloud: Cloud,
        sources: "Sources | None",
        skies: "Skies | None" = None,
        *,
        scale: int,
        splat: int,
    ):
        self.model, self.cloud, self.scale, self.splat = model, cloud, scale, splat
        self.sources, self.skies = sources, skies
        self.geometry = Geometry.of(cloud, model.device)
        # of the points in the networks' tables; the last is looked up for pixels that show none
        self.numbers = torch.cat([torch.arange(len(cloud)), torch.tensor([-1])]).to(model.device)
        channels = [torch.from_numpy(np.array(cloud.colors)).to(model.device).T]
        if model.networks.lighting is not None:
            channels.append(model.networks.lighting.table.T)
        self.channels = torch.cat(channels)

    def coarser(self, cell: float) -> "Views":
        """The same scene drawn faster: what is finer than `cell`, in world units, is joined; photos lend no detail."""
        clusters = clustered(self.geometry, cell)
        views = copy(self)
        views.geometry, views.sources = clusters.geometry, None
        views.numbers = torch.cat([clusters.first(), self.numbers[-1:]])
        views.channels = clusters.mean(self.channels).round().byte()
        return views

    @torch.no_grad()
    def see(self, camera: Camera, labels: np.ndarray | None = None, without: "Collection[str]" = ()) -> Seen:
        """Draw what any light needs of a view.

        labels: (h, w) uint8 ADE20K of the networks' size, for semantic editing; None: predicted. without: ids of photos
        that lend it no detail.
        """
        buffer = rasterize(self.geometry, camera, self.splat)
        level, samples = finest_level(self.geometry, self.channels, camera, buffer, self.scale)
        levels = pyramid(level, self.model.spec.levels)
        height, width = level.depth.shape
        lighting = [some.color[..., 3:] for some in levels] if self.model.networks.lighting is not None else None
        logs, photos, detail = self._detail(camera, buffer.depth, without)
        unknown = torch.zeros(height, width, dtype=torch.uint8, device=self.model.device)
        view = View(
            id="",
            pixels=unknown.unsqueeze(2).expand(-1, -1, 3),
            labels=unknown if labels is None else torch.from_numpy(np.array(labels)).to(unknown.device),
            color=[some.color[..., :3] for some in levels],
            depth=[some.depth for some in levels],
            index=[self.numbers[some.index.long()] for some in levels],
            coverage=[some.coverage for some in levels],
            camera=camera.resized(width, height),
            lighting=lighting,
            detail=detail,
        )
        if labels is None:
            view = self.model.completed(view)
        return Seen(view, camera, samples, buffer.depth, self._solid(buffer), logs, photos)

    @torch.no_grad()
    def draw(
        self,
        seen: Seen,
        z: Tensor,
        edit: np.ndarray | None = None,
        skies: "Mapping[str, float] | None" = None,
    ) -> np.ndarray:
        """Draw a picture (H, W, 3) uint8 in the light of z (Z,).

        edit: (256,) uint8, as for `SceneModel.render_view`. skies: shares of the photos, by id, whose photographed
        skies are to be seen; None: only what is painted.

        Without measured colours, as in 2019, the networks draw the whole picture at their own size, and it is enlarged.
        """
        z = z.to(self.model.device, non_blocking=True)
        networks, spec = self.model.networks, self.model.spec
        rasters, index = self.model.buffer(seen.view, edit)
        size = (seen.camera.height, seen.camera.width)
        if networks.color_spec is None or not spec.color_terms:
            whole = networks.render(rasters, index, z[None])
            return to_picture(enlarged(whole, torch.ones_like(whole[:, :1]), self.scale, size)[0])
        correction = networks.correct(rasters, index, z[None])
        labels = paint_labels(spec, rasters[0], z[None])
        share = coverage(seen.solid, self.scale)[None, None]
        covered, outside = (share > 0.5).float(), (share == 0).float()
        surface = surface_picture(seen.samples, lit_points(spec, self.channels, z))
        if seen.logs is not None and seen.photos is not None and correction.trust is not None:
            parts = torch.cat([labels, correction.color, correction.trust], dim=1)
            label, color, trust = enlarged(parts, covered, self.scale, size)[0].split([3, 3, 1])
            logs = sharpened(seen.logs, seen.photos, trust, seen.solid)
            surface = with_detail(surface.add_(label), logs, trust).add_(color)
        else:
            surface += enlarged(labels + correction.color, covered, self.scale, size)[0]
        beside = correction.measured + correction.color
        hole = holes(spec, rasters[0])
        beside = torch.where(hole, continued(beside * ~hole, 1 - hole.float()), beside)
        beside = enlarged(beside, outside, self.scale, size)[0]
        if skies and self.skies is not None:
            beside = self._before_skies(self.skies, skies, seen, rasters[0], beside)
        return to_picture(joined(spread_out(surface, seen.solid), beside, alpha_of(seen.solid)))

    def raw(self, seen: Seen) -> np.ndarray:
        """Draw the colors of the cloud alone: (H, W, 3) uint8, black where there is nothing."""
        return seen.samples.shade(self.channels[:3]).round().byte().movedim(0, 2).cpu().numpy()

    def _solid(self, buffer: DeepBuffer) -> Tensor:
        """The pixels to draw at full size: those on the surface; of a cloud without one, all that show a point.

        Loose points beside a surface are too sparse: alone, each is a speck.
        """
        faces = len(self.geometry.faces)
        return buffer.hit & (buffer.primitive < faces) if faces else buffer.hit

    def _before_skies(
        self, skies: "Skies", shares: "Mapping[str, float]", seen: Seen, raster: Tensor, beside: Tensor
    ) -> Tensor:
        """Put photographed skies behind what is beside the surface (3, H, W). raster: of the view."""
        sky = sky_share(self.model.spec, raster, skies.dataset.meta["sky"])
        share = enlarged(sky, torch.ones_like(sky), self.scale, (beside.shape[1], beside.shape[2]))[0, 0].flatten()
        pixel = share.nonzero().squeeze(1)
        color, weight = skies.look_up(seen.camera, pixel, shares)
        opaque, every = share.index_select(0, pixel), pixel.expand(3, -1)
        around = beside.flatten(1).gather(1, every) * (1 - opaque * weight)
        return beside.flatten(1).scatter(1, every, around.addcmul_(color, opaque)).view_as(beside)

    def _detail(
        self, camera: Camera, depth: Tensor, without: "Collection[str]"
    ) -> tuple[Tensor, Tensor, Tensor] | tuple[None, None, None]:
        """`Seen.logs` and `Seen.photos`, and the detail (h, w, 5) uint8 of the networks' size."""
        if self.sources is None or not self.model.spec.detail:
            return None, None, None
        full, photos = self.sources.detail(camera, depth, without)
        height, width = (-(-side // self.scale) * self.scale for side in depth.shape)
        padded = torch.nn.functional.pad(full, (0, width - depth.shape[1], 0, height - depth.shape[0]))
        return full[:3], photos, encode_detail(pooled_detail(padded, self.scale).movedim(0, 2))
