from nrw.jobs.stage_log import stage_log

with stage_log(snakemake.log[0]):
    from nrw.photos.importing import import_photos

    import_photos(
        snakemake.config["scenes"][snakemake.wildcards.scene]["photos"],
        snakemake.output.table,
        snakemake.output.images,
        threads=snakemake.threads,
        **snakemake.params.settings,
    )
