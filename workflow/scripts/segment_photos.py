from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    import torch

    from nrw.core.io import write_json
    from nrw.core.pieces import chunk
    from nrw.jobs.gpus import take
    from nrw.segmentation.labels import segment_photos

    take(snakemake.resources.gpu, snakemake.config["device"])
    torch.set_num_threads(snakemake.threads)
    images, out = Path(snakemake.input.images), Path(snakemake.output[0])
    ids = chunk(sorted(path.stem for path in images.glob("*.jpg")), snakemake.wildcards.scatteritem)
    segment_photos(
        images,
        out.parents[1],
        ids,
        out.with_suffix(".key"),
        **snakemake.params.settings,
        device=snakemake.params.device,
    )
    write_json(out, ids)
