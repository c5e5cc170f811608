#!/usr/bin/env bash
# Sets up what is missing, then runs webmae with the given arguments: ./run.sh pretrain --help
set -euo pipefail
cd "$(dirname "$0")"
. ./setup.sh
exec cargo run --release -- "$@"
