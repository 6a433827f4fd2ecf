import pytest
import torch
from training_scene import make_config, run

from nrw.core.errors import UserError
from nrw.training.stage import Best, steps_of, update_average


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_an_error(scene, tmp_path):
    with pytest.raises(UserError, match="set device to cpu"):
        run("appearance", scene[0], tmp_path, make_config() | {"device": "cuda"})


def test_the_average_follows_closely_at_first_and_slowly_later():
    trained, average = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for step, share in ((0, 0.9), (90, 0.09), (10**6, 0.001)):
        with torch.no_grad():
            trained.weight.fill_(1.0)
            average.weight.fill_(0.0)
        update_average(average, trained, 0.999, step)
        assert average.weight.item() == pytest.approx(share, rel=1e-4)


def test_steps_show_all_images():
    assert [steps_of(kimg, 2) for kimg in (0, 0.001, 0.003, 8)] == [0, 1, 2, 4000]


def test_the_best_of_the_offered_weights_are_kept():
    module = torch.nn.Linear(1, 1, bias=False)
    best = Best(module)
    for step, score in enumerate([17.0, 19.0, 18.0]):
        torch.nn.init.constant_(module.weight, step)
        best.offer(module, score, step)
    assert (best.score, best.step, best.module.weight.item()) == (19.0, 1, 1.0)
    best.offer(module, None, 3)  # no validation photos
    assert (best.step, best.module.weight.item()) == (3, 2.0)
