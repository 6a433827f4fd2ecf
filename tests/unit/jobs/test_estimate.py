from pathlib import Path

import pytest
import yaml

from nrw.config.resolve import resolve
from nrw.jobs.estimate import estimate
from nrw.jobs.requests import COSTS, Cost

ROOT = Path(__file__).resolve().parents[3]
UNLABELLED = {"photos": "x", "segmentation": {"model": "none"}, "training": {"finetune": {"kimg": 2.0}}}
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("photos", "config", "seconds"), [(74, UNLABELLED, 974), (10, UNLABELLED, 465), (60, DEMO, 691)]
)
def test_the_measured_runs_lie_between_the_bounds(photos, config, seconds):
    """Whole runs on 2 idle cores, of benchmarks/RESULTS.md."""
    least, most = estimate(photos, resolve(config), cores=2)
    assert 0.7 * seconds < least < seconds < most < 2.5 * seconds


def test_more_photos_longer_training_and_larger_crops_take_longer_more_cores_shorter():
    def most(photos=50, cores=2, **training):
        return estimate(photos, resolve({"photos": "x", "training": training}), cores)[1]

    assert most(photos=100) > most()
    assert most(finetune={"kimg": 10}) > most()
    assert most(crop_size=256) > most()
    assert most(cores=8) < most() < most(cores=1)


def test_large_sets_grow_in_proportion_to_the_photos():
    """Matching and mapping do; style distances between all pairs add a little."""
    first, second, third = (estimate(photos, resolve({"photos": "x"}), 2)[0] for photos in (1000, 2000, 3000))
    assert third - second == pytest.approx(second - first, rel=0.1)


@pytest.mark.parametrize(
    "config",
    [{"preset": "standard"}, {"preset": "paper"}, {"network": {"base_width": 32}}, {"mvs": {"backend": "colmap"}}],
)
def test_what_was_never_measured_has_no_estimate(config):
    assert estimate(50, resolve({"photos": "x", **config}), 2) is None


def test_the_sky_is_masked_only_without_labels(monkeypatch):
    unlabelled, labelled = UNLABELLED, {"photos": "x"}
    before = [estimate(50, resolve(config), 2)[1] for config in (unlabelled, labelled)]
    monkeypatch.setitem(COSTS, "mask_sky", Cost(lambda load: 1e4, lambda load: 100))
    after = [estimate(50, resolve(config), 2)[1] for config in (unlabelled, labelled)]
    assert after[0] > before[0] + 1000 and after[1] == before[1]
