import pytest

from nrw.config.choices import NOT_IN_RESULT, TRAINING_STAGES, mapper_for, matcher_for, stage_settings
from nrw.config.resolve import resolve


def test_auto_is_retrieval_and_hierarchical_beyond_the_configured_numbers():
    sfm = resolve({"photos": "p"})["sfm"]
    assert matcher_for(sfm, sfm["retrieval_above"]) == "exhaustive"
    assert matcher_for(sfm, sfm["retrieval_above"] + 1) == "retrieval"
    assert mapper_for(sfm, sfm["hierarchical_above"]) == "incremental"
    assert mapper_for(sfm, sfm["hierarchical_above"] + 1) == "hierarchical"


def test_what_is_named_is_used():
    assert matcher_for({"matcher": "exhaustive", "retrieval_above": 2}, 1000) == "exhaustive"
    assert mapper_for({"mapper": "global", "hierarchical_above": 2}, 1000) == "global"


@pytest.mark.parametrize("stage", TRAINING_STAGES)
def test_a_stage_depends_on_its_own_settings_only(stage):
    usual = stage_settings(resolve({"photos": "p"}), stage)
    others = {other: {"kimg": 9} for other in TRAINING_STAGES if other != stage}
    changed = {"threads": 7, "tick_kimg": 0.5, **others}
    assert set(NOT_IN_RESULT) <= set(changed)
    assert stage_settings(resolve({"photos": "p", "training": changed, "videos": {"fps": 12}}), stage) == usual
    assert stage_settings(resolve({"photos": "p", "training": {stage: {"kimg": 9}}}), stage) != usual
    assert stage_settings(resolve({"photos": "p", "training": {"batch_size": 4}}), stage) != usual
