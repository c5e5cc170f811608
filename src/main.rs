//! The `webmae` command.

fn main() -> std::process::ExitCode {
    quiet_mesa();
    webmae::cli::run(std::env::args_os())
}

/// Without a desktop session, Mesa's layer for choosing among GPUs complains on every start about
/// the session's folder; it has nothing to choose then.
fn quiet_mesa() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
