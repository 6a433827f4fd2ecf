"""The networks that a configuration asks for."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nrw.core.errors import UserError
from nrw.models import paper2019
from nrw.models.appearance import AppearanceEncoder, paint_measured
from nrw.models.discriminator import MultiScaleDiscriminator
from nrw.models.generator import FilmUNet
from nrw.models.inputs import BufferSpec, PointFeatures, PointLighting


class Networks(nn.Module):
    """The networks trained on a scene.

    discriminator: None without an adversarial loss. points: the cloud's learned channels, or None. lighting: of the
    cloud's points, for novel views, not trained; None where the deep buffer has no such channels.

    color_spec: the spec of the deep buffer if the first part of z is a linear map from it to a picture
    (`appearance.AppearanceEncoder`), which the renderer sees at every level and adds to; else None.
    """

    def __init__(
        self,
        renderer: nn.Module,
        encoder: nn.Module,
        discriminator: nn.Module | None = None,
        points: PointFeatures | None = None,
        lighting: PointLighting | None = None,
        color_spec: BufferSpec | None = None,
    ):
        super().__init__()
        self.renderer = renderer
        self.encoder = encoder
        self.discriminator = discriminator
        self.points = points
        self.lighting = lighting
        self.color_spec = color_spec

    def render(self, raster_levels: Sequence[Tensor], index_levels: Sequence[Tensor] | None, z: Tensor) -> Tensor:
        """Render a picture (B, 3, H, W), roughly in [-1, 1], not clamped.

        raster_levels: (B, C_raster, h_l, w_l) and index_levels: (B, h_l, w_l) int64, or None, as `raster_tensors` gives
        them; z: (B, Z).
        """
        levels = list(raster_levels)
        if self.points is not None:
            assert index_levels is not None  # a spec with point channels gives them
            pairs = zip(raster_levels, index_levels, strict=True)
            levels = [torch.cat([raster, self.points(index)], dim=1) for raster, index in pairs]
        if self.color_spec is None:
            return self.renderer(levels, z)
        measured = [paint_measured(self.color_spec, raster, z) for raster in raster_levels]
        levels = [torch.cat(pair, dim=1) for pair in zip(levels, measured, strict=True)]
        return measured[0] + self.renderer(levels, z)


def build_networks(config: Mapping, spec: BufferSpec) -> Networks:
    """Build the networks of a complete configuration for its buffer, initialised from torch's global random state.

    Raises UserError for an unknown network.architecture.
    """
    network = config["network"]
    architecture, z_dim = network["architecture"], network["z_dim"]
    points = PointFeatures(spec.n_points, spec.point_channels) if spec.point_channels else None
    conditioned = 3 + spec.raster_channels  # a picture and the buffer's fixed channels
    if architecture == "paper2019":
        return Networks(
            paper2019.Renderer(spec.channels, z_dim),
            paper2019.AppearanceEncoder(conditioned, z_dim),
            paper2019.Discriminator(conditioned),
            points,
        )

    if architecture == "film":
        adversarial = config["training"]["losses"]["adversarial"] > 0
        encoder = AppearanceEncoder(spec, z_dim)
        renderer = FilmUNet(network, [spec.channels + 3] * spec.levels, encoder.z_size)
        for parameter in renderer.to_rgb.parameters():  # training starts from the picture in the measured colours
            nn.init.zeros_(parameter)
        discriminator = MultiScaleDiscriminator(conditioned) if adversarial else None
        lighting = PointLighting(spec.n_points, spec.lighting) if spec.lighting else None
        return Networks(renderer, encoder, discriminator, points, lighting, spec)
    raise UserError(f"network.architecture is {architecture!r}: choose film or paper2019")
