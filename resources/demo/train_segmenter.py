"""Train the demo's segmenter on renderings of scenes that are not the demo's, and write it with its model card.

    bpyenv/bin/python resources/demo/make_demo.py training --cache renders --seed 1 --count 40   (seeds 2 to 5 too)
    python resources/demo/train_segmenter.py renders/segmenter --held-out 3 --minutes 16

Uses the project's own packages. Pictures NAME.jpg with NAME_labels.png (uint8, 1–150); those whose name starts with
the held-out seed are never trained on.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

from nrw.core.ade20k import ADE20K_NAMES

LONGEST = 320  # pixels, of the pictures; trained up to 2.4 times as large
CROP, BATCH = 192, 8
PASTED = 0.25  # share of the crops that get the people and vehicles of another
TRANSIENT = torch.tensor([ADE20K_NAMES.index(name) for name in ("person", "car", "van")])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
license: mit
---

# Segmenter of the demo scene

A SegFormer with {parameters:,} parameters and ADE20K's 150 labels, trained from random initialization in {minutes:.0f}
minutes on one CPU thread, on {train} renderings ({longest} px) of scenes like the demo's.
**It is for the demo and for tests. It knows one procedural square and nothing else: do not use it on real photos**;
take one of the published ADE20K models there.

None of the demo's own photos was used in training. Labels that never occur in the renderings are never predicted.

## Intersection over union on {held_out} held-out renderings

Another seed: other textures, statues, trees and houses, other cameras, light, people and vehicles; the layout of the
square is the same. Pixel accuracy {accuracy:.3f}, mean IoU over the classes below {mean:.3f}.

| label | IoU | share of pixels |
|---|---|---|
{rows}

Made by `resources/demo/train_segmenter.py`, {steps} steps.
"""


