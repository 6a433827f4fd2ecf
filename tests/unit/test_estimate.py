import pytest

from nrw.config.resolve import resolve
from nrw.jobs.estimate import estimate


@pytest.mark.parametrize(("photos", "minutes"), [(74, 49), (10, 26)])
def test_the_measured_runs_lie_between_the_bounds(photos, minutes):
    least, most = estimate(photos, resolve({"photos": "x"}), cores=2)
    assert 60 * minutes / 3 < least < 60 * minutes < most < 60 * minutes * 1.5


def test_more_photos_longer_training_and_larger_crops_take_longer_more_cores_shorter():
    def most(photos=50, cores=2, **training):
        return estimate(photos, resolve({"photos": "x", "training": training}), cores)[1]

    assert most(photos=100) > most()
    assert most(finetune={"kimg": 10}) > most()
    assert most(crop_size=256) > most()
    assert most(cores=8) < most() < most(cores=1)


def test_retrieval_grows_in_proportion_to_the_photos():
    first, second, third = (estimate(photos, resolve({"photos": "x"}), 2)[0] for photos in (1000, 2000, 3000))
    assert third - second == pytest.approx(second - first)


@pytest.mark.parametrize(
    "config",
    [{"preset": "standard"}, {"preset": "paper"}, {"network": {"base_width": 32}}, {"mvs": {"backend": "colmap"}}],
)
def test_what_was_never_measured_has_no_estimate(config):
    assert estimate(50, resolve({"photos": "x", **config}), 2) is None
