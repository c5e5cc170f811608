//! The `webmae` command.

fn main() -> std::process::ExitCode {
    webmae::cli::run(std::env::args_os())
}
