from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.jobs.gpus import take
    from nrw.scene.files import SceneFiles
    from nrw.videos.shots import film

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    files, device = SceneFiles(Path(snakemake.input.dataset).parent), snakemake.params.device
    if snakemake.input.cloud:
        views, dataset = files.open_views(device)
        model = views.model
    else:
        views, (model, dataset) = None, files.open(device)
    film(snakemake.wildcards.kind, model, dataset, views, snakemake.params.settings, snakemake.output.video)
