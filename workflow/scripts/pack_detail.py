from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.detail.training import pack_detail
    from nrw.scene.files import SceneFiles

    torch.set_num_threads(1)  # the photos share the cores
    dataset, out = Path(snakemake.input.dataset), Path(snakemake.output[0])
    pack_detail(
        dataset,
        out.parent,
        SceneFiles(dataset.parent).framebuffers,
        out,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
