import numpy as np

from nrw.dataset.packed import PackedDataset
from nrw.training import sampler
from nrw.training.sampler import jittered


def test_every_photo_is_seen_once_a_round():
    ids = [str(number) for number in range(7)]
    seen = [photo_id for step in range(7) for photo_id in sampler.photos_of(ids, 1, "rerender", step, 2)]
    assert sorted(seen[:7]) == sorted(seen[7:]) == ids
    assert seen[:7] != seen[7:]
    assert seen[:2] != sampler.photos_of(ids, 2, "rerender", 0, 2)


def test_a_share_of_the_photos_gives_its_appearance_in_part():
    regions = [sampler.random_region(np.random.default_rng(number), 0.5) for number in range(400)]
    parts = np.array([region for region in regions if region is not None])
    assert 150 < len(parts) < 250
    assert parts.min() >= 0 and parts.max() <= 1
    widths = parts[:, 1] - parts[:, 0]
    assert 0.4 <= widths.min() < 0.45 and 0.75 < widths.max() <= 0.8
    assert sampler.random_region(np.random.default_rng(0), 0) is None


def test_jitter_is_another_exposure_of_the_same_photo(scene):
    view = PackedDataset(scene[0]).view("0000")
    assert jittered(view, np.random.default_rng(0), 0.0) is view
    changed = [jittered(view, np.random.default_rng(seed), 1.0) for seed in range(100)]
    assert 0.15 < np.mean([other is view for other in changed]) < 0.45
    stops = [np.log2((other.pixels.mean() + 1) / (view.pixels.mean() + 1)) for other in changed if other is not view]
    assert 0.2 < np.std(stops) < 1.5
    other = next(other for other in changed if other is not view)
    for channel in range(3):  # a monotonic curve for each channel
        order = np.argsort(view.pixels[..., channel].ravel(), kind="stable")
        assert (np.diff(other.pixels[..., channel].ravel()[order].astype(int)) >= 0).all()
    again = jittered(view, np.random.default_rng(changed.index(other)), 1.0)
    np.testing.assert_array_equal(again.pixels, other.pixels)
    assert again.labels is view.labels
