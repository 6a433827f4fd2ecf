from pathlib import Path

from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.core.ade20k import labels_of
    from nrw.core.pieces import chunk
    from nrw.dataset.split import read_split
    from nrw.framebuffers.observations import sample_photos

    out = Path(snakemake.output[0])
    ids = [photo_id for photo_id, part in read_split(snakemake.input.split).items() if part == "train"]
    sample_photos(
        Path(snakemake.input.cloud),
        out.parents[1],
        Path(snakemake.input.sparse).parent,
        Path(snakemake.input.labels).parent if snakemake.input.labels else None,
        chunk(ids, snakemake.wildcards.scatteritem),
        out,
        **snakemake.params.settings,
        masked=labels_of(snakemake.params.masked),
    )
