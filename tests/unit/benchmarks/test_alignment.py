import cv2
import numpy as np
import pytest

from benchmarks.alignment import aligned
from benchmarks.ground_truth import Compared, _scored


@pytest.fixture
def true():
    noise = np.random.default_rng(0).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    return cv2.resize(noise, (128, 96), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def moved(picture, motion):
    return cv2.warpAffine(
        picture, np.float32(motion), picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def error(picture, true):
    return np.abs(picture[8:-8, 8:-8].astype(float) - true[8:-8, 8:-8]).mean()


EVERYWHERE = np.ones((96, 128), bool)


def test_a_moved_picture_comes_back(true):
    picture = moved(true, [[1.01, 0.004, 0.6], [-0.003, 0.995, -1.3]])
    assert error(picture, true) > 8
    assert error(aligned(picture, true, EVERYWHERE), true) < 1.5


def test_another_light_does_not_matter(true):
    darker = (moved(true, [[1, 0, 0.7], [0, 1, 0.4]]) * 0.5 + 20).astype(np.uint8)
    assert error(aligned(darker, true, EVERYWHERE), true * 0.5 + 20) < 1.5


def test_pixels_without_a_point_have_no_say(true):
    picture = moved(true, [[1, 0, 0.8], [0, 1, -0.6]])
    picture[:, :50] = np.roll(true, 3, axis=0)[:, :50]  # moved otherwise, and not hit
    hit = EVERYWHERE.copy()
    hit[:, :52] = False
    assert error(aligned(picture, true, hit)[:, 60:], true[:, 60:]) < 1.5
    assert error(aligned(picture, true, EVERYWHERE)[:, 60:], true[:, 60:]) > 3


def test_a_picture_that_nothing_aligns_stays_as_it_is(true):
    flat = np.full_like(true, 90)
    assert np.array_equal(aligned(flat, true, EVERYWHERE), flat)


def test_a_picture_that_lies_far_off_stays_as_it_is(true):
    far = moved(true, [[1, 0, 4], [0, 1, 0]])
    assert np.array_equal(aligned(far, true, EVERYWHERE), far)
    near = moved(true, [[1, 0, 2], [0, 1, 0]])
    assert error(aligned(near, true, EVERYWHERE), true) < 1.5


def test_studies_with_hit_pixels_are_scored_aligned_as_well(true):
    made = {"R": moved(true, [[1, 0, 0.7], [0, 1, 0.4]])}
    item = Compared("light", "0", true, made, EVERYWHERE)
    lines = _scored("study", iter([item]), None)
    assert [line.split(" | ")[0] for line in lines] == ["| light", "| light, each aligned"]
    plain, straight = (float(line.split(" | ")[3]) for line in lines)
    assert straight > plain + 5
