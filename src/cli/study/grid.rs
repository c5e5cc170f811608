//! The runs of a study: each case with each seed, what is the same done once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::file::{Case, StudyCommand, StudyFile};
use super::options::Options;
use super::run::StudyRun;
use crate::error::{Error, Result};

/// Options of pre-training that say what the encoder is: training without it takes them over.
const ENCODER: [&str; 10] = [
    "preset",
    "variant",
    "image-size",
    "patch-size",
    "channels",
    "dim",
    "depth",
    "heads",
    "dim-head",
    "mlp-dim",
];
/// Options of pre-training that an encoder with random values has no use for.
const LENGTH_AND_RATE: [&str; 7] =
    ["epochs", "steps", "warmup-epochs", "warmup-steps", "lr", "blr", "min-lr"];

/// A case with a seed.
pub(crate) struct Cell {
    /// The case's place in the study.
    pub case: usize,
    /// The seed of all its runs.
    pub seed: u64,
    /// The run that pre-trains.
    pub pretrain: Option<usize>,
    /// For each measure of the study the run that takes it.
    pub measures: Vec<Option<usize>>,
}

/// Everything that a study runs.
pub(crate) struct Grid {
    /// Runs; what one needs comes before it.
    pub runs: Vec<StudyRun>,
    /// All cases with the first seed, then all with the second, …
    pub cells: Vec<Cell>,
}

/// What the runs of a study have in common.
struct Builder<'a> {
    file: &'a Path,
    data: &'a str,
    out: &'a Path,
    /// Folders in `out` by the end of their name, so that a run is found whatever else is varied now.
    known: BTreeMap<String, PathBuf>,
    /// Options that differ between cases.
    varied: BTreeSet<String>,
    runs: Vec<StudyRun>,
}

impl Cell {
    /// Its runs.
    pub(crate) fn runs(&self) -> impl Iterator<Item = usize> {
        self.pretrain.into_iter().chain(self.measures.iter().copied().flatten())
    }
}

impl Grid {
    /// The runs of `study`, which was read from `file`, on `data`, in folders within `out`.
    ///
    /// # Errors
    /// [`Error::BadFile`] names the run whose options its command does not take.
    pub(crate) fn new(study: &StudyFile, file: &Path, data: &str, out: &Path) -> Result<Self> {
        let mut builder = Builder {
            file,
            data,
            out,
            known: folders_by_hash(out)?,
            varied: study.case.iter().flat_map(Case::own_pretrain_options).collect(),
            runs: Vec::new(),
        };
        let mut cells = Vec::new();
        for &seed in &study.seeds {
            for case in 0..study.case.len() {
                cells.push(builder.cell(study, case, seed)?);
            }
        }
        Ok(Self { runs: builder.runs, cells })
    }
}

