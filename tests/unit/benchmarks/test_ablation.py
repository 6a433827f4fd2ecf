"""The ablation benchmark: its variants are valid configurations, and its table says what the runs found."""

import pytest

from benchmarks.ablation import PILOT_STEPS, VARIANTS, config_of, pilot, table
from nrw.config.resolve import resolve
from nrw.models.build import build_networks
from nrw.models.inputs import BufferSpec

META = {"levels": 3, "has_index": True, "n_points": 10, "lighting": 12, "classes": [1], "near": 0.5, "far": 3.0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_configurations_that_networks_can_be_built_for(variant):
    config = config_of(variant, seed=3, threads=1)
    assert resolve({**config, "scenes": {"place": {"photos": "photos"}}})["seed"] == 3
    assert build_networks(
        {**config, "network": {**config["network"], "base_width": 4}}, BufferSpec.from_config(config, META)
    )


def test_a_pilot_is_short_and_read_half_way():
    part = pilot(config_of("draft", 0, 1), "rerender")["training"]
    assert part["rerender"]["kimg"] == 2 * part["tick_kimg"] == PILOT_STEPS * 2 / 1000
    assert part["rerender"]["learning_rate"] == config_of("draft", 0, 1)["training"]["rerender"]["learning_rate"]


def test_the_table_has_means_and_half_ranges():
    def result(variant, seed, psnr):
        figures = {"psnr": psnr, "ssim": 0.5, "hit_ssim": 0.4}
        methods = {"raw": figures, "R": {**figures, "psnr": 18.0}, "ours": figures}
        stages = {stage: {"kimg": 1.0, "seconds": 60.0} for stage in ("appearance", "rerender", "finetune")}
        return {
            "variant": variant,
            "seed": seed,
            "stages": stages,
            "protocols": dict.fromkeys(("half_refined", "full"), methods),
        }

    lines = list(table([result("draft", 0, 20.0), result("draft", 1, 20.2), result("paper", 0, 17.0)]))
    assert lines[3].startswith("| R | | | | 18.000 |")
    assert lines[4].startswith("| draft | 2 | 2.0 | 3.0 | 20.100 ± 0.100 | 0.500 ± 0.000 |")
    assert lines[5].startswith("| paper | 1 | 2.0 | 3.0 | 17.000 | 0.500 |")
    assert len({line.count("|") for line in lines}) == 1
