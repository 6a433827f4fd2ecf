"""A SegFormer of some 100 000 weights that tells the sky from the rest of the demo landmark: enough to test with."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

from nrw.core.ade20k import ADE20K_NAMES

SIZE = (128, 96)
STEPS = 120


def train_segmenter(demo: Path, leave_out: set[str], folder: Path) -> None:
    """Train on the demo photos but `leave_out` (names relative to photos/), and save as the hub's models are."""
    truth = json.loads((demo / "truth" / "cameras.json").read_text())["photos"]
    photos, labels = [], []
    for name, entry in truth.items():
        if name not in leave_out:
            with Image.open(demo / "photos" / name) as photo:
                photos.append(np.array(ImageOps.exif_transpose(photo).convert("RGB").resize(SIZE)))
            with Image.open(demo / "truth" / entry["labels"]) as label:
                labels.append(np.array(label.resize(SIZE, Image.Resampling.NEAREST)))
    processor = SegformerImageProcessorPil(size={"height": SIZE[1], "width": SIZE[0]})
    pixels = processor(photos, return_tensors="pt").pixel_values
    targets = torch.from_numpy(np.stack(labels)).long() - 1  # the hub's labels count from 0
    names = dict(enumerate(ADE20K_NAMES))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SegformerForSemanticSegmentation(
            SegformerConfig(
                depths=[1, 1, 1, 1],
                hidden_sizes=[16, 24, 32, 48],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=32,
                id2label=names,
                label2id={name: i for i, name in names.items()},
            )
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        for _ in range(STEPS):
            batch = torch.randint(len(photos), (4,))
            optimizer.zero_grad()
            model(pixel_values=pixels[batch], labels=targets[batch]).loss.backward()
            optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
