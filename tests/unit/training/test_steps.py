import pytest
import torch
from training_scene import make_config, rows_of, run

from nrw.models.discriminator import MultiScaleDiscriminator
from nrw.models.losses import lsgan_discriminator, lsgan_generator
from nrw.training.steps import opposed


def test_pieces_of_a_batch_give_the_whole_batchs_gradient(scene, trained, tmp_path):
    # L1 over crops with the same number of kept pixels would be the same to rounding; a mask makes the means differ
    # a little, so the steps agree closely but not exactly.
    for accumulate in (1, 2):
        config = make_config(accumulate=accumulate, rerender={"kimg": 0.002})
        run("rerender", scene[0], tmp_path / str(accumulate), config, trained)
    one, two = (rows_of(tmp_path / name / "rerender")[0]["total"] for name in ("1", "2"))
    assert one == pytest.approx(two, rel=0.05)


def test_a_picture_judged_once_has_the_gradients_of_two_judgements(float32):
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(3 + 5, filters=4)
    raster, output, target = (torch.rand(2, channels, 64, 64) for channels in (5, 3, 3))
    output.requires_grad_()
    weights = list(judge.parameters())

    of_output, of_judge = opposed(judge, raster, output, target)
    found = [*torch.autograd.grad(of_judge, weights), *torch.autograd.grad(of_output, [output])]
    separate = lsgan_generator(judge(raster, output))
    fake = judge(raster, output.detach())
    expected = torch.autograd.grad(lsgan_discriminator(judge(raster, target), fake), weights)
    expected += torch.autograd.grad(separate, [output])
    assert of_output.item() == separate.item()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
