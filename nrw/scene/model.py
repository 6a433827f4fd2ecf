"""A trained scene: photos to appearances, deep buffers and appearances to pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nrw.core.ade20k import label_of
from nrw.core.device import on_device, torch_device
from nrw.core.errors import UserError
from nrw.core.io import read_json
from nrw.dataset.packed import View
from nrw.models import losses
from nrw.models.appearance import AppearanceEncoder
from nrw.models.build import Networks, build_networks
from nrw.models.completion import CompletionNet
from nrw.models.inputs import BufferSpec, crop_buffer, encoder_input, keep_mask, photo_tensor, rays
from nrw.models.weights import load_weights

REFINE_RATE = 0.05  # Adam's, on a code of about unit range
REFINE_MEASURED_RATE = 0.005  # on colours that the photo itself gave: larger steps fit the region and lose the rest
REFINE_DSSIM = 0.2  # weight beside L1, as in training
SKY = label_of("sky")
IMPOSSIBLE = 1e6  # more than any score of a class


@dataclass(frozen=True)
class Completion:
    """Semantic completion of a scene. spec: of the network's input. labels: (n,) uint8, one ADE20K label per class."""

    network: CompletionNet
    spec: BufferSpec
    labels: Tensor


class SceneModel:
    """Networks of a scene for inference. Appearances z are (Z,) float32 on the CPU, pictures (H, W, 3) uint8.

    networks, spec: as trained. transient: ADE20K labels that do not count. completion: None for a scene without labels.
    """

    def __init__(
        self,
        networks: Networks,
        spec: BufferSpec,
        transient: Sequence[int],
        completion: Completion | None,
        device: torch.device | str = "cpu",
    ):
        self.networks = on_device(networks, torch.device(device)).requires_grad_(False).eval()
        self.spec, self.transient, self.device = spec, transient, torch.device(device)
        self.completion = completion
        if completion is not None:
            on_device(completion.network, torch.device(device)).requires_grad_(False).eval()
            self.completion = replace(completion, labels=completion.labels.to(device))

    @classmethod
    def load(cls, finetune_dir: Path | str, completion_dir: Path | str | None, device: str = "cpu") -> "SceneModel":
        """Load the scene that stage 3 (or 2) wrote to `finetune_dir`; completion_dir: None for a scene without labels.

        Raises UserError where a file is missing or does not fit, or the device does not exist.
        """
        torch_device(device)
        config = _read_config(finetune_dir)
        spec = BufferSpec.from_record(config["spec"])
        networks = build_networks(config, spec)
        networks.discriminator = None
        load_weights(Path(finetune_dir) / "model.safetensors", dict(networks.named_children()))
        completion = None
        if completion_dir is not None:
            completion_config = _read_config(completion_dir)
            completion_spec = BufferSpec.from_record(completion_config["spec"])
            network = CompletionNet(completion_spec, len(completion_config["labels"]))
            load_weights(Path(completion_dir) / "model.safetensors", {"network": network})
            labels = torch.tensor(completion_config["labels"], dtype=torch.uint8)
            completion = Completion(network, completion_spec, labels)
        return cls(networks, spec, config["transient"], completion, device)

    @torch.no_grad()
    def encode(self, view: View, region: tuple[float, float] | None = None) -> Tensor:
        """Encode the appearance z of a photo, or of its columns in `region` only (first and last, as fractions)."""
        seen = encoder_input(view.to(self.device), self.spec, self.transient, region)
        return self.networks.encoder.encode([seen])[0].cpu()

    def refine(self, view: View, z: Tensor, region: tuple[float, float] | None, steps: int) -> Tensor:
        """Refine the z of a photo by gradient descent (Adam) on the columns of `region`, L1 + 0.2 DSSIM.

        Transient pixels do not count. Only the region is rendered, with predicted labels where the scene has
        completion, as for novel views. Returns the z with the lowest loss, which may be the given one.
        """
        view = view.to(self.device)
        height, width = view.shape
        grid = 1 << (self.spec.levels - 1)
        first, last = (min(round(fraction * width / grid) * grid, width) for fraction in region or (0, 1))
        pixels = photo_tensor(view.pixels[:, first:last])[None]
        keep = keep_mask(view.labels[:, first:last], self.transient)[None]
        if self.completion is not None:
            view = replace(view, labels=self.predict_labels(view))
        rasters, index = _batch_of_one(*crop_buffer(view, self.spec, (first, 0, last - first, height)))

        measured, learned = (part.clone().requires_grad_() for part in self._parts(z.detach().to(self.device)))
        optimizer = torch.optim.Adam(
            [{"params": [measured], "lr": REFINE_MEASURED_RATE}, {"params": [learned], "lr": REFINE_RATE}]
        )
        best, least = z, float("inf")
        for step in range(steps + 1):
            with torch.enable_grad():
                code = torch.cat([measured, learned])
                output = self.networks.render(rasters, index, code[None])
                target = torch.where(keep > 0, pixels, output.detach())  # also hides transients from their neighbours
                loss = losses.l1(output, target, keep) + REFINE_DSSIM * losses.dssim(output, target, keep)
            if loss.item() < least:
                best, least = code.detach().cpu().clone(), loss.item()
            if step < steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if isinstance(self.networks.encoder, AppearanceEncoder):  # whose learned codes lie in a cube
                    learned.data.clamp_(-1, 1)
        return best

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split a code (Z,) into its measured part, empty for the encoder of 2019, and its learned part."""
        encoder = self.networks.encoder
        start = len(z) - encoder.z_dim if isinstance(encoder, AppearanceEncoder) else 0
        return z[:start], z[start:]

    @torch.no_grad()
    def render_view(
        self, view: View, z: Tensor, predict_labels: bool = False, edit: np.ndarray | None = None
    ) -> np.ndarray:
        """Render a picture (H, W, 3) uint8 from a view's deep buffer; its photo is not used.

        z: (Z,). predict_labels: use the completion network's labels in place of the view's, where the scene has one.
        edit: (256,) uint8, what each label is replaced by (`scene.editing`).
        Raises UserError when labels are to be predicted in a scene that was trained with labels but has no completion.
        """
        rasters, index = self.buffer(self.completed(view) if predict_labels else view, edit)
        return to_picture(self.networks.render(rasters, index, z[None].to(self.device))[0])

    def buffer(self, view: View, edit: np.ndarray | None = None) -> tuple[list[Tensor], list[Tensor] | None]:
        """Return the networks' input of a view, as a batch of one (`models.inputs.crop_buffer`).

        edit: as for `render_view`.
        """
        view = view.to(self.device)
        if edit is not None:
            view = replace(view, labels=torch.from_numpy(edit).to(self.device)[view.labels.int()])
        return _batch_of_one(*crop_buffer(view, self.spec))

    def completed(self, view: View) -> View:
        """Replace a view's labels by predicted ones; in a scene without labels the view stays as it is.

        Raises UserError in a scene that was trained with labels but has no completion.
        """
        if self.completion is not None:
            return replace(view, labels=self.predict_labels(view))
        if self.spec.classes:
            raise UserError(
                "This scene was trained with labels, but there is no completion network to predict those of a new "
                "view: run the rule `train_completion`, or give a label map."
            )
        return view

    @torch.no_grad()
    def predict_labels(self, view: View) -> Tensor:
        """Predict the label map (H, W) uint8 of a view from its deep buffer, without sky below the horizon.

        On the model's device. Transient labels never occur.

        Raises UserError in a scene without completion.
        """
        if self.completion is None:
            raise UserError("This scene has no completion network: its photos were not segmented.")
        labels = self.completion.labels
        rasters, index = _batch_of_one(*crop_buffer(view.to(self.device), self.completion.spec))
        scores = self.completion.network(rasters, index)[0]
        if view.camera is not None:
            beneath = rays(view.camera, self.device)[2] < 0
            scores = torch.addcmul(scores, (labels == SKY)[:, None, None].float(), beneath.float(), value=-IMPOSSIBLE)
        return labels[scores.max(dim=0).indices]  # argmax takes four times as long


def _batch_of_one(rasters: list[Tensor], index: list[Tensor] | None) -> tuple[list[Tensor], list[Tensor] | None]:
    return [level[None] for level in rasters], None if index is None else [level[None] for level in index]


def to_picture(output: Tensor) -> np.ndarray:
    """Convert a picture (3, H, W) in [-1, 1] to (H, W, 3) uint8, clamped."""
    return output.clamp(-1, 1).add_(1).mul_(127.5).round_().byte().permute(1, 2, 0).cpu().numpy()


def _read_config(folder: Path | str) -> dict:
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: train the scene first.")
    return read_json(path)