impl Builder<'_> {
    fn cell(&mut self, study: &StudyFile, index: usize, seed: u64) -> Result<Cell> {
        let case = &study.case[index];
        let of_case = format!("{}, seed {seed}", case.label);
        let pretrain = study.options(case, StudyCommand::Pretrain, None);
        let pretrained = match case {
            Case { scratch: true, .. } => None,
            Case { random: true, .. } => {
                let mut words =
                    pretrain.clone().filtered(|key| !LENGTH_AND_RATE.contains(&key)).words();
                // No step would be none; one at a rate of 0 changes nothing.
                words.extend(["--steps=1".to_owned(), "--lr=0".to_owned()]);
                let name = format!("{of_case}: random encoder");
                Some(self.first(name, StudyCommand::Pretrain, "random", &pretrain, words, seed)?)
            }
            _ => {
                let name = format!("{of_case}: pre-training");
                let words = pretrain.words();
                Some(self.first(name, StudyCommand::Pretrain, "", &pretrain, words, seed)?)
            }
        };
        let mut measures = Vec::new();
        for measure in &study.measure {
            let name = format!("{of_case}: {}", measure.name);
            measures.push(match (pretrained, measure.command) {
                (Some(pretrained), command) => {
                    let options = study.options(case, command, Some(measure));
                    Some(self.measure(name, command, options.words(), pretrained, seed)?)
                }
                (None, StudyCommand::Finetune) => {
                    let model = pretrain.clone().filtered(|key| ENCODER.contains(&key));
                    let options = model.overlaid(&study.options(case, StudyCommand::Train, None));
                    let (command, words) = (StudyCommand::Train, options.words());
                    Some(self.first(name, command, "train", &options, words, seed)?)
                }
                (None, _) => None,
            });
        }
        Ok(Cell { case: index, seed, pretrain: pretrained, measures })
    }

    /// A run that begins with nothing; `kind` and what is varied among `options` name its folder.
    fn first(
        &mut self,
        name: String,
        command: StudyCommand,
        kind: &str,
        options: &Options,
        words: Vec<String>,
        seed: u64,
    ) -> Result<usize> {
        let words = self.complete(words, command, seed);
        let hash = hash(command, &words);
        let varied = options.clone().filtered(|key| self.varied.contains(key)).words().join(" ");
        let mut slug = slug(&format!("{kind} {varied}"));
        if slug.is_empty() {
            slug = command.name().to_owned();
        }
        let out = self.out;
        let new = || out.join(format!("{slug}-seed-{seed}-{hash}"));
        let folder = self.known.entry(hash.clone()).or_insert_with(new).clone();
        self.add(name, command, words, folder, None)
    }

    /// A run that measures what run `needs` has learned, in a folder within that one's.
    fn measure(
        &mut self,
        name: String,
        command: StudyCommand,
        words: Vec<String>,
        needs: usize,
        seed: u64,
    ) -> Result<usize> {
        let words = self.complete(words, command, seed);
        let folder = format!("{}-{}", command.name(), hash(command, &words));
        let folder = self.runs[needs].folder.join(folder);
        self.add(name, command, words, folder, Some(needs))
    }

    fn complete(&self, mut words: Vec<String>, command: StudyCommand, seed: u64) -> Vec<String> {
        words.push(format!("--data={}", self.data));
        if command != StudyCommand::Knn {
            words.push(format!("--seed={seed}"));
        }
        words
    }

    /// The run in `folder`, which may be there already.
    fn add(
        &mut self,
        name: String,
        command: StudyCommand,
        words: Vec<String>,
        folder: PathBuf,
        needs: Option<usize>,
    ) -> Result<usize> {
        if let Some(known) = self.runs.iter().position(|run| run.folder == folder) {
            return Ok(known);
        }
        let weights = needs.map(|needs| self.runs[needs].folder.as_path());
        let run = StudyRun::new(name, command, words, folder, weights, needs)
            .map_err(|problem| Error::bad_file(self.file, problem))?;
        self.runs.push(run);
        Ok(self.runs.len() - 1)
    }
}

/// The folders in `out` by what their names end in.
fn folders_by_hash(out: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut folders = BTreeMap::new();
    if !out.exists() {
        return Ok(folders);
    }
    for entry in std::fs::read_dir(out).map_err(Error::io(out))? {
        let path = entry.map_err(Error::io(out))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((_, hash)) = name.rsplit_once('-').filter(|_| path.is_dir()) {
            folders.insert(hash.to_owned(), path);
        }
    }
    Ok(folders)
}

/// Short and the same for the same words.
fn hash(command: StudyCommand, words: &[String]) -> String {
    let text = format!("{}\n{}", command.name(), words.join("\n"));
    format!("{:08x}", crc32c::crc32c(text.as_bytes()))
}

