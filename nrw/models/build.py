"""The networks that a configuration asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nrw.core.errors import UserError
from nrw.models import paper2019
from nrw.models.appearance import AppearanceEncoder, paint_measured
from nrw.models.detail_channels import DARKEST, DETAIL
from nrw.models.discriminator import MultiScaleDiscriminator
from nrw.models.generator import FilmUNet
from nrw.models.inputs import BufferSpec
from nrw.models.points import PointFeatures, PointLighting

LEAST_TRUST = 0.5  # in detail

Encoder = AppearanceEncoder | paper2019.AppearanceEncoder


class Networks(nn.Module):
    """The networks trained on a scene.

    discriminator: None without an adversarial loss. points: the cloud's learned channels, or None. lighting: of the
    cloud's points, for novel views, not trained; None where the deep buffer has no such channels.

    color_spec: the spec of the deep buffer if the first part of z is a linear map from it to a picture
    (`appearance.AppearanceEncoder`), which the renderer sees at every level and corrects; else None.
    """

    def __init__(
        self,
        renderer: nn.Module,
        encoder: Encoder,
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

        raster_levels: (B, C_raster, h_l, w_l), then the detail (B, 5, H, W) where the spec has it, and index_levels:
        (B, h_l, w_l) int64, or None, as `crop_buffer` gives them; z: (B, Z).
        """
        if self.color_spec is None:
            return self.renderer(self._inputs(raster_levels, index_levels), z)
        correction = self.correct(raster_levels, index_levels, z)
        picture = correction.measured
        if correction.trust is not None:
            picture = with_detail(picture, raster_levels[-1][:, :3], correction.trust)
        return picture + correction.color

    def correct(
        self, raster_levels: Sequence[Tensor], index_levels: Sequence[Tensor] | None, z: Tensor
    ) -> "Correction":
        """Compute what the renderer changes of the measured picture. Arguments: of `render`."""
        assert self.color_spec is not None
        levels = self._inputs(raster_levels, index_levels)
        measured = [paint_measured(self.color_spec, raster, z) for raster in raster_levels[: len(levels)]]
        detail = raster_levels[len(levels) :]  # of the finest level
        levels = [
            torch.cat([raster, color, *(detail if level == 0 else [])], dim=1)
            for level, (raster, color) in enumerate(zip(levels, measured, strict=True))
        ]
        found = self.renderer(levels, z)
        if not detail:
            return Correction(measured[0], found, None)
        return Correction(measured[0], found[:, :3], LEAST_TRUST + 2 * (1 - LEAST_TRUST) * torch.sigmoid(found[:, 3:]))

    def _inputs(self, raster_levels: Sequence[Tensor], index_levels: Sequence[Tensor] | None) -> list[Tensor]:
        """The levels with the points' learned channels, without the detail."""
        detail = self.color_spec is not None and self.color_spec.detail
        levels = list(raster_levels[:-1] if detail else raster_levels)
        if self.points is None:
            return levels
        assert index_levels is not None  # a spec with point channels gives them
        pairs = zip(levels, index_levels, strict=True)
        return [torch.cat([raster, self.points(index)], dim=1) for raster, index in pairs]


@dataclass(frozen=True)
class Correction:
    """What a renderer changes of the measured picture (B, 3, H, W): color (B, 3, H, W) is added.

    trust: (B, 1, H, W), from LEAST_TRUST to 2 - LEAST_TRUST, 1 before any training: the power to which the detail of
    source photos is raised; None without detail.
    """

    measured: Tensor
    color: Tensor
    trust: Tensor | None


def with_detail(picture: Tensor, logs: Tensor, trust: Tensor) -> Tensor:
    """Multiply a picture (…, 3, H, W) in [-1, 1] by the detail: log ratios (…, 3, H, W), times trust (…, 1, H, W)."""
    darkest = 1 + 2 * DARKEST  # from -DARKEST in [0, 1] to 0 here
    return (picture.clamp_min(-1) + darkest) * torch.exp(logs * trust) - darkest


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
        channels = [spec.channels + 3] * spec.levels
        channels[0] += DETAIL * spec.detail
        renderer = FilmUNet(network, channels, encoder.z_size, 4 if spec.detail else 3)
        for parameter in renderer.to_rgb.parameters():  # training starts from the picture in the measured colours
            nn.init.zeros_(parameter)
        discriminator = MultiScaleDiscriminator(conditioned) if adversarial else None
        lighting = PointLighting(spec.n_points, spec.lighting) if spec.lighting else None
        return Networks(renderer, encoder, discriminator, points, lighting, spec)
    raise UserError(f"network.architecture is {architecture!r}: choose film or paper2019")
