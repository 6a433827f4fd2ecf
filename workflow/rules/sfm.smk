MATCHES = gather.pairs("results/{{scene}}/sfm/matches/{scatteritem}.db")


rule sfm:
    input:
        expand(MATCHES, scene=FROM_PHOTOS),
        expand(
            "results/{scene}/sfm/{output}",
            scene=FROM_PHOTOS,
            output=[
                "features.db",
                "pairs.txt",
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
    resources:
        **asks("extract_features"),
    params:
        settings=pick("sfm", "max_size", "max_features"),
    message:
        "{wildcards.scene}: SIFT features"
    script:
        "../scripts/extract_features.py"


rule choose_pairs:
    input:
        "results/{scene}/sfm/features.db",
    output:
        "results/{scene}/sfm/pairs.txt",
    log:
        "results/{scene}/logs/pairs.log",
    benchmark:
        "results/{scene}/benchmarks/pairs.tsv"
    threads: 16
    resources:
        **asks("choose_pairs"),
    params:
        settings=pick(
            "sfm", "matcher", "retrieval_above", "retrieval_neighbours", "reproducible"
        ),
        seed=config["seed"],
    message:
        "{wildcards.scene}: choosing the pairs of photos to match"
    script:
        "../scripts/choose_pairs.py"


rule match_pairs:
    input:
        features="results/{scene}/sfm/features.db",
        pairs="results/{scene}/sfm/pairs.txt",
    output:
        "results/{scene}/sfm/matches/{scatteritem}.db",
    log:
        "results/{scene}/logs/matches/{scatteritem}.log",
    benchmark:
        "results/{scene}/benchmarks/matches/{scatteritem}.tsv"
    threads: 1
    resources:
        **asks("match_pairs"),
    params:
        seed=config["seed"],
    message:
        "{wildcards.scene}: matching photos ({wildcards.scatteritem})"
    script:
        "../scripts/match_pairs.py"


rule merge_matches:
    input:
        features="results/{scene}/sfm/features.db",
        matches=MATCHES,
    output:
        "results/{scene}/sfm/database.db",
    log:
        "results/{scene}/logs/merge.log",
    benchmark:
        "results/{scene}/benchmarks/merge.tsv"
    threads: 1
    resources:
        **asks("merge_matches"),
    message:
        "{wildcards.scene}: gathering the matches"
    script:
        "../scripts/merge_matches.py"


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
    resources:
        **asks("reconstruct"),
    params:
        settings=pick("sfm", "mapper", "hierarchical_above", "reproducible"),
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
    resources:
        **asks("undistort"),
    params:
        settings=pick("mvs", "max_size"),
    message:
        "{wildcards.scene}: undistorting the registered photos"
    script:
        "../scripts/undistort.py"
