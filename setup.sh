# What run.sh and test.sh need: Rust and a linker; what only test.sh needs: a driver for Vulkan on which the shaders
# are tested (need_vulkan), and a browser (need_browser_tools). To be sourced. Installs on Debian and Ubuntu;
# elsewhere says what to install.

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "error: root rights are needed for: $*"
        exit 1
    fi
}

# The loader, and a description of a driver (an "ICD") for it. grep reads to the end: with -q, what
# writes to it would fail.
has_vulkan_driver() {
    if command -v vulkaninfo >/dev/null; then
        vulkaninfo --summary 2>/dev/null | grep deviceName >/dev/null
        return
    fi
    ldconfig -p 2>/dev/null | grep 'libvulkan\.so\.1' >/dev/null || return 1
    [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ] && return 0
    local folder
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d \
        "$HOME/.local/share/vulkan/icd.d"; do
        compgen -G "$folder/*.json" >/dev/null && return 0
    done
    return 1
}

install_with_apt() {
    say "installing: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Installs packages with apt, or says what would be installed elsewhere.
install() {
    local what=$1
    shift
    if command -v apt-get >/dev/null; then
        install_with_apt "$@"
    else
        say "error: please install $what, then run this again:"
        say "  Fedora  dnf install gcc vulkan-loader mesa-vulkan-drivers"
        say "  Arch    pacman -S gcc vulkan-icd-loader vulkan-swrast (or your GPU's vulkan-… package)"
        say "  Alpine  apk add build-base vulkan-loader mesa-vulkan-swrast"
        exit 1
    fi
}

need_linker() {
    command -v cc >/dev/null || install "a C compiler" gcc libc6-dev
}

# The shaders are tested on a GPU, or on Mesa's software driver.
need_vulkan() {
    [ "$(uname -s)" != Linux ] || has_vulkan_driver ||
        install "a Vulkan driver" libvulkan1 mesa-vulkan-drivers
}

# Node, its packages, Rust's target for browsers, and a browser.
need_browser_tools() {
    if ! command -v npm >/dev/null; then
        say "error: Node was not found; install version 20.19 or later (https://nodejs.org), then run this again"
        exit 1
    fi
    if [ -z "${CHROME:-}" ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null &&
        ! command -v google-chrome >/dev/null && ! command -v google-chrome-stable >/dev/null; then
        if command -v apt-get >/dev/null; then
            install_with_apt chromium
        else
            say "error: Chromium or Chrome was not found; install it or name it in CHROME, then run this again"
            exit 1
        fi
    fi
    npm ci --no-audit --no-fund --loglevel=error
}

if [ "$(uname -s)" = Linux ]; then
    need_linker
    # Without a desktop session, Mesa's layer for choosing among GPUs complains on every start.
    [ -n "${XDG_RUNTIME_DIR:-}" ] || export NODEVICE_SELECT=1
fi
if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi
if ! command -v cargo >/dev/null; then
    say "error: Rust was not found; install it as https://rustup.rs says, then run this again"
    exit 1
fi
