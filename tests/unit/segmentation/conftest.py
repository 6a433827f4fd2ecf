"""A model of random weights, saved to disk as real ones are, and a photo for it."""

import numpy as np
import pytest
import torch
from random_segmenters import segformer_config
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessorPil

SIZE = (40, 64)  # height, width


@pytest.fixture(scope="module", autouse=True)
def threads(one_thread):
    """All of these compute with torch."""


@pytest.fixture(scope="session")
def segformer(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segformer")
    SegformerForSemanticSegmentation(segformer_config()).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
