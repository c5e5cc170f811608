//! `webmae ablate`: what a study leaves behind, and what it does not do twice.

#[path = "common/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use pictures::classes;

const STUDY: &str = r#"
title = "Ratio"
axis = "ratio"
paper = "It matters."
seeds = [0]

[pretrain]
image-size = 16
patch-size = 8
dim = 16
depth = 1
heads = 1
decoder-dim = 16
decoder-depth = 1
decoder-heads = 1
batch-size = 2
steps = 3

[[measure]]
name = "linear"
command = "linprobe"
options = { steps = 4, batch-size = 4, crop = "center", no-flip = true }

[[measure]]
name = "tuned"
command = "finetune"
options = { steps = 2, batch-size = 2 }

[[measure]]
name = "neighbours"
command = "knn"
options = { neighbours = 3 }

[[case]]
label = "50 %"
x = 0.5
pretrain = { mask-ratio = 0.5 }

[[case]]
label = "head only"
finetune = { trainable-blocks = "none" }

[[case]]
label = "75 %"
x = 0.75
default = true
pretrain = { mask-ratio = 0.75 }

[[case]]
label = "scratch"
scratch = true
train = { steps = 2, batch-size = 2 }

[[case]]
label = "random"
random = true
"#;

/// A folder with class pictures and a study.
struct Bench {
    folder: tempfile::TempDir,
    data: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = classes(&folder.path().join("pictures"), 4);
        std::fs::write(folder.path().join("study.toml"), STUDY).unwrap();
        Self { folder, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `webmae ablate` of `study` with more `args`.
    fn ablate(&self, study: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webmae"));
        command.arg("ablate").arg(self.path(study)).args(["--data", &self.data, "--out"]);
        command.arg(self.path("out")).args(args).output().expect("the binary runs")
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.ablate("study.toml", args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Every `result.json` and when it was written.
    fn results(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut found = BTreeMap::new();
        collect(&self.path("out"), &mut found);
        found
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.ends_with("result.json") {
            let modified = path.metadata().unwrap().modified().unwrap();
            found.insert(path, modified);
        }
    }
}

#[test]
fn a_study_is_run_once_and_reported() {
    let bench = Bench::new();
    // One case first: only its runs, and a report with gaps.
    let output = bench.succeeds(&["--only", "50 %"]);
    assert!(output.contains("run 4 of 4: 50 %, seed 0: neighbours"), "{output}");
    assert!(bench.read("out/report.html").contains("<td>–</td>"));
    assert_eq!(bench.results().len(), 4);

    // The rest. `head only` shares pre-training, probe and neighbours with `75 %`, which has the default
    // ratio by name: different words, so different runs.
    let output = bench.succeeds(&[]);
    assert!(!output.contains("50 %, seed 0"), "{output}");
    assert_eq!(bench.results().len(), 4 + 4 + 4 + 1 + 4);
    let page = bench.read("out/report.html");
    for words in ["It matters.", "class=\"default\"", "8 pictures", "random", "scratch", "17 of 17"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let csv = bench.read("out/results.csv");
    assert_eq!(csv.lines().count(), 1 + 4 * 3 + 1, "{csv}");
    assert!(csv.contains("\n75 %,0.75,0,linear,"), "{csv}");
    assert!(csv.contains("\nscratch,,0,tuned,") && !csv.contains("\nscratch,,0,linear,"), "{csv}");

    // Nothing is left to do, not even to open a device.
    let before = bench.results();
    let output = bench.succeeds(&["--adapter", "no such adapter"]);
    assert!(output.contains("17 runs, 17 of them complete"), "{output}");
    assert_eq!((bench.results(), bench.read("out/results.csv")), (before.clone(), csv.clone()));

    // A result that is missing is made again, and nothing else.
    let missing = before.keys().find(|path| path.to_str().unwrap().contains("/knn-")).unwrap();
    std::fs::remove_file(missing).unwrap();
    std::fs::remove_file(bench.path("out/results.csv")).unwrap();
    bench.succeeds(&["--report"]);
    assert_eq!(bench.read("out/results.csv").lines().count(), csv.lines().count() - 1);
    let output = bench.succeeds(&[]);
    assert!(output.contains("run 17 of 17") && !output.contains("run 16"), "{output}");
    let after = bench.results();
    assert!(before.iter().all(|(path, time)| path == missing || after[path] == *time));
    assert_eq!((after.len(), bench.read("out/results.csv")), (17, csv));
}

#[test]
fn a_run_that_was_interrupted_goes_on_and_one_that_fails_is_named() {
    let bench = Bench::new();
    bench.succeeds(&["--only", "scratch"]);
    let run = bench.results().into_keys().next().unwrap();
    let folder = run.parent().unwrap();
    std::fs::remove_file(&run).unwrap();
    let output = bench.succeeds(&["--only", "scratch"]);
    assert!(output.contains("going on from") && output.contains("(step 2)"), "{output}");
    // Stopped before the first checkpoint.
    std::fs::remove_file(&run).unwrap();
    std::fs::remove_dir_all(folder.join("checkpoints")).unwrap();
    let output = bench.succeeds(&["--only", "scratch"]);
    assert!(output.contains("beginning anew"), "{output}");

    // A rate that makes everything infinite.
    let failing =
        STUDY.replace("{ mask-ratio = 0.5 }", "{ mask-ratio = 0.5, steps = 60, lr = 1e30 }");
    std::fs::write(bench.path("failing.toml"), failing).unwrap();
    let output = bench.ablate("failing.toml", &["--only", "50 %", "--only", "scratch"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("50 %, seed 0: pre-training: training diverged"), "{error}");
    assert!(error.contains("4 of 17 runs failed or had nothing to measure"), "{error}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("50 %, seed 0: tuned: left out"), "{said}");
    let csv = bench.read("out/results.csv");
    assert!(csv.contains("scratch") && !csv.contains("50 %"), "{csv}");
}

#[test]
fn what_is_wrong_is_said_before_anything_runs() {
    let bench = Bench::new();
    let refuses = |code: i32, from: &str, to: &str, args: &[&str], words: &[&str]| {
        assert!(STUDY.contains(from), "{from}");
        std::fs::write(bench.path("bad.toml"), STUDY.replacen(from, to, 1)).unwrap();
        let output = bench.ablate("bad.toml", args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
        assert!(!bench.path("out").exists(), "{to}");
    };
    refuses(1, "default = true", "defualt = true", &[], &["bad.toml", "defualt"]);
    refuses(
        1,
        "neighbours = 3",
        "neighbors = 3",
        &[],
        &["50 %, seed 0: neighbours", "--neighbors"],
    );
    let last = "steps = 2, batch-size = 2 }\n\n[[case]]\nlabel = \"random\"";
    let to = last.replace("steps", "dim = 15, heads = 2, steps");
    refuses(1, last, &to, &[], &["scratch, seed 0: tuned: --heads"]);
    let blocks = &["head only, seed 0: tuned", "blocks"];
    refuses(1, "\"none\"", "7", &[], blocks);
    refuses(2, "x = 0.5", "x = 0.5", &["--only", "40 %"], &["--only", "75 %"]);
    refuses(1, "x = 0.5", "x = 0.5", &["--smoke"], &["no [smoke] table"]);
    refuses(1, "x = 0.5", "x = 0.5", &["--report"], &["nothing has been run"]);
}
