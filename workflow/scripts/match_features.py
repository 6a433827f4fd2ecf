from nrw.log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.sfm import match

    settings = snakemake.params.settings
    match(
        snakemake.input[0],
        snakemake.output[0],
        matcher=settings["matcher"],
        retrieval_above=settings["retrieval_above"],
        retrieval_neighbours=settings["retrieval_neighbours"],
        threads=snakemake.threads,
        reproducible=settings["reproducible"],
        seed=snakemake.params.seed,
    )