def load(folder: Path, held_out: str) -> tuple[list, list]:
    """What to train on and what is held out: lists of pictures (3, H, W) with their labels (H, W), -1 unknown."""
    sets = [], []
    for path in sorted(folder.glob("*.jpg")):
        with Image.open(path) as image:
            image.thumbnail((LONGEST, LONGEST))
            pixels = np.asarray(image, np.float32) / 255
        with Image.open(path.with_name(f"{path.stem}_labels.png")) as image:
            truth = np.asarray(image.resize(pixels.shape[1::-1], Image.Resampling.NEAREST), np.int64) - 1
        picture = ((pixels - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)
        sets[path.stem.startswith(f"{held_out}_")].append((torch.from_numpy(picture), torch.from_numpy(truth)))
    return sets


def batch(pictures: list, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops: scaled by 0.8 to 2.4, mirrored at random, brightness, contrast and colour jittered.

    Into some of them people and vehicles of another crop are pasted (Ghiasi et al. 2021, "Simple Copy-Paste"), because
    those are few and small, and masking them is what the labels are most needed for.
    """
    chosen_pictures, chosen_labels = [], []
    for _ in range(BATCH):
        picture, truth = crop(pictures, generator)
        if torch.rand((), generator=generator) < PASTED:
            other, other_truth = crop(pictures, generator)
            passing = torch.isin(other_truth, TRANSIENT)
            picture, truth = torch.where(passing, other, picture), torch.where(passing, other_truth, truth)
        chosen_pictures.append(picture)
        chosen_labels.append(truth)
    return torch.stack(chosen_pictures), torch.stack(chosen_labels)


def crop(pictures: list, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A random crop of a random picture (3, CROP, CROP) with its labels (CROP, CROP)."""
    picture, truth = pictures[int(torch.randint(len(pictures), (), generator=generator))]
    mirror, zoom, top, left = torch.rand(4, generator=generator).tolist()
    side = min(round(CROP / (0.8 * 3**zoom)), *truth.shape)
    y, x = int(top * (truth.shape[0] - side + 1)), int(left * (truth.shape[1] - side + 1))
    picture, truth = picture[None, :, y : y + side, x : x + side], truth[None, None, y : y + side, x : x + side]
    picture = functional.interpolate(picture, (CROP, CROP), mode="bilinear", align_corners=False)[0]
    truth = functional.interpolate(truth.float(), (CROP, CROP), mode="nearest")[0, 0].long()
    gain, shift = torch.randn(2, 3, 1, 1, generator=generator) * 0.12
    picture = picture * (1 + gain + 0.15 * torch.randn(1, generator=generator)) + shift
    return (picture.flip(-1), truth.flip(-1)) if mirror < 0.5 else (picture, truth)


def make_model() -> SegformerForSemanticSegmentation:
    names = dict(enumerate(ADE20K_NAMES))
    return SegformerForSemanticSegmentation(
        SegformerConfig(
            hidden_sizes=[16, 32, 64, 128],
            depths=[2, 2, 2, 2],
            num_attention_heads=[1, 2, 4, 8],
            decoder_hidden_size=96,
            drop_path_rate=0.0,
            classifier_dropout_prob=0.0,
            id2label=names,
            label2id={name: i for i, name in names.items()},
        )
    )


def train(model, pictures: list, minutes: float, seed: int) -> int:
    """AdamW with a warm-up and a cosine over the time given; returns the number of steps."""
    generator = torch.Generator().manual_seed(seed)
    frequency = sum(torch.bincount(truth[truth >= 0], minlength=len(ADE20K_NAMES)).float() for _, truth in pictures)
    weight = torch.where(frequency > 0, (frequency.sum() / frequency.clamp(min=1)).pow(0.15), 0.0)
    weight /= weight[frequency > 0].mean()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.01)
    model.train()
    start, steps = time.time(), 0
    while (spent := (time.time() - start) / (60 * minutes)) < 1:
        rate = 1.5e-3 * min(1, (steps + 1) / 30) * 0.5 * (1 + math.cos(math.pi * spent))
        optimizer.param_groups[0]["lr"] = rate
        inputs, truth = batch(pictures, generator)
        logits = model(pixel_values=inputs).logits  # (B, 150, CROP / 4, CROP / 4)
        loss = functional.cross_entropy(logits, truth[:, 2::4, 2::4], weight, ignore_index=-1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            print(f"{spent:.0%}  step {steps}  loss {loss.item():.3f}", flush=True)
    return steps


@torch.no_grad()
def confusion(model, pictures: list) -> np.ndarray:
    """(150, 150) int64 counts of pixels: rows truth, columns prediction."""
    model.eval()
    counts = torch.zeros(len(ADE20K_NAMES) ** 2, dtype=torch.int64)
    for picture, truth in pictures:
        logits = model(pixel_values=picture[None]).logits
        found = functional.interpolate(logits, truth.shape, mode="bilinear", align_corners=False).argmax(1)[0]
        known = truth >= 0
        counts += torch.bincount(truth[known] * len(ADE20K_NAMES) + found[known], minlength=len(counts))
    return counts.numpy().reshape(len(ADE20K_NAMES), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renderings", type=Path)
    parser.add_argument("--held-out", required=True, help="seed whose renderings are only tested on")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "segmenter")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    pictures, test_pictures = load(arguments.renderings, arguments.held_out)
    model = make_model()
    steps = train(model, pictures, arguments.minutes, arguments.seed)
    counts = confusion(model, test_pictures)
    hits, truth = counts.diagonal(), counts.sum(1)
    union = truth + counts.sum(0) - hits
    present = np.flatnonzero(truth)
    present = present[np.argsort(-truth[present])]
    rows = [f"| {ADE20K_NAMES[i]} | {hits[i] / union[i]:.3f} | {truth[i] / truth.sum():.2%} |" for i in present]
    model.save_pretrained(arguments.out)
    SegformerImageProcessorPil(
        do_resize=False, image_mean=list(MEAN), image_std=list(STD), do_reduce_labels=True
    ).save_pretrained(arguments.out)
    card = CARD.format(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        minutes=arguments.minutes,
        train=len(pictures),
        longest=LONGEST,
        held_out=len(test_pictures),
        accuracy=hits.sum() / truth.sum(),
        mean=np.mean(hits[present] / union[present]),
        rows="\n".join(rows),
        steps=steps,
    )
    (arguments.out / "README.md").write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    main()
