import re

import pytest
import yaml

from nrw.config.resolve import resolve
from nrw.report.verdict import (
    FAIR,
    GOOD,
    POOR,
    against_baseline,
    coverage,
    generalisation,
    geometry,
    headline,
    labels,
    registration,
)


def summary(registered, photos, *models):
    models = [{"photos": count} for count in (registered, *models)]
    return {"registered": registered, "photos": photos, "models": models}


@pytest.mark.parametrize(("registered", "level"), [(60, GOOD), (35, FAIR), (20, POOR)])
def test_registered_photos(registered, level):
    finding = registration(summary(registered, 61), unusable=3, rescued=False)
    assert finding.level == level and f"{registered} of 61" in finding.text and "3 more files" in finding.text
    assert bool(finding.advice) == (level != GOOD)


def test_a_second_model_is_a_finding_of_its_own():
    finding = registration(summary(85, 100, 15), unusable=0, rescued=False)
    assert finding.level == FAIR and "Another 15" in finding.text and "between" in finding.advice[0]


def test_a_rescue_is_advised_where_there_was_none():
    advised = [" ".join(registration(summary(60, 100, 5), 0, rescued).advice) for rescued in (False, True)]
    assert "sfm.rescue" in advised[0] and "sfm.rescue" not in advised[1]


SOUND = {
    "pairs": 46,
    "stationary": 0.0,
    "exif": 5,
    "exif_off": 0.0,
    "implausible": 0.0,
    "one_spot": 0.1,
    "errors": {"2": 0.31, "3": 0.44, "4 or more": 0.56},
}


def test_cameras_that_pass_all_checks_are_sound():
    finding = geometry(SOUND, 0.38)
    assert finding.level == GOOD and not finding.advice
    for number in ("0% of 46 pairs", "0% of 5 focal lengths", "0.56 where 4 or more", "38% of the depths"):
        assert number in finding.text
    assert "depths" not in geometry(SOUND).text


@pytest.mark.parametrize(
    ("wrong", "level"),
    [
        ({"stationary": 0.42}, POOR),
        ({"stationary": 0.05}, FAIR),
        ({"exif_off": 0.5}, POOR),
        ({"exif_off": 1.0, "exif": 2}, GOOD),  # two files may have been edited
        ({"implausible": 0.14}, FAIR),
        ({"implausible": 0.37}, POOR),
        ({"one_spot": 0.37}, FAIR),
        ({"one_spot": 0.9}, POOR),
        ({"errors": {"2": 0.4, "3": 0.9, "4 or more": 2.1}}, POOR),
        ({"errors": {"2": 0.4, "3": 0.9, "4 or more": None}}, GOOD),
    ],
)
def test_one_failed_check_is_enough_for_doubt(wrong, level):
    assert geometry({**SOUND, **wrong}).level == level


@pytest.mark.parametrize(("unconfirmed", "level"), [(0.5, GOOD), (0.65, FAIR), (0.9, POOR)])
def test_depth_maps_that_disagree(unconfirmed, level):
    assert geometry(SOUND, unconfirmed).level == level


def test_the_worst_check_is_named_first():
    finding = geometry({**SOUND, "one_spot": 0.37, "exif_off": 0.78})
    assert finding.level == POOR and finding.text.startswith("78% of 5 focal lengths contradict EXIF. At most 37%")
    assert "3D view" in finding.advice[0]


def test_sky_counts_as_uncovered_only_where_it_is_not_labelled():
    assert coverage(1000, 0.4, 0, 10, labelled=False).level == GOOD
    assert coverage(1000, 0.4, 0, 10, labelled=True).level == FAIR
    assert coverage(None, 0.1, 0, 10, labelled=True).level == POOR


def test_many_dropped_photos_are_a_hole_in_the_cloud():
    finding = coverage(1000, 0.9, 3, 10, labelled=True)
    assert finding.level == FAIR and "3 of 10" in finding.text and finding.advice


