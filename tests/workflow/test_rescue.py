"""Photos of two sides of the demo landmark, which SIFT does not connect, as a user joins them."""

import shutil

import pytest

from benchmarks.overlays import errors_of
from benchmarks.truth import DEMO, Truth
from nrw.core.io import read_json
from nrw.scene.files import SceneFiles

pytestmark = pytest.mark.workflow
RIGHT = ("group/day2/P_2902.jpg", "marta/DSC_1177.jpg", "marta/DSC_2158.jpg", "marta/IMG_2630.jpg")
LEFT = ("group/IMG_2242.jpg",)
SFM = [
    "--cores",
    "2",
    "sfm",
    "--config",
    "photos=sides",
    "ingest={min_size: 200}",
    "sfm={max_size: 640, rescue: true, reproducible: true}",
]


def test_photos_of_two_sides_become_one_model(snakemake, tmp_path):
    for name in RIGHT + LEFT:
        (tmp_path / "sides" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DEMO / "photos" / name, tmp_path / "sides" / name)
    run = snakemake(tmp_path, *SFM)
    assert run.returncode == 0, run.stdout
    files = SceneFiles(tmp_path / "results" / "sides")
    assert [len(part) for part in read_json(files.parts)] == [len(RIGHT)]
    assert read_json(files.sfm_summary)["registered"] == len(RIGHT + LEFT)
    assert errors_of(files, Truth()).max() < 3
    assert "pairs verified" in files.log("join_parts").read_text()
    assert "Nothing to be done" in snakemake(tmp_path, *SFM).stdout
