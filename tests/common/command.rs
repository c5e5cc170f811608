//! The binary, run on good and bad input.

use std::process::{Command, Output};

use serde_json::Value;

pub fn webmae(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webmae"));
    command.args(args).output().expect("the binary runs")
}

/// Runs what must succeed; returns its output.
pub fn succeeds(args: &[&str]) -> String {
    let output = webmae(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "webmae {args:?} failed: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs what must be refused with `code` and an error that contains all `words`.
pub fn refuses(code: i32, args: &[&str], words: &[&str]) {
    let output = webmae(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "webmae {args:?}: {error}");
    assert!(error.starts_with("error: "), "webmae {args:?}: {error}");
    for word in words {
        assert!(error.contains(word), "webmae {args:?} does not say {word:?}: {error}");
    }
}

pub fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(args)).expect("JSON")
}