def test_unlabelled_scenes_are_told_how_to_get_labels():
    assert labels("none", {}).level == FAIR and "segmentation.model" in labels("none", {}).advice[0]
    assert "31%" in labels("a/model", {"sky": 0.31, "transient": 0.02}).text


def means(psnr, ssim):
    return {"R": {"psnr": 15.0, "ssim": 0.4}, "ours": {"psnr": psnr, "ssim": ssim}}


@pytest.mark.parametrize(
    ("psnr", "ssim", "level"), [(16, 0.5, GOOD), (14.9, 0.5, GOOD), (14, 0.5, FAIR), (16, 0.3, FAIR), (14, 0.3, POOR)]
)
def test_the_network_beside_the_baseline(psnr, ssim, level):
    finding = against_baseline(means(psnr, ssim), validation=7)
    assert finding.level == level and f"{psnr - 15:+.1f} dB" in finding.text


def test_few_validation_photos_make_the_scores_doubtful():
    assert "Only 2" in against_baseline(means(16, 0.5), validation=2).text


def curve(*scores):
    return [("finetune", 0.25 * tick, score) for tick, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("scores", "level", "words"),
    [
        ((14, 16, 17, 17.1, 17.15, 17.1), GOOD, "converged"),
        ((14, 15, 16, 17, 18, 19), FAIR, "still learning"),
        ((14, 17, 16.8, 16.6, 16.5, 16.4), FAIR, "overfitting"),
        ((13.2, 13, 12.6, 12.4, 12.2, 12.0), FAIR, "overfitting"),
    ],
)
def test_the_validation_curve(scores, level, words):
    finding = generalisation(curve(*scores), training=50)
    assert finding.level == level and words in finding.title


def test_overfitting_names_the_better_length_and_the_lack_of_photos():
    finding = generalisation(curve(13.2, 13, 12), training=8)
    assert "training.finetune.kimg to 0.25 instead of 0.75" in finding.advice[0] and "8 are few" in finding.advice[1]
    assert (
        "0.25 kimg of stage finetune, 13.2 dB" in finding.text
        and "the weights of its best tick are kept" in finding.text
    )


def test_the_headline_is_the_worst_of_the_findings():
    good, fair, poor = (
        labels("a/model", {}),
        labels("none", {}),
        coverage(1, 0.0, 0, 10, labelled=True),
    )
    assert headline([good, good])[0] == GOOD
    assert headline([good, fair])[0] == FAIR
    assert headline([good, fair, poor, poor]) == (POOR, "The run finished, but 2 points hold the result back.")


def test_a_validation_score_best_in_stage_2_asks_for_a_shorter_stage_3():
    finding = generalisation([("rerender", 2.0, 17.0), *curve(16, 15)], training=50)
    assert "2 kimg of stage rerender, 17.0 dB" in finding.text
    assert finding.advice == ("train shorter: lower training.finetune.kimg",)


def test_advice_names_keys_of_the_configuration_and_values_that_it_accepts():
    findings = [
        registration(summary(20, 61, 15), unusable=0, rescued=False),
        coverage(1000, 0.0, 0, 10, labelled=True),
        labels("none", {}),
        generalisation(curve(14, 15, 16, 17, 18, 19), training=50),
        generalisation(curve(13.2, 13, 12), training=50),
    ]
    text = "\n".join(advice for finding in findings for advice in finding.advice)
    named = dict(re.findall(r"([a-z]\w*(?:\.[a-z]\w*)+)(?:,? (?:for example )?to (\S+\b))?", text))
    assert named == {
        "sfm.rescue": "true",
        "sfm.max_features": "16000",
        "sfm.max_size": "",
        "mvs.max_size": "1000",
        "mvs.min_views": "2",
        "segmentation.model": "openmmlab/upernet-convnext-base",
        "training.finetune.kimg": "0.25",
    }
    for key, value in named.items():
        config = yaml.safe_load(value or "2000")
        for part in reversed(key.split(".")):
            config = {part: config}
        resolve({"photos": "photos", **config})  # raises UserError for an unknown key or a wrong value