/// `text` as part of a file's name.
fn slug(text: &str) -> String {
    const LONGEST: usize = 60;
    let is_kept = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let parts = text.split(|letter| !is_kept(letter)).filter(|part| !part.is_empty());
    let joined = parts.collect::<Vec<_>>().join("-");
    joined.chars().take(LONGEST).collect::<String>().trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = "\
        title = ''\naxis = ''\npaper = ''\nseeds = [0, 3]\n\
        pretrain = { preset = 'tiny', epochs = 9, norm-pix-loss = true }\n\
        train = { recipe = 'plain' }\n\
        [[measure]]\nname = 'linear'\ncommand = 'linprobe'\n\
        [[measure]]\nname = 'tuned'\ncommand = 'finetune'\n\
        [[case]]\nlabel = 'all'\n\
        [[case]]\nlabel = 'half'\nfinetune = { trainable-blocks = 'half' }\n\
        [[case]]\nlabel = 'most'\npretrain = { mask-ratio = 0.9 }\n\
        [[case]]\nlabel = 'none'\nrandom = true\n\
        [[case]]\nlabel = 'scratch'\nscratch = true\ntrain = { mixup = 0.1 }\n";

    fn grid(text: &str, out: &Path) -> Result<Grid> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let study = StudyFile::read(file.path(), false)?;
        Grid::new(&study, Path::new("study.toml"), "DATA", out)
    }

    #[test]
    fn equal_runs_are_done_once() {
        let Grid { runs, cells } = grid(STUDY, Path::new("out")).unwrap();
        assert_eq!(cells.len(), 10);
        let [all, half, most, none, scratch] = &cells[..5] else { unreachable!() };
        assert_eq!(all.pretrain, half.pretrain);
        assert_ne!(all.pretrain, most.pretrain);
        // One linear probe, two ways to fine-tune.
        assert_eq!(all.measures[0], half.measures[0]);
        assert_ne!(all.measures[1], half.measures[1]);
        assert_eq!((scratch.pretrain, scratch.measures[0]), (None, None));
        assert_eq!(runs.len(), 2 * (1 + 1 + 2 + 1 + 2 + 1 + 2 + 1));
        assert!(cells[5].runs().all(|index| runs[index].words.contains(&"--seed=3".to_owned())));
        for (index, run) in runs.iter().enumerate() {
            assert!(run.needs.is_none_or(|needs| needs < index), "{}", run.name);
        }
        let folder = |index: Option<usize>| runs[index.unwrap()].folder.display().to_string();
        assert!(folder(most.pretrain).starts_with("out/mask-ratio-0.9-seed-0-"));
        assert!(folder(all.pretrain).starts_with("out/pretrain-seed-0-"));
        assert!(folder(none.pretrain).starts_with("out/random-seed-0-"));
        assert!(folder(scratch.measures[1]).starts_with("out/train-seed-0-"));
        let linear = folder(most.measures[0]);
        assert!(linear.starts_with(&(folder(most.pretrain) + "/linprobe-")), "{linear}");
    }

    #[test]
    fn runs_have_the_words_of_their_command() {
        let Grid { runs, cells } = grid(STUDY, Path::new("out")).unwrap();
        let words = |index: Option<usize>| runs[index.unwrap()].words.join(" ");
        let [all, _, _, none, scratch] = &cells[..5] else { unreachable!() };
        let expected = "--epochs=9 --norm-pix-loss --preset=tiny --data=DATA --seed=0";
        assert_eq!(words(all.pretrain), expected);
        let expected = "--norm-pix-loss --preset=tiny --steps=1 --lr=0 --data=DATA --seed=0";
        assert_eq!(words(none.pretrain), expected);
        let expected = "--mixup=0.1 --preset=tiny --recipe=plain --data=DATA --seed=0";
        assert_eq!(words(scratch.measures[1]), expected);
    }

    #[test]
    fn a_run_is_found_again_when_more_is_varied() {
        let out = tempfile::tempdir().unwrap();
        let before = grid(STUDY, out.path()).unwrap();
        for run in &before.runs {
            std::fs::create_dir_all(&run.folder).unwrap();
        }
        let more = STUDY.to_owned() + "[[case]]\nlabel = 'deep'\npretrain = { preset = 'small' }\n";
        let after = grid(&more, out.path()).unwrap();
        let folders = |grid: &Grid| -> BTreeSet<PathBuf> {
            grid.runs.iter().map(|run| run.folder.clone()).collect()
        };
        assert!(folders(&before).is_subset(&folders(&after)));
        assert_eq!(after.runs.len(), before.runs.len() + 2 * 3);
    }

    #[test]
    fn a_wrong_option_is_named_with_its_run() {
        let refusal = |from: &str, to: &str| {
            let problem = grid(&STUDY.replacen(from, to, 1), Path::new("out")).err().unwrap();
            problem.to_string()
        };
        let problem = refusal("mask-ratio = 0.9", "mask-rato = 0.9");
        assert!(problem.contains("study.toml: most, seed 0: pre-training: "), "{problem}");
        assert!(problem.contains("--mask-rato") && problem.contains("--mask-ratio"), "{problem}");
        let problem = refusal("'half' }", "'most' }");
        assert!(problem.contains("half, seed 0: tuned: ") && problem.contains("most"), "{problem}");
        let problem = refusal("mixup = 0.1", "mixup = 'x'");
        assert!(problem.contains("scratch, seed 0: tuned: "), "{problem}");
    }

    #[test]
    fn every_study_at_hand_is_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies");
        let mut studies = 0;
        let entries =
            |folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for file in entries(folder.clone()).chain(entries(folder.join("processor"))) {
            if file.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            studies += 1;
            // Those for processors are short as they are.
            let sizes: &[bool] =
                if file.parent() == Some(&folder) { &[false, true] } else { &[false] };
            for &smoke in sizes {
                let study = StudyFile::read(&file, smoke).unwrap();
                let grid = Grid::new(&study, &file, "DATA", Path::new("out")).unwrap();
                let defaults = study.case.iter().filter(|case| case.default).count();
                assert_eq!(defaults, 1, "{}", file.display());
                for cell in &grid.cells {
                    let pretrain = cell.pretrain.map(|run| &grid.runs[run]);
                    pretrain.map(|run| run.check(None).unwrap());
                }
            }
        }
        assert_eq!(studies, 14);
    }
}
