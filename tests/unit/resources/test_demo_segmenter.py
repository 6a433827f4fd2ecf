"""The committed segmenter labels the demo's photos, none of which it was trained on."""

import numpy as np
from demo_truth import DEMO, PHOTOS
from PIL import Image, ImageOps

from nrw.core.ade20k import label_of, labels_of
from nrw.core.io import read_image
from nrw.segmentation.segmenter import Segmenter


def test_it_is_small_and_says_what_it_is():
    assert sum(path.stat().st_size for path in (DEMO / "segmenter").iterdir()) < 8e6
    card = (DEMO / "segmenter" / "README.md").read_text(encoding="utf-8")
    assert "do not use it on real photos" in card and "| person | " in card


def test_it_labels_the_demo_photos():
    segmenter = Segmenter(str(DEMO / "segmenter"), 480, "cpu")
    found, true = [], []
    for name in sorted(PHOTOS)[::12]:
        with Image.open(DEMO / "photos" / name) as photo:
            found.append(segmenter(np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))).ravel())
        true.append(read_image(DEMO / "truth" / PHOTOS[name]["labels"]).ravel())
    found, true = np.concatenate(found), np.concatenate(true)
    assert np.mean(found == true) > 0.7
    sky = label_of("sky")
    assert np.sum((found == sky) & (true == sky)) > 0.85 * np.sum((found == sky) | (true == sky))
    passing = list(labels_of(["person", "car", "van"]))
    assert np.isin(found, passing)[np.isin(true, passing)].mean() > 0.4
