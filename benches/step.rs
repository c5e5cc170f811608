//! `cargo bench`: the same measurements as `webmae bench`, of the smallest workload unless others
//! are named (`cargo bench -- W2 W3 --profile`).

use std::ffi::OsString;

fn main() -> std::process::ExitCode {
    // Cargo adds `--bench`.
    let mut args: Vec<OsString> = std::env::args_os().skip(1).filter(|a| a != "--bench").collect();
    if args.is_empty() {
        args.push("W1".into());
    }
    webmae::cli::run([OsString::from("webmae"), "bench".into()].into_iter().chain(args))
}
