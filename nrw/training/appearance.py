"""Stage 1: the appearance encoder learns to order photos by style.

A triplet loss draws the code of a photo to that of one of the photos nearest to it in style, and away from that of one
of the farthest. Style is the Gram matrices of VGG16 activations ("Neural Rerendering in the Wild", Meshry et al., CVPR
2019, section 3.3 and appendix).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nrw.core.device import on_device
from nrw.core.io import atomic_path, scratch_folder, write_json
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset
from nrw.models.appearance import AppearanceEncoder, Moments, fit_prior
from nrw.models.build import build_networks
from nrw.models.inputs import BufferSpec, encoder_input, keep_mask, photo_tensor
from nrw.models.losses import triplet_loss
from nrw.models.perceptual import VGGFeatures, gram_matrices
from nrw.training import parallel
from nrw.training.loop import Stage, run
from nrw.training.sampler import photos_of
from nrw.training.stage import adam, open_dataset, perceptual_features, run_fingerprint

COLUMNS = 1 << 14  # Gram entries of all photos that are in memory at once


def train(dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping) -> None:
    """Train the encoder on triplets of training photos; `training.appearance.kimg` counts triplets.

    Leaves in out_dir: model.safetensors (the encoder; with kimg 0 only its prior is learned), config.json, stats.jsonl,
    TensorBoard events and, unless kimg is 0, style_distances.npy, (N, N) float32, with style_distances.json, the ids of
    its rows. The checkpoint in checkpoint_dir is deleted.

    Raises UserError when perceptual.weights is none and kimg is not 0, and for a loss that is not finite.
    """
    run(AppearanceStage(dataset_dir, out_dir, checkpoint_dir, config))


class StyleDistances(torch.nn.Module):
    """The style distances between N photos: a module, so that a checkpoint holds them. distances: (N, N) float32."""

    distances: Tensor

    def __init__(self, photos: int):
        super().__init__()
        self.register_buffer("distances", torch.zeros(photos, photos))


class AppearanceStage(Stage):
    """Stage 1, as the loop sees it."""

    def __init__(self, dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping):
        super().__init__("appearance", out_dir, checkpoint_dir, config)
        self.part_of_batch = parallel.part_of(self.batch_size)
        self.dataset = open_dataset(dataset_dir, config)
        self.ids, self.read = self.dataset.train_ids, self.dataset.reader(self.device)
        self.spec = BufferSpec.from_config(config, self.dataset.meta)

        torch.manual_seed(config["seed"])
        self.encoder = on_device(build_networks(config, self.spec).encoder, self.device)
        self.style = StyleDistances(len(self.ids))
        self.modules = {"encoder": self.encoder, "style": self.style}
        groups = [{"params": self.encoder.parameters(), "peak": self.settings["learning_rate"]}]
        self.optimizers = {"optimizer": adam(groups, config)}
        self.fingerprint = run_fingerprint(config, self.name, dataset_dir)

    def prepare(self, start: int) -> None:
        """Find what is usual among the photos, measure their style distances, and list each photo's candidates.

        A checkpoint holds the first two.
        """
        if start == 0 and isinstance(self.encoder, AppearanceEncoder):
            self.encoder.set_prior(*fit_prior(self._moments(self.encoder)))
        if not self.steps:
            return
        first = parallel.rank() == 0
        if first and start == 0:
            vgg = perceptual_features(
                self.config, self.device, "training.appearance", "set training.appearance.kimg to 0"
            )
            size = self.settings["style_size"]
            self.style.distances.copy_(style_distances(self.dataset, vgg, size, self.checkpoint_dir, self.device))
        parallel.broadcast(self.style.distances, self.device)
        distances = self.style.distances.numpy()
        if first:
            with atomic_path(self.out_dir / "style_distances.npy") as temporary:
                np.save(temporary, distances)
            write_json(self.out_dir / "style_distances.json", self.ids)
        self.nearest, self.farthest = candidates(distances, self.settings["positives"], self.settings["negatives"])

    def step(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Move the encoder by a batch of triplets."""
        photo_ids = photos_of(self.ids, self.config["seed"], self.name, number, self.batch_size)
        anchors = [self.ids.index(photo_id) for photo_id in photo_ids]
        triplets = np.array([(a, rng.choice(self.nearest[a]), rng.choice(self.farthest[a])) for a in anchors])  # (B, 3)
        shown, place = np.unique(triplets[self.part_of_batch], return_inverse=True)  # each photo is encoded once
        transient = self.dataset.meta["transient"]
        seen = [encoder_input(self.read(self.ids[number]), self.spec, transient) for number in shown]
        z = self.encoder.encode(seen)
        if isinstance(self.encoder, AppearanceEncoder):
            z = self.encoder.learned(z)
        places = torch.from_numpy(place.reshape(-1, 3).T.copy()).to(self.device, non_blocking=True)
        anchor, positive, negative = z[places]  # each (B, Z)
        loss = triplet_loss(anchor, positive, negative, self.settings["margin"]) / parallel.world_size()
        loss.backward()
        parallel.sum_gradients(self.optimizers["optimizer"])
        self.optimizers["optimizer"].step()
        return {"triplet": loss}

    @torch.no_grad()
    def _moments(self, encoder: AppearanceEncoder) -> Moments:
        """The second moments of all training photos, on the CPU."""
        found = []
        for photo_id in self.ids:
            seen = encoder_input(self.read(photo_id), self.spec, self.dataset.meta["transient"])
            x, keep = (values[None] for values in seen)
            found.append([values.cpu() for values in vars(encoder.moments(x, keep)).values()])
        return Moments(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def result(self, done: int) -> tuple[dict[str, torch.nn.Module], dict[str, object]]:
        return {"encoder": self.encoder}, {"spec": self.spec}


def style_distances(
    dataset: PackedDataset, vgg: VGGFeatures, size: int, scratch_dir: Path, device: torch.device
) -> Tensor:
    """Measure the style distances, (N, N) float32, between the training photos (`models.perceptual.style_distance`).

    Compared are square centre crops of `size` pixels a side, smaller where a photo is, in which transient pixels take
    the mean colour of the others. Gram matrices are megabytes per photo: they pass through a file in scratch_dir.
    """
    photos = progress(dataset.train_ids, len(dataset.train_ids), "style of photos")
    with scratch_folder(scratch_dir / "grams") as folder:
        # not through a map of the file, which ends the process where the disk is full
        with open(folder / "grams.f32", "wb") as stream:
            for photo_id in photos:
                stream.write(_style(dataset, photo_id, vgg, size, device).data)
        return squared_distances(np.memmap(stream.name, np.float32, "r").reshape(len(dataset.train_ids), -1))


def _style(dataset: PackedDataset, photo_id: str, vgg: VGGFeatures, size: int, device: torch.device) -> np.ndarray:
    """The entries of a photo's Gram matrices, float32, scaled so that squared lengths are means of squares."""
    view = dataset.view(photo_id)
    height, width = view.labels.shape
    side = min(size, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    part = slice(top, top + side), slice(left, left + side)
    pixels = photo_tensor(view.pixels[part])
    keep = keep_mask(view.labels[part], dataset.meta["transient"])
    mean = (pixels * keep).mean(dim=(1, 2), keepdim=True) / keep.mean().clamp_min(1e-6)
    pixels = torch.where(keep > 0, pixels, mean)
    with torch.no_grad():
        grams = gram_matrices(vgg, pixels[None].to(device))
    # The mean of squares over a C x C matrix is the squared length of its entries divided by C.
    return torch.cat([gram.flatten() / gram.shape[-1] for gram in grams]).cpu().numpy()


def squared_distances(vectors: np.ndarray) -> Tensor:
    """Squared Euclidean distances, (N, N) float32, between the rows of (N, D) float32, which may be memory-mapped.

    Each column is first brought to mean zero. That changes no distance, but in |a|² + |b|² - 2ab the small distances
    of near neighbours would be lost as differences of large numbers.
    """
    products = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for start in range(0, vectors.shape[1], COLUMNS):
        columns = torch.tensor(vectors[:, start : start + COLUMNS], dtype=torch.float64)
        columns -= columns.mean(dim=0)
        products += columns @ columns.T
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp_min(0).fill_diagonal_(0).float()


def candidates(distances: np.ndarray, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """List, for each of N photos, the `positives` nearest others and the `negatives` farthest: (N, P), (N, Q) indices.

    In a small set P is at most half of the N - 1 others and Q at most the rest, so that no photo is both. With two
    photos both are the other one: the loss equals its margin and nothing is learned.
    """
    others = len(distances) - 1
    order = np.argsort(distances + np.diag(np.full(len(distances), -np.inf)), axis=1, kind="stable")[:, 1:]
    positives = min(positives, max(1, others // 2))
    negatives = min(negatives, max(1, others - positives))
    return order[:, :positives], order[:, others - negatives :]
