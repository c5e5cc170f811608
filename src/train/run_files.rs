//! Names of the files in a run's folder.

use std::path::Path;

use super::run_lock;

/// What the run is and was asked to do.
pub const CONFIG: &str = "config.json";
/// What each step reported.
pub const METRICS: &str = "metrics.jsonl";

/// Whether a run was begun in the folder, however soon it ended.
pub fn is_begun(run: &Path) -> bool {
    // In the order of their making.
    [run_lock::NAME, METRICS, CONFIG].iter().any(|name| run.join(name).exists())
}
