#!/usr/bin/env python3
"""Makes every golden fixture, or shows that the committed ones are right: see README.md."""

import argparse
import sys
from pathlib import Path

import torch
from fixtures import pth, reference_size
from fixtures.check import check
from fixtures.folders import folders

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
PTH = "pth/torch.pth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--check",
        action="store_true",
        help="draw the inputs again, compute everything from the committed inputs, compare",
    )
    action.add_argument("--write", action="store_true", help="write everything anew")
    parser.add_argument("--folder", type=Path, default=FIXTURES, help="tests/fixtures by default")
    arguments = parser.parse_args()
    # One thread adds in one order.
    torch.set_num_threads(1)
    if arguments.write:
        write(arguments.folder)
    else:
        sys.exit(report(arguments.folder))


def write(root: Path) -> None:
    for folder in folders():
        folder.write(root)
    path = root / PTH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pth.contents())


def report(root: Path) -> int:
    """Checks everything; returns the exit status."""
    problems = []
    for folder in folders():
        for case in folder.cases:
            problems += check(folder, root, case)
    same = (root / PTH).read_bytes() == pth.contents()
    print(f"{PTH}: {'written again byte for byte' if same else 'other bytes'}")
    problems += [] if same else [f"{PTH} is not what torch.save writes"]
    problems += reference_size.check()
    for problem in problems:
        print(f"WRONG {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    main()
