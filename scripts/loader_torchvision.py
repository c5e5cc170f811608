#!/usr/bin/env python3
"""How fast torchvision prepares batches, to compare with `webmae bench --data DIR`.

The same work on the same files: pictures of a tree of class folders decoded, RandomResizedCrop(224, scale
(0.2, 1), bicubic), horizontal flip, ToTensor, in shuffled batches. Needs torch and torchvision
(`pip install torch torchvision`).

    python scripts/loader_torchvision.py DIR              one worker, and one per core
    python scripts/loader_torchvision.py DIR --workers 4 --json
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time

# A sample lasts at least this long, as in `webmae bench`.
SECONDS_PER_SAMPLE = 0.25


def positive(text: str) -> int:
    """Parses a number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="How fast torchvision prepares batches, to compare with `webmae bench --data DIR`."
    )
    parser.add_argument("data", metavar="DIR", help="tree of class folders with pictures (ImageFolder)")
    parser.add_argument(
        "--workers", type=positive, nargs="+", metavar="N",
        help="worker processes, one measurement for each number [default: 1, and one per core]",
    )
    parser.add_argument("--image-size", type=positive, default=224, metavar="N", help="side of a sample [224]")
    parser.add_argument("--batch-size", type=positive, default=64, metavar="N", help="images per batch [64]")
    parser.add_argument("--steps", type=positive, default=10, metavar="N", help="timed samples [10]")
    parser.add_argument("--warmup", type=positive, default=2, metavar="N", help="batches before them [2]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


def open_folder(path: str, image_size: int):
    """The pictures below `path`, augmented as in MAE pre-training."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    augment = transforms.Compose([
        transforms.RandomResizedCrop(
            image_size, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC
        ),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ])
    if not os.path.isdir(path):
        fail(f"{path}: is no folder; give a tree of class folders with pictures")
    # As `webmae`, which takes the training part of a data set.
    train = os.path.join(path, "train")
    try:
        return ImageFolder(train if os.path.isdir(train) else path, augment)
    except (FileNotFoundError, RuntimeError) as problem:
        fail(f"{path}: {problem}; give a tree of class folders with pictures")


def endless(loader):
    while True:
        yield from loader


def measure(dataset, workers: int, arguments: argparse.Namespace) -> list[float]:
    """Images per second of each sample."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        dataset, arguments.batch_size, shuffle=True, num_workers=workers, drop_last=True,
        persistent_workers=True,
    )
    if len(loader) == 0:
        fail(f"--batch-size: {arguments.batch_size} images are more than the {len(dataset)} there are; give fewer")
    batches = endless(loader)

    def seconds(count: int) -> float:
        began = time.perf_counter()
        for _ in itertools.islice(batches, count):
            pass
        return time.perf_counter() - began

    seconds(arguments.warmup)
    # Workers run ahead: one batch says too little.
    once = seconds(2 * workers) / (2 * workers)
    count = max(2 * workers, round(SECONDS_PER_SAMPLE / once))
    return sorted(count * arguments.batch_size / seconds(count) for _ in range(arguments.steps))


def spread(samples: list[float]) -> float:
    """Half the distance between the quartiles."""
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2


def main() -> None:
    arguments = parse_arguments()
    try:
        import torch
        import torchvision
    except ImportError as problem:
        fail(f"{problem}; install it with: pip install torch torchvision")
    dataset = open_folder(arguments.data, arguments.image_size)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    results = []
    for workers in arguments.workers or sorted({1, cores}):
        samples = measure(dataset, workers, arguments)
        results.append({
            "workers": workers,
            "images_per_second": statistics.median(samples),
            "spread": spread(samples),
            "samples": samples,
        })
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    if arguments.json:
        print(json.dumps({**versions, "images": len(dataset), "results": results}, indent=2))
        return
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {len(dataset)} pictures")
    for result in results:
        rate, workers = result["images_per_second"], result["workers"]
        print(
            f"{workers} worker{'' if workers == 1 else 's':<2} {rate:10.1f} ± {result['spread']:.1f} images/s, "
            f"{rate / workers:.1f} per worker"
        )


if __name__ == "__main__":
    main()
