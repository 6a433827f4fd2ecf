import json

import pytest
from training_scene import BUILDING, SKY, make_config, make_scene, rows_of, run

from nrw.core.errors import UserError


def test_completion_learns_where_sky_and_wall_are_and_never_says_person(scene, tmp_path):
    run("completion", scene[0], tmp_path, make_config(completion={"kimg": 0.1}, tick_kimg=0.05))
    assert rows_of(tmp_path / "completion")[-1]["val_accuracy"] > 0.9
    assert sorted(json.loads((tmp_path / "completion" / "config.json").read_text())["labels"]) == sorted(
        [BUILDING, SKY]
    )


def test_completion_needs_labels(tmp_path):
    dataset, _, _ = make_scene(tmp_path, 4, labelled=False)
    with pytest.raises(UserError, match="no labels"):
        run("completion", dataset, tmp_path)
