"""Learned matches of photos whose overlap is known."""

import shutil

import numpy as np
import pytest
from corner_scene import corner_photo, noise_photo, viewpoints

from nrw.sfm import learned
from nrw.sfm.learned import LearnedMatcher

SHIFT = np.array([40, 16])


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    photo = corner_photo(*viewpoints(3)[1], seed=1)
    photo.crop((0, 0, 280, 220)).save(folder / "a.jpg", quality=95)
    photo.crop((*SHIFT, 320, 236)).save(folder / "b.jpg", quality=95)
    shutil.copy(folder / "a.jpg", folder / "half.jpg")
    noise_photo(1).save(folder / "noise.jpg")
    return LearnedMatcher(folder, "cpu")


def test_matches_of_two_crops_are_as_far_apart_as_the_crops(matcher):
    (matches,) = matcher.match([("a.jpg", "b.jpg")], "matching")
    a, b = matcher.picture("a.jpg").points[matches[:, 0]], matcher.picture("b.jpg").points[matches[:, 1]]
    assert len(matches) > 100
    assert (np.abs(a - b - SHIFT).max(1) < 1).mean() > 0.9


def test_keypoints_are_in_the_photos_pixels(matcher, monkeypatch):
    monkeypatch.setattr(learned, "SIZE", 140)
    picture = matcher.picture("half.jpg")
    assert picture.size.tolist() == [280, 220]
    assert picture.points.min() > 0 and (picture.points < picture.size).all()
    assert (np.ptp(picture.points, axis=0) > 0.8 * picture.size).all()


def test_other_places_hardly_match(matcher):
    (matches,) = matcher.match([("a.jpg", "noise.jpg")], "matching")
    assert len(matches) < 20
