from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.chunks import chunk
    from nrw.io import write_json
    from nrw.segmentation import segment_photos

    images = Path(snakemake.input.images)
    ids = chunk(sorted(path.stem for path in images.iterdir()), snakemake.wildcards.scatteritem)
    settings = snakemake.params.settings
    segment_photos(
        images,
        Path(snakemake.output[0]).parents[1],
        ids,
        model=settings["model"],
        max_size=settings["max_size"],
        device=snakemake.params.device,
    )
    write_json(snakemake.output[0], ids)
