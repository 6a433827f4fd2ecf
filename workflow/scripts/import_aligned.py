from pathlib import Path

from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.aligned import import_aligned

    import_aligned(
        snakemake.params.folder,
        Path(snakemake.output.index).parent,
        seed=snakemake.params.seed,
        **snakemake.params.settings,
    )
