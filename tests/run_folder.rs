//! What happens to a run's folder: one process at a time, nothing overwritten without a word, and training goes on
//! where only what shows it cannot be written.

#[path = "common/command.rs"]
#[expect(dead_code, reason = "each test binary uses a part")]
mod command;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use command::{refuses, succeeds, webmae};
use webmae::train::checkpoints;
use webmae::train::run_folder::read_config;

/// A run of a very small model; `more` comes behind.
fn pretrain(run: &Path, more: &[&str]) -> Vec<String> {
    let usual = "pretrain --device cpu --data synthetic --synthetic-images 85 --image-size 16 --dim 32 --depth 1 \
                 --heads 2 --decoder-dim 16 --decoder-depth 1 --decoder-heads 2 --batch-size 8 --held-out-images 4";
    let usual = usual.split_whitespace().chain(["--out", run.to_str().unwrap()]);
    usual.chain(more.iter().copied()).map(str::to_owned).collect()
}

fn succeeds_with(args: &[String]) -> String {
    succeeds(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_run_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let args =
        pretrain(&run, &["--steps", "100000", "--checkpoint-every", "0.2", "--eval-every", "0"]);
    let mut first = Command::new(env!("CARGO_BIN_EXE_webmae"))
        .args(&args)
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let since = Instant::now();
    while checkpoints::latest(&run).is_err() {
        assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(20));
    }
    let resume = ["pretrain", "--device", "cpu", "--resume", run.to_str().unwrap(), "--steps"];
    let refused = webmae(&[&resume[..], &["3"]].concat());
    let still_runs = first.try_wait().unwrap().is_none();
    first.kill().unwrap();
    first.wait().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(still_runs && !refused.status.success(), "{text}");
    let who = format!("in use by process {}", first.id());
    assert!(text.contains(&who) || cfg!(windows) && text.contains("in use by"), "{text}");
    // A process that is gone has nothing.
    let steps = checkpoints::latest(&run).unwrap().1.meta.step + 1;
    succeeds(&[&resume[..], &[&steps.to_string()]].concat());
}

#[test]
fn what_a_run_began_with_stays_in_its_description() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeeds_with(&pretrain(&run, &["--steps", "4"]));
    let began = read_config(&run).unwrap();
    let resume = ["pretrain", "--device", "cpu", "--resume", run.to_str().unwrap()];
    let text = succeeds(&resume);
    assert!(!text.contains("note "), "{text}");
    assert_eq!(read_config(&run).unwrap(), began);

    let text = succeeds(&[&resume[..], &["--steps", "6"]].concat());
    assert!(text.contains("schedule.total_steps was 4, is 6"), "{text}");
    let config = read_config(&run).unwrap();
    assert_eq!(config.derived, began.derived);
    let [resumption] = config.resumed.as_slice() else { panic!("{:?}", config.resumed) };
    assert_eq!((resumption.step, resumption.derived.schedule.total_steps), (4, 6));
}

/// A picture of one colour, as every program reads it.
fn write_picture(path: &Path, level: u8) {
    let picture = image::RgbImage::from_pixel(20, 20, image::Rgb([level, 90, 140]));
    picture.save(path).unwrap();
}

#[test]
fn data_that_has_changed_is_said_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [pictures, moved, kept] =
        ["pictures", "moved", "kept"].map(|name| folder.path().join(name));
    for folder in [&pictures, &kept] {
        fs::create_dir(folder).unwrap();
        for i in 0..20 {
            write_picture(&folder.join(format!("{i:02}.png")), 10 * i);
        }
    }
    let run = folder.path().join("run");
    let data = ["--data", pictures.to_str().unwrap()];
    let held_out = ["--held-out", kept.to_str().unwrap(), "--steps", "2", "--batch-size", "4"];
    let mut args = pretrain(&run, &[]);
    args.retain(|arg| arg != "--synthetic-images" && arg != "85");
    let at = args.iter().position(|arg| arg == "synthetic").unwrap();
    args[at] = data[1].to_owned();
    let at = args.iter().position(|arg| arg == "--batch-size").unwrap();
    args.drain(at..at + 2);
    args.extend(held_out.map(str::to_owned));
    succeeds_with(&args);
    // The same pictures elsewhere are the same data.
    fs::rename(&pictures, &moved).unwrap();
    fs::create_dir(&pictures).unwrap();
    fs::copy(moved.join("00.png"), pictures.join("00.png")).unwrap();
    let resume = ["pretrain", "--device", "cpu", "--resume", run.to_str().unwrap(), "--strict"];
    let more = |steps, data| [&resume[..], &["--steps", steps, "--data", data]].concat();
    let text = succeeds(&more("4", moved.to_str().unwrap()));
    assert!(!text.contains("began with"), "{text}");
    // One more, and another in the place of one.
    write_picture(&moved.join("new.png"), 7);
    let words = ["--data", "began with 20 training pictures, now there are 21", "--strict=false"];
    refuses(2, &more("6", moved.to_str().unwrap()), &words);
    let lenient = [&more("6", moved.to_str().unwrap())[..], &["--strict=false"]].concat();
    let lenient: Vec<&str> = lenient.into_iter().filter(|arg| *arg != "--strict").collect();
    let text = succeeds(&lenient);
    assert!(text.contains("began with 20 training pictures, now there are 21"), "{text}");
    fs::rename(moved.join("new.png"), moved.join("newer.png")).unwrap();
    refuses(
        2,
        &more("8", moved.to_str().unwrap()),
        &["21 training pictures", "names or sizes differ"],
    );
    // The held-out ones as well.
    fs::rename(moved.join("newer.png"), moved.join("new.png")).unwrap();
    fs::remove_file(kept.join("07.png")).unwrap();
    let words = ["--data", "began with 20 held-out pictures, now there are 19", "--strict=false"];
    refuses(2, &more("8", moved.to_str().unwrap()), &words);
}

#[test]
fn what_only_shows_a_run_does_not_stop_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Folders where files should be, and a file where a folder should be.
    for name in ["loss.png", "reconstructions.png"] {
        fs::create_dir_all(run.join(name)).unwrap();
    }
    fs::write(run.join("tensorboard"), "").unwrap();
    let text = succeeds_with(&pretrain(&run, &["--steps", "20", "--eval-every", "0.5"]));
    for name in ["TensorBoard events", "loss.png", "reconstructions"] {
        let said = format!("training goes on: {name}: ");
        assert_eq!(text.matches(&said).count(), 1, "{name}: {text}");
    }
    assert_eq!(checkpoints::latest(&run).unwrap().1.meta.step, 20);
}

#[test]
fn a_run_without_a_checkpoint_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    succeeds_with(&pretrain(&run, &["--steps", "2"]));
    fs::remove_dir_all(checkpoints::folder_of(&run)).unwrap();
    // However soon it was killed.
    for file in ["loss.png", "config.json", "metrics.jsonl"] {
        fs::remove_file(run.join(file)).unwrap();
        let words = ["before its first checkpoint", "delete the folder"];
        refuses(1, &["pretrain", "--resume", run.to_str().unwrap()], &words);
    }
}

#[test]
fn a_backend_that_is_none_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_webmae"))
        .arg("info")
        .env("WGPU_BACKEND", "vulkan,nonsense")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("WGPU_BACKEND has \"nonsense\"") && text.contains("metal"), "{text}");
}
