rule videos:
    input:
        [films(scene) for scene in SCENES],
    message:
        "the videos are filmed"


rule film:
    input:
        dataset="results/{scene}/dataset",
        model="results/{scene}/finetune/model.safetensors",
        completion=completion,
        cloud=lambda wildcards: (
            f"results/{wildcards.scene}/mvs/cloud.ply"
            if wildcards.scene in FROM_PHOTOS
            else []
        ),
        colors=lambda wildcards: (
            f"results/{wildcards.scene}/framebuffers/colors.npy"
            if wildcards.scene in FROM_PHOTOS
            else []
        ),
        path=lambda wildcards: config["videos"]["extra"]
        .get(wildcards.kind, {})
        .get("path", []),
    output:
        video=report(
            "results/{scene}/videos/{kind}.mp4",
            caption="../report/video.rst",
            category="{scene}",
            labels={"result": "video {kind}"},
        ),
        poster="results/{scene}/videos/{kind}.png",
    log:
        "results/{scene}/logs/videos/{kind}.log",
    benchmark:
        "results/{scene}/benchmarks/videos/{kind}.tsv"
    threads: 1
    resources:
        **asks("film"),
        gpu=GPU,
    params:
        settings=config["videos"],
        device=config["device"],
    message:
        "{wildcards.scene}: filming {wildcards.kind}"
    script:
        "../scripts/film.py"
