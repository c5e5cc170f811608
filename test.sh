#!/usr/bin/env bash
# Sets up what is missing and runs every check: format, lints, all tests, the command itself, and the
# package and the page in a real browser. Goes on after a failure; the last line counts everything:
# `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")"
. ./setup.sh
need_vulkan
need_browser_tools

passed=0
failed=0

# Runs a command as one test.
check() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n' "$name"
    fi
}

# Runs cargo's tests with these arguments and adds up the results of every binary and of the documentation. A binary
# that does not compile or crashes leaves no result: it counts as one failure.
cargo_tests() {
    local log status=0 sums
    log=$(mktemp)
    printf '\n== tests: cargo test %s\n' "$*"
    cargo test --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
    sums=$(awk '/^test result:/ { for (i = 2; i <= NF; i++) {
        if ($i == "passed;") p += $(i - 1); if ($i == "failed;") f += $(i - 1) } }
        END { print p + 0, f + 0 }' "$log")
    rm -f "$log"
    passed=$((passed + ${sums% *}))
    failed=$((failed + ${sums#* }))
    if [ "$status" -ne 0 ] && [ "${sums#* }" -eq 0 ]; then
        failed=$((failed + 1))
        printf 'FAILED: cargo test (no result, exit status %s)\n' "$status"
    fi
}

# Runs the tests in the browser and adds up their results. If there is no report, that is one failure.
browser_tests() {
    local report=test-results/report.json status=0 sums
    printf '\n== tests in the browser\n'
    rm -f "$report"
    npm run --silent test:browser || status=$?
    sums=$(node -e '
        const { expected, flaky, unexpected, skipped } = JSON.parse(fs.readFileSync(process.argv[1])).stats;
        console.log(expected + flaky, unexpected + skipped);
    ' "$report" 2>/dev/null) || sums="0 0"
    passed=$((passed + ${sums% *}))
    failed=$((failed + ${sums#* }))
    if [ "$status" -ne 0 ] && [ "${sums#* }" -eq 0 ]; then
        failed=$((failed + 1))
        printf 'FAILED: tests in the browser (exit status %s)\n' "$status"
    fi
}

# The command as people run it, with the tests' build: its default training for a few steps, and what follows
# from that run.
smoke() {
    local folder status=0 webmae=${CARGO_TARGET_DIR:-target}/debug/webmae
    folder=$(mktemp -d)
    "$webmae" info &&
        "$webmae" plan --preset vit-b --batch-size 64 &&
        "$webmae" pretrain --data synthetic --steps 4 --batch-size 16 --out "$folder/run" &&
        "$webmae" info "$folder/run" &&
        "$webmae" export --weights "$folder/run" --out "$folder/hf" &&
        "$webmae" reconstruct --weights "$folder/hf" --out "$folder/grid.png" \
            tests/fixtures/golden/preprocessing/rgb_landscape.png &&
        [ -s "$folder/grid.png" ] || status=$?
    rm -rf "$folder"
    return "$status"
}

# Waits for the build that was started beside the tests.
browser_build() {
    local status=0
    wait "$browser_build" || status=$?
    cat "$browser_log"
    rm -f "$browser_log"
    return "$status"
}

check "format" cargo fmt --all --check
# The build validates every shader.
check "build, shader validation" cargo build --workspace --quiet
check "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
check "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
# The browser's build keeps one core busy, the tests seldom two: side by side.
browser_log=$(mktemp)
npm run --silent build >"$browser_log" 2>&1 &
browser_build=$!
cargo_tests --workspace
# The same models, gradients and fixtures by the shaders; the tests of kernels run on both.
WEBMAE_TEST_DEVICE=gpu cargo_tests --test golden --test gradients --test features --test resume
check "commands" smoke
check "browser build" browser_build
for device in gpu,dropout cpu check; do
    check "lints for the browser, $device" cargo clippy --lib --no-default-features --features "$device" \
        --target wasm32-unknown-unknown --quiet -- -D warnings
done
check "types and lints of the package and the page" npm run --silent check
browser_tests

printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
