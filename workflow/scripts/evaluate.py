from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.dataset.packed import PackedDataset
    from nrw.evaluation.scores import evaluate
    from nrw.scene.model import SceneModel

    torch.set_num_threads(snakemake.threads)
    completion = snakemake.input.completion
    model = SceneModel.load(
        Path(snakemake.input.model).parent, Path(completion).parent if completion else None, snakemake.params.device
    )
    evaluate(
        model,
        PackedDataset(snakemake.input.dataset),
        Path(snakemake.output.json).parent,
        **snakemake.params.settings,
    )
