rule sfm:
    input:
        expand(
            "results/{scene}/sfm/{output}",
            scene=FROM_PHOTOS,
            output=[
                "features.db",
                "database.db",
                "sparse",
                "summary.json",
                "summary.txt",
            ],
        ),
    message:
        "the cameras are known"


rule extract_features:
    input:
        images="results/{scene}/photos/images",
        table="results/{scene}/photos/photos.csv",
    output:
        "results/{scene}/sfm/features.db",
    log:
        "results/{scene}/logs/features.log",
    benchmark:
        "results/{scene}/benchmarks/features.tsv"
    threads: 16
    params:
        settings=pick("sfm", "max_size", "max_features"),
    message:
        "{wildcards.scene}: SIFT features"
    script:
        "../scripts/extract_features.py"


rule match_features:
    input:
        "results/{scene}/sfm/features.db",
    output:
        "results/{scene}/sfm/database.db",
    log:
        "results/{scene}/logs/matches.log",
    benchmark:
        "results/{scene}/benchmarks/matches.tsv"
    threads: 16
    params:
        settings=pick(
            "sfm", "matcher", "retrieval_above", "retrieval_neighbours", "reproducible"
        ),
        seed=config["seed"],
    message:
        "{wildcards.scene}: matching photos"
    script:
        "../scripts/match_features.py"


rule reconstruct:
    input:
        images="results/{scene}/photos/images",
        table="results/{scene}/photos/photos.csv",
        database="results/{scene}/sfm/database.db",
    output:
        sparse=directory("results/{scene}/sfm/sparse"),
        summary="results/{scene}/sfm/summary.json",
        table=report(
            "results/{scene}/sfm/summary.txt",
            caption="../report/registered.rst",
            category="{scene}",
            labels={"result": "registered photos"},
        ),
    log:
        "results/{scene}/logs/reconstruct.log",
    benchmark:
        "results/{scene}/benchmarks/reconstruct.tsv"
    threads: 16
    params:
        settings=pick("sfm", "mapper", "reproducible"),
        seed=config["seed"],
    message:
        "{wildcards.scene}: cameras and sparse points"
    script:
        "../scripts/reconstruct.py"


rule undistort:
    input:
        images="results/{scene}/photos/images",
        sparse="results/{scene}/sfm/sparse",
    output:
        images=directory("results/{scene}/mvs/images"),
        sparse=directory("results/{scene}/mvs/sparse"),
    log:
        "results/{scene}/logs/undistort.log",
    benchmark:
        "results/{scene}/benchmarks/undistort.tsv"
    threads: 4
    params:
        settings=pick("mvs", "max_size"),
    message:
        "{wildcards.scene}: undistorting the registered photos"
    script:
        "../scripts/undistort.py"
