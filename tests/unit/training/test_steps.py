import pytest
from training_scene import make_config, rows_of, run


def test_pieces_of_a_batch_give_the_whole_batchs_gradient(scene, trained, tmp_path):
    # L1 over crops with the same number of kept pixels would be the same to rounding; a mask makes the means differ
    # a little, so the steps agree closely but not exactly.
    for accumulate in (1, 2):
        config = make_config(accumulate=accumulate, rerender={"kimg": 0.002})
        run("rerender", scene[0], tmp_path / str(accumulate), config, trained)
    one, two = (rows_of(tmp_path / name / "rerender")[0]["total"] for name in ("1", "2"))
    assert one == pytest.approx(two, rel=0.05)
