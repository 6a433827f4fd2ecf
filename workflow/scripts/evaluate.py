from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.evaluation.scores import evaluate
    from nrw.jobs.gpus import take
    from nrw.scene.files import SceneFiles

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    files = SceneFiles(Path(snakemake.input.dataset).parent)
    model, dataset, views, photos = files.open_scored(snakemake.params.device)
    evaluate(model, dataset, views, photos, Path(snakemake.output.json).parent, **snakemake.params.settings)
