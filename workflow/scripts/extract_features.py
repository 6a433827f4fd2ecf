from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm import extract_features

    settings = snakemake.params.settings
    extract_features(
        snakemake.input.images,
        snakemake.input.table,
        snakemake.output[0],
        max_size=settings["max_size"],
        max_features=settings["max_features"],
        threads=snakemake.threads,
        reproducible=settings["reproducible"],
        seed=snakemake.params.seed,
    )
