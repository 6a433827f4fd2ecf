from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.io import write_json
    from nrw.core.pieces import chunk
    from nrw.dataset.packed import PackedDataset
    from nrw.detail.residuals import measure_residuals
    from nrw.jobs.gpus import take
    from nrw.scene.files import SceneFiles

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    source, out = snakemake.input, Path(snakemake.output[0])
    files = SceneFiles(Path(source.dataset).parent)
    ids = chunk(PackedDataset(source.dataset).train_ids, snakemake.wildcards.scatteritem)
    measure_residuals(
        Path(source.dataset),
        Path(source.model).parent,
        Path(source.cloud),
        Path(source.colors),
        Path(source.lighting) if source.lighting else None,
        files.framebuffers,
        Path(source.sparse).parent,
        Path(source.photos),
        Path(source.labels).parent if source.labels else None,
        files.detail,
        ids,
        out.with_suffix(".key"),
        z_dim=snakemake.params.z_dim,
        device=snakemake.params.device,
    )
    write_json(out, ids)
