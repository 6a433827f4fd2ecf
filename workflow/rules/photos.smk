rule photos:
    input:
        expand(
            "results/{scene}/photos/{output}",
            scene=FROM_PHOTOS,
            output=["photos.csv", "images"],
        ),
    message:
        "the photos are read"


rule import_photos:
    output:
        table=report(
            "results/{scene}/photos/photos.csv",
            caption="../report/photos.rst",
            category="{scene}",
            labels={"result": "photos and verdicts"},
        ),
        images=directory("results/{scene}/photos/images"),
    log:
        "results/{scene}/logs/photos.log",
    benchmark:
        "results/{scene}/benchmarks/photos.tsv"
    wildcard_constraints:
        scene=any_of(FROM_PHOTOS),
    threads: 8
    resources:
        **asks("import_photos"),
    params:
        folder=lambda wildcards: SCENES[wildcards.scene]["photos"],
        listing=lambda wildcards: listing(SCENES[wildcards.scene]["photos"]),
        settings=config["ingest"],
    message:
        "{wildcards.scene}: reading the photos"
    script:
        "../scripts/import_photos.py"
