"""Stage 1: the appearance encoder learns to order photos as their style does.

A triplet loss draws the code of a photo to that of one of the photos nearest to it in style and away from that of one
of the farthest; style is the Gram matrices of VGG16 activations ("Neural Rerendering in the Wild", Meshry et al., CVPR
2019, section 3.3 and appendix).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from nrw.core.io import atomic_path, write_json
from nrw.core.progress import progress
from nrw.dataset.packed import PackedDataset
from nrw.models.appearance import AppearanceEncoder
from nrw.models.build import build_networks
from nrw.models.inputs import BufferSpec, encode, encoder_input, lasting, photo_tensor
from nrw.models.losses import triplet_loss
from nrw.models.perceptual import VGGFeatures, gram_matrices
from nrw.training import checkpoint, parallel, signals
from nrw.training.log import TrainingLog
from nrw.training.sampler import generator_of, photos_of
from nrw.training.stage import (
    adam,
    autocast,
    finish,
    open_dataset,
    perceptual_features,
    run_fingerprint,
    set_learning_rates,
    steps_of,
    training_device,
)

STAGE = "appearance"
COLUMNS = 1 << 14  # Gram entries of all photos that are in memory at once


def train(dataset_dir: Path | str, out_dir: Path | str, checkpoint_dir: Path | str, config: Mapping) -> None:
    """Train the encoder on triplets of training photos; `training.appearance.kimg` counts triplets.

    Leaves in out_dir: model.safetensors (the encoder; with kimg 0 as it was initialised), config.json, stats.jsonl,
    TensorBoard events, and, unless kimg is 0, style_distances.npy, (N, N) float32, with style_distances.json, the
    ids of its rows. The checkpoint in checkpoint_dir is removed.

    Raises UserError when perceptual.weights is none and kimg is not 0, and for a loss that is not finite.
    """
    out_dir, checkpoint_dir = Path(out_dir), Path(checkpoint_dir)
    part, seed = config["training"][STAGE], config["seed"]
    batch_size = part["batch_size"]
    part_of_batch, first = parallel.part_of(batch_size), parallel.is_first()
    device = training_device(config)
    dataset = open_dataset(dataset_dir, config)
    spec = BufferSpec.from_config(config, dataset.meta)
    ids, transient = dataset.train_ids, dataset.meta["transient"]

    torch.manual_seed(seed)
    encoder = build_networks(config, spec).encoder.to(device)
    if device.type == "cuda":
        encoder = encoder.to(memory_format=torch.channels_last)
    style = torch.nn.Module()  # holds the distances, so that a checkpoint does
    style.register_buffer("distances", torch.zeros(len(ids), len(ids)))
    modules = {"encoder": encoder, "style": style}
    optimizer = adam([{"params": encoder.parameters(), "peak": part["learning_rate"]}], config)

    steps = steps_of(part["kimg"], batch_size)
    tick = max(1, steps_of(config["training"]["tick_kimg"], batch_size))
    fingerprint = run_fingerprint(config, STAGE, dataset_dir)
    start, state = checkpoint.restore(checkpoint_dir, fingerprint, modules, {"optimizer": optimizer}) or (0, None)
    log = TrainingLog(out_dir, STAGE, steps, batch_size, start, state, writes=first)
    if steps:
        if start == 0 and first:
            vgg = perceptual_features(config, device, "training.appearance", "set training.appearance.kimg to 0")
            style.distances.copy_(style_distances(dataset, vgg, part["style_size"], checkpoint_dir, device))
        parallel.spread(style.distances, device)
        distances = style.distances.numpy()
        if first:
            with atomic_path(out_dir / "style_distances.npy") as temporary:
                np.save(temporary, distances)
            write_json(out_dir / "style_distances.json", ids)
        nearest, farthest = candidates(distances, part["positives"], part["negatives"])
    log.restart_clock()

    with signals.StopSignal(patient=parallel.size() > 1) as stop:
        for step in range(start, steps):
            rng = generator_of(seed, STAGE, step)
            torch.manual_seed(int(rng.integers(2**63)))
            anchors = [ids.index(photo) for photo in photos_of(ids, seed, STAGE, step, batch_size)]
            triplets = np.array([(a, rng.choice(nearest[a]), rng.choice(farthest[a])) for a in anchors])  # (B, 3)
            triplets = triplets[part_of_batch]
            shown, place = np.unique(triplets, return_inverse=True)  # a photo in several triplets is encoded once
            seen = [encoder_input(dataset.view(ids[photo]), spec, transient) for photo in shown]
            rate = set_learning_rates(optimizer, config, step, steps)
            optimizer.zero_grad(set_to_none=True)
            with autocast(device):
                z = encode(encoder, seen, device).float()
            if isinstance(encoder, AppearanceEncoder):
                z = encoder.learned(z)
            anchor, positive, negative = z[torch.as_tensor(place.reshape(-1, 3).T, device=device)]  # each (B, Z)
            loss = triplet_loss(anchor, positive, negative, part["margin"]) / parallel.size()
            loss.backward()
            parallel.sum_gradients(optimizer)
            optimizer.step()
            log.add(step, parallel.summed({"triplet": loss}))

            done = step + 1
            parallel.agree(stop, device)
            if first and (done % tick == 0 or done == steps):
                log.tick(done, {"learning_rate": rate})
            if first and (done % tick == 0 or done == steps or stop.received):
                checkpoint.save(checkpoint_dir, fingerprint, done, modules, {"optimizer": optimizer}, log.state())
                log.restart_clock()
            if stop.received:
                parallel.wait()
                stop.leave()

    log.close()
    if not first:
        return
    finish(out_dir, checkpoint_dir, STAGE, {"encoder": encoder}, config, spec=spec)


def style_distances(
    dataset: PackedDataset, vgg: VGGFeatures, size: int, scratch_dir: Path, device: torch.device
) -> torch.Tensor:
    """Style distances, (N, N) float32, between the training photos: see `models.perceptual.style_distance`.

    Compared are centre crops of `size` pixels a side, less where a photo is smaller, in which transient pixels take
    the mean colour of the others. Gram matrices are megabytes a photo: they pass through a file in scratch_dir.
    """
    scratch_dir.mkdir(parents=True, exist_ok=True)
    path = scratch_dir / "grams.f32"
    vectors = None
    for row, photo in enumerate(progress(dataset.train_ids, len(dataset.train_ids), "style of photos")):
        view = dataset.view(photo)
        height, width = view.labels.shape
        side = min(size, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        part = slice(top, top + side), slice(left, left + side)
        picture = photo_tensor(view.photo[part])
        keep = lasting(view.labels[part], dataset.meta["transient"])
        mean = (picture * keep).mean(dim=(1, 2), keepdim=True) / keep.mean().clamp_min(1e-6)
        picture = torch.where(keep > 0, picture, mean)
        with torch.no_grad():
            grams = gram_matrices(vgg, picture[None].to(device))
        # The mean of squares over a C x C matrix is the squared length of its entries divided by C.
        vector = torch.cat([gram.flatten() / gram.shape[-1] for gram in grams]).cpu().numpy()
        if vectors is None:
            vectors = np.memmap(path, np.float32, "w+", shape=(len(dataset.train_ids), len(vector)))
        vectors[row] = vector
    distances = squared_distances(vectors)
    del vectors
    path.unlink()
    return distances


def squared_distances(vectors: np.ndarray) -> torch.Tensor:
    """Squared Euclidean distances, (N, N) float32, between the rows of (N, D) float32, which may be mapped from a file.

    The rows are first brought to mean zero, which changes no distance and keeps the differences of large numbers, in
    which |a|² + |b|² - 2ab would lose near neighbours, small.
    """
    products = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for start in range(0, vectors.shape[1], COLUMNS):
        columns = torch.tensor(vectors[:, start : start + COLUMNS], dtype=torch.float64)
        columns -= columns.mean(dim=0)
        products += columns @ columns.T
    squares = products.diagonal()
    return (squares[:, None] + squares - 2 * products).clamp_min(0).fill_diagonal_(0).float()


def candidates(distances: np.ndarray, positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of N photos the `positives` nearest others and the `negatives` farthest, (N, P) and (N, Q) indices.

    In a small set P is at most half of the N - 1 others and Q the rest, so that none is both; with two photos both are
    the other one, the loss is its margin and nothing is learned.
    """
    others = len(distances) - 1
    order = np.argsort(distances + np.diag(np.full(len(distances), -np.inf)), axis=1, kind="stable")[:, 1:]
    positives = min(positives, max(1, others // 2))
    negatives = min(negatives, max(1, others - positives))
    return order[:, :positives], order[:, others - negatives :]
