import logging

import pytest
from training_scene import rows_of, run

from nrw.core.errors import UserError
from nrw.models import losses


def test_a_tick_says_how_it_goes(scene, tmp_path, trained, caplog):
    with caplog.at_level(logging.INFO):
        run("rerender", scene[0], tmp_path, init=trained)
    lines = [record.message for record in caplog.records if record.message.startswith("rerender:")]
    assert len(lines) == 3
    for part in ("of 0.01 kimg", "l1 0.", "val_psnr", "images/s", "left"):
        assert part in lines[0]
    rows = rows_of(tmp_path / "rerender")
    assert [row["step"] for row in rows] == [2, 4, 6]
    expected = {"step", "kimg", "seconds", "images_per_s", "l1", "gradient", "dssim", "total", "val_l1", "val_psnr"}
    assert expected <= rows[0].keys()
    assert rows[-1]["kimg"] == pytest.approx(0.012)
    assert list((tmp_path / "rerender").glob("events.out.tfevents.*"))


def test_a_loss_that_is_not_finite_stops_the_stage(scene, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "l1", lambda output, target, keep: (output / 0).mean())
    with pytest.raises(UserError, match=r"rerender: the l1 loss is (nan|-?inf) from step 0 on .*learning_rate"):
        run("rerender", scene[0], tmp_path, init=trained)
    assert not (tmp_path / "checkpoints").exists()
