"""Scores of views at the size of the photos, of a wall whose texture other photos lend."""

import csv

import pytest
import torch
from detail_scene import SCALE, VALIDATION, config, make_scene
from tiny_scene import save_networks
from wall import WIDTH

from nrw.core.errors import UserError
from nrw.evaluation.scores import evaluate


@pytest.fixture(scope="module")
def files(tmp_path_factory, one_thread):
    files = make_scene(tmp_path_factory.mktemp("scene") / "wall")
    torch.manual_seed(0)
    save_networks(files.root, config())
    return files


def test_views_are_scored_at_the_size_of_the_photos(files, tmp_path):
    result = evaluate(*files.open_scored("cpu"), tmp_path, refine_steps=0)
    with open(tmp_path / "metrics.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["id"] for row in rows} == {VALIDATION}
    assert {int(row["size"]) for row in rows} == {WIDTH // SCALE, WIDTH}
    views = result["views"]
    assert views["size"] == WIDTH and views["detailed"] > 0.95
    ours, r = (views["protocols"]["full"][method] for method in ("ours", "R"))
    assert ours["hit_psnr"] > r["hit_psnr"] + 3 and ours["hit_ssim"] > r["hit_ssim"] + 0.1
    assert ours["sharpness"] > 2 * r["sharpness"]


def test_scores_need_the_photos_of_that_size(files, tmp_path):
    files.detailed_photos.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="detail/photos; run `snakemake"):
        files.open_scored("cpu")
    (tmp_path / "elsewhere").rename(files.detailed_photos)
