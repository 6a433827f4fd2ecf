from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm import reconstruct

    settings = snakemake.params.settings
    reconstruct(
        snakemake.input.images,
        snakemake.input.table,
        snakemake.input.database,
        snakemake.output.sparse,
        snakemake.output.summary,
        snakemake.output.table,
        mapper=settings["mapper"],
        threads=snakemake.threads,
        reproducible=settings["reproducible"],
        seed=snakemake.params.seed,
    )
