MATCHES = gathered(gather.pairs, FILES.matches("{scatteritem}"))


rule sfm:
    input:
        expand(MATCHES, scene=FROM_PHOTOS),
        expand(
            [
                FILES.features,
                FILES.pairs,
                FILES.database,
                FILES.reconstruction,
                FILES.sfm_summary,
                FILES.sfm_table,
            ],
            scene=FROM_PHOTOS,
        ),
    message:
        "the cameras are known"


rule extract_features:
    input:
        images=FILES.upright_photos,
        table=FILES.photos_csv,
        usable=FILES.usable_photos,
    output:
        FILES.features,
    log:
        FILES.log("extract_features"),
    benchmark:
        FILES.record("extract_features")
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
        FILES.features,
    output:
        FILES.pairs,
    log:
        FILES.log("choose_pairs"),
    benchmark:
        FILES.record("choose_pairs")
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
        features=FILES.features,
        pairs=FILES.pairs,
    output:
        FILES.matches("{scatteritem}"),
    log:
        FILES.log("match_pairs", "{scatteritem}"),
    benchmark:
        FILES.record("match_pairs", "{scatteritem}")
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
        features=FILES.features,
        matches=MATCHES,
    output:
        FILES.database,
    log:
        FILES.log("merge_matches"),
    benchmark:
        FILES.record("merge_matches")
    threads: 1
    resources:
        **asks("merge_matches"),
    params:
        seed=config["seed"],
    message:
        "{wildcards.scene}: gathering the matches"
    script:
        "../scripts/merge_matches.py"


rule find_parts:
    input:
        images=FILES.upright_photos,
        database=FILES.database,
    output:
        FILES.parts,
    log:
        FILES.log("find_parts"),
    benchmark:
        FILES.record("find_parts")
    threads: 16
    resources:
        **asks("find_parts"),
    params:
        settings=pick("sfm", "mapper", "hierarchical_above", "reproducible"),
        seed=config["seed"],
    message:
        "{wildcards.scene}: parts that the photos fall into"
    script:
        "../scripts/find_parts.py"


rule join_parts:
    input:
        images=FILES.upright_photos,
        database=FILES.database,
        parts=FILES.parts,
    output:
        FILES.joined_database,
    log:
        FILES.log("join_parts"),
    benchmark:
        FILES.record("join_parts")
    threads: 16
    resources:
        **asks("join_parts"),
        gpu=GPU,
    params:
        settings=pick("sfm", "reproducible"),
        device=config["device"],
        seed=config["seed"],
    message:
        "{wildcards.scene}: learned matches between the parts"
    script:
        "../scripts/join_parts.py"


rule reconstruct:
    input:
        images=FILES.upright_photos,
        table=FILES.photos_csv,
        database=FILES.joined_database if config["sfm"]["rescue"] else FILES.database,
    output:
        sparse=directory(FILES.reconstruction),
        summary=FILES.sfm_summary,
        table=report(
            FILES.sfm_table,
            caption="../report/registered.rst",
            category="{scene}",
            labels={"result": "registered photos"},
        ),
    log:
        FILES.log("reconstruct"),
    benchmark:
        FILES.record("reconstruct")
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
        images=FILES.upright_photos,
        sparse=FILES.reconstruction,
    output:
        images=directory(FILES.undistorted_photos),
        sparse=directory(FILES.sparse),
    log:
        FILES.log("undistort"),
    benchmark:
        FILES.record("undistort")
    threads: 4
    resources:
        **asks("undistort"),
    params:
        settings=pick("mvs", "max_size"),
    message:
        "{wildcards.scene}: undistorting the registered photos"
    script:
        "../scripts/undistort.py"
