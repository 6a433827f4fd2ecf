"""Stage 1."""

import json

import numpy as np
import pytest
import torch
from training_scene import PERSON, make_config, rows_of, run, weights

from nrw.core.errors import UserError
from nrw.dataset.packed import PackedDataset
from nrw.models.perceptual import VGGFeatures, gram_matrices, style_distance
from nrw.training import appearance


def test_triplets_are_learned(scene, tmp_path):
    run("appearance", scene[0], tmp_path, make_config(appearance={"kimg": 0.2, "batch_size": 4}, tick_kimg=0.04))
    rows = rows_of(tmp_path / "appearance")
    assert rows[-1]["triplet"] < 0.5 * rows[0]["triplet"]


def test_distances_are_those_of_the_gram_matrices_without_transients(trained, scene):
    dataset = PackedDataset(scene[0])
    ids = json.loads((trained / "appearance" / "style_distances.json").read_text())
    assert ids == dataset.train_ids
    vgg = VGGFeatures("random", 1)
    grams = []
    for photo_id in ids:
        view = dataset.view(photo_id)
        height, width = view.labels.shape
        part = slice(height // 2 - 16, height // 2 + 16), slice(width // 2 - 16, width // 2 + 16)
        pixels, people = view.pixels[part].astype(np.float32), view.labels[part] == PERSON
        assert people.any()
        pixels[people] = pixels[~people].mean(axis=0)
        grams.append(gram_matrices(vgg, torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1))
    expected = [[style_distance(a, b).item() for b in grams] for a in grams]
    distances = np.load(trained / "appearance" / "style_distances.npy", allow_pickle=False)
    np.testing.assert_allclose(distances, expected, rtol=2e-3)
    assert distances[0].argmax() == 3  # the darkest photo differs most from the brightest


def test_candidates_are_the_nearest_and_farthest_others():
    places = np.array([0.0, 1.0, 3.0, 7.0, 20.0])
    distances = np.abs(places[:, None] - places)
    near, far = appearance.candidates(distances, 1, 2)
    assert near.tolist() == [[1], [0], [1], [2], [3]]
    assert far[0].tolist() == [3, 4]
    near, far = appearance.candidates(distances, 5, 13)  # a set smaller than what is asked for
    assert near.shape == far.shape == (5, 2)
    assert not set(near[0]) & set(far[0])


def test_squared_distances_of_near_neighbours_far_from_zero():
    rng = np.random.default_rng(0)
    vectors = (1000 + rng.normal(size=(5, 40_000)) * [[0.01], [0.01], [1], [1], [1]]).astype(np.float32)
    expected = ((vectors[:, None].astype(np.float64) - vectors) ** 2).sum(-1)
    np.testing.assert_allclose(appearance.squared_distances(vectors), expected, rtol=1e-5)


def test_without_perceptual_weights_only_the_initial_encoder_can_be_had(scene, tmp_path):
    config = make_config() | {"perceptual": {"weights": "none"}}
    with pytest.raises(UserError, match=r"training\.appearance\.kimg to 0"):
        run("appearance", scene[0], tmp_path, config)
    config["training"]["appearance"]["kimg"] = 0
    run("appearance", scene[0], tmp_path, config)
    assert all(name.startswith("encoder.") for name in weights(tmp_path, "appearance"))
