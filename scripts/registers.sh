#!/usr/bin/env bash
# What Mesa's compiler for AMD's GPUs makes of every kernel, as a table: registers, spills, workgroup memory. No such GPU
# is needed, only Mesa's driver (Debian's mesa-vulkan-drivers).
# Usage: scripts/registers.sh [FAMILY], by default navi21; vega10, navi10, navi21 and navi31 are others (the last
# has cooperative matrices).
set -euo pipefail
cd "$(dirname "$0")/.."
RADV_FORCE_FAMILY=${1:-navi21} WEBMAE_TEST_REGISTERS=1 cargo test --quiet --test registers -- --nocapture
