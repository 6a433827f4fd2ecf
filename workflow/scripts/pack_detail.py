from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.pieces import remove_others
    from nrw.dataset.packed import PackedDataset
    from nrw.detail.residuals import residual_path
    from nrw.detail.training import pack_detail
    from nrw.jobs.gpus import take
    from nrw.scene.files import SceneFiles

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(1)  # the photos share the cores
    dataset, out = Path(snakemake.input.dataset), Path(snakemake.output[0])
    remove_others(PackedDataset(dataset).train_ids, lambda photo_id: [residual_path(out.parent, photo_id)])
    pack_detail(
        dataset,
        out.parent,
        SceneFiles(dataset.parent).framebuffers,
        out,
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
