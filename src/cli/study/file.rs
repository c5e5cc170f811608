//! The file that describes a study: what is varied, and what is measured.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::options::Options;
use crate::error::{Error, Result};

/// Commands that runs of a study are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StudyCommand {
    /// Learns without labels.
    Pretrain,
    /// Measures by a linear layer on frozen features.
    Linprobe,
    /// Measures by training with labels.
    Finetune,
    /// Measures by nearest neighbours.
    Knn,
    /// Stands in for `finetune` where nothing was pre-trained.
    Train,
}

/// A study.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StudyFile {
    /// The heading.
    pub title: String,
    /// What is varied.
    pub axis: String,
    /// Whether the axis is logarithmic.
    #[serde(default)]
    pub log_axis: bool,
    /// What the paper found, if it asked the same.
    pub paper: Option<String>,
    /// The data, unless the command line names it.
    pub data: Option<String>,
    /// Each case is run with each of them.
    pub seeds: Vec<u64>,
    /// What is measured, in the order of columns.
    pub measure: Vec<Measure>,
    /// What is compared, in the order of rows.
    pub case: Vec<Case>,
    smoke: Option<Smoke>,
    pretrain: Option<Options>,
    linprobe: Option<Options>,
    finetune: Option<Options>,
    knn: Option<Options>,
    train: Option<Options>,
}

/// A column.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measure {
    /// Its heading.
    pub name: String,
    /// What measures it.
    pub command: StudyCommand,
    #[serde(default)]
    options: Options,
}

/// A row.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Its heading.
    pub label: String,
    /// Its place on the axis.
    pub x: Option<f64>,
    /// Whether it is what the paper uses elsewhere.
    #[serde(default)]
    pub default: bool,
    /// Whether nothing is pre-trained: fine-tuning becomes training from random values.
    #[serde(default)]
    pub scratch: bool,
    /// Whether the encoder keeps its random values.
    #[serde(default)]
    pub random: bool,
    pretrain: Option<Options>,
    linprobe: Option<Options>,
    finetune: Option<Options>,
    knn: Option<Options>,
    train: Option<Options>,
}

/// What is laid over everything for a short run.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Smoke {
    seeds: Option<Vec<u64>>,
    pretrain: Option<Options>,
    linprobe: Option<Options>,
    finetune: Option<Options>,
    knn: Option<Options>,
    train: Option<Options>,
}

/// Options of each command are in the file, in each case and in the short study.
macro_rules! have_tables {
    ($($holder:ty),*) => {$(
        impl $holder {
            fn table(&self, command: StudyCommand) -> Option<&Options> {
                let table = match command {
                    StudyCommand::Pretrain => &self.pretrain,
                    StudyCommand::Linprobe => &self.linprobe,
                    StudyCommand::Finetune => &self.finetune,
                    StudyCommand::Knn => &self.knn,
                    StudyCommand::Train => &self.train,
                };
                table.as_ref()
            }
        }
    )*};
}
have_tables!(StudyFile, Case, Smoke);

impl StudyFile {
    /// Reads a study; with `smoke` as the short one that it describes.
    ///
    /// # Errors
    /// [`Error::BadFile`] names the key or the label, and the mend.
    pub(crate) fn read(path: &Path, smoke: bool) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text, smoke).map_err(|problem| Error::bad_file(path, problem))
    }

    fn parse(text: &str, smoke: bool) -> Result<Self, String> {
        let mut study: Self =
            toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        if !smoke {
            study.smoke = None;
        } else if let Some(smoke) = &mut study.smoke {
            study.seeds = smoke.seeds.take().unwrap_or(study.seeds);
        } else {
            return Err(
                "has no [smoke] table, so there is no short study; leave out --smoke".into()
            );
        }
        study.validate()?;
        Ok(study)
    }

    /// The case called `label`.
    ///
    /// # Errors
    /// Names the labels that there are.
    pub(crate) fn position(&self, label: &str) -> Result<usize> {
        self.case.iter().position(|case| case.label == label).ok_or_else(|| {
            let labels: Vec<&str> = self.case.iter().map(|case| case.label.as_str()).collect();
            Error::argument("--only", format!("no case {label:?}; one of: {}", labels.join(", ")))
        })
    }

    /// Options of a run of `command` for `case`, with those of the measure that it is for.
    pub(crate) fn options(
        &self,
        case: &Case,
        command: StudyCommand,
        measure: Option<&Measure>,
    ) -> Options {
        let layers = [
            self.table(command),
            measure.map(|measure| &measure.options),
            case.table(command),
            self.smoke.as_ref().and_then(|smoke| smoke.table(command)),
        ];
        layers.into_iter().flatten().fold(Options::default(), Options::overlaid)
    }

    fn validate(&self) -> Result<(), String> {
        let lists = [
            ("seeds", self.seeds.is_empty()),
            ("[[measure]]", self.measure.is_empty()),
            ("[[case]]", self.case.is_empty()),
        ];
        if let Some((name, _)) = lists.iter().find(|(_, is_empty)| *is_empty) {
            return Err(format!("{name}: there is none; give one at least"));
        }
        unique("seeds", self.seeds.iter().map(ToString::to_string))?;
        unique("measure", self.measure.iter().map(|measure| measure.name.clone()))?;
        unique("case", self.case.iter().map(|case| case.label.clone()))?;
        for Measure { name, command, .. } in &self.measure {
            if matches!(command, StudyCommand::Pretrain | StudyCommand::Train) {
                let mend = "give linprobe, finetune or knn";
                return Err(format!("measure {name:?}: command measures nothing; {mend}"));
            }
        }
        self.case.iter().try_for_each(|case| {
            self.validate_case(case).map_err(|problem| format!("case {:?}: {problem}", case.label))
        })
    }

    fn validate_case(&self, case: &Case) -> Result<(), String> {
        if case.scratch && case.random {
            return Err("scratch and random exclude each other; leave one out".into());
        }
        let lowest = if self.log_axis { f64::MIN_POSITIVE } else { f64::MIN };
        if let Some(x) = case.x.filter(|x| !(lowest..=f64::MAX).contains(x)) {
            let axis = if self.log_axis { "a logarithmic axis (log-axis)" } else { "an axis" };
            return Err(format!("x = {x} is no place on {axis}"));
        }
        let is_used = |command: StudyCommand| match command {
            // Without pre-training they still describe the model.
            StudyCommand::Pretrain => true,
            StudyCommand::Train => case.scratch && self.measures(StudyCommand::Finetune),
            other => !case.scratch && self.measures(other),
        };
        let is_unused =
            |command: &StudyCommand| case.table(*command).is_some() && !is_used(*command);
        if let Some(command) = StudyCommand::ALL.into_iter().find(is_unused) {
            let name = command.name();
            return Err(format!("{name}: no run of this case has these options; leave them out"));
        }
        Ok(())
    }

    fn measures(&self, command: StudyCommand) -> bool {
        self.measure.iter().any(|measure| measure.command == command)
    }
}

impl Case {
    /// Names of the options of pre-training that it sets itself.
    pub(crate) fn own_pretrain_options(&self) -> impl Iterator<Item = String> {
        self.table(StudyCommand::Pretrain).into_iter().flat_map(Options::names)
    }
}

impl StudyCommand {
    const ALL: [Self; 5] = [Self::Pretrain, Self::Linprobe, Self::Finetune, Self::Knn, Self::Train];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Linprobe => "linprobe",
            Self::Finetune => "finetune",
            Self::Knn => "knn",
            Self::Train => "train",
        }
    }
}

fn unique(what: &str, names: impl Iterator<Item = String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if seen.contains(&name) {
            return Err(format!("{what}: {name} is there twice; give each its own"));
        }
        seen.insert(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: &str = "\
        title = 'Depth'\naxis = 'depth'\nseeds = [0, 1]\n\
        [pretrain]\nepochs = 9\ndim = 64\n\
        [[measure]]\nname = 'tuned'\ncommand = 'finetune'\noptions = { epochs = 2, mixup = 0.5 }\n\
        [[case]]\nlabel = 'one'\nx = 1\npretrain = { decoder-depth = 1, epochs = 7 }\n\
        finetune = { mixup = 0 }\n\
        [[case]]\nlabel = 'two'\ndefault = true\n\
        [smoke]\nseeds = [5]\npretrain = { steps = 3 }\nfinetune = { batch-size = 4 }\n";

    fn words(study: &StudyFile, case: usize, command: StudyCommand) -> String {
        let measure = (command == StudyCommand::Finetune).then(|| &study.measure[0]);
        study.options(&study.case[case], command, measure).words().join(" ")
    }

    fn refusal(toml: &str) -> String {
        StudyFile::parse(toml, false).unwrap_err()
    }

    #[test]
    fn options_are_laid_over_each_other() {
        let study = StudyFile::parse(STUDY, false).unwrap();
        assert_eq!(study.seeds, [0, 1]);
        assert!(study.case[1].default && study.case[0].x == Some(1.0));
        let pretrain = StudyCommand::Pretrain;
        assert_eq!(words(&study, 0, pretrain), "--decoder-depth=1 --dim=64 --epochs=7");
        assert_eq!(words(&study, 1, pretrain), "--dim=64 --epochs=9");
        assert_eq!(words(&study, 0, StudyCommand::Finetune), "--epochs=2 --mixup=0");
        assert_eq!(words(&study, 1, StudyCommand::Finetune), "--epochs=2 --mixup=0.5");
    }

    #[test]
    fn smoke_is_laid_over_everything() {
        let study = StudyFile::parse(STUDY, true).unwrap();
        assert_eq!(study.seeds, [5]);
        assert_eq!(
            words(&study, 0, StudyCommand::Pretrain),
            "--decoder-depth=1 --dim=64 --steps=3"
        );
        let tuned = words(&study, 1, StudyCommand::Finetune);
        assert_eq!(tuned, "--batch-size=4 --epochs=2 --mixup=0.5");
        let without = STUDY.split("[smoke]").next().unwrap();
        assert!(StudyFile::parse(without, true).unwrap_err().contains("no [smoke] table"));
    }

    #[test]
    fn refusals_name_the_key() {
        let with = |from: &str, to: &str| {
            assert!(STUDY.contains(from), "{from}");
            refusal(&STUDY.replacen(from, to, 1))
        };
        let cases = [
            ("axis =", "axes =", "axes"),
            ("[pretrain]", "[pretrian]", "pretrian"),
            ("label =", "lable =", "lable"),
            ("default =", "defualt =", "defualt"),
            ("options =", "optoins =", "optoins"),
            ("pretrain = { steps", "pretrian = { steps", "pretrian"),
            ("'finetune'", "'fintune'", "fintune"),
            ("'finetune'", "'train'", "give linprobe, finetune or knn"),
            ("dim = 64", "seed = 1", "`seed`"),
            ("seeds = [0, 1]", "seeds = []", "seeds"),
            ("seeds = [0, 1]", "seeds = [1, 1]", "seeds: 1 is there twice"),
            ("'two'", "'one'", "case: one is there twice"),
            ("x = 1", "x = nan", "case \"one\": x = NaN"),
            ("default = true", "scratch = true\nrandom = true", "case \"two\": scratch and random"),
            ("default = true", "knn = { neighbours = 3 }", "case \"two\": knn: no run"),
            ("default = true", "train = { dim = 3 }", "case \"two\": train: no run"),
            ("default = true", "scratch = true\nfinetune = { lr = 3 }", "finetune: no run"),
        ];
        for (from, to, expected) in cases {
            let problem = with(from, to);
            assert!(problem.contains(expected), "{to}: {problem}");
        }
        let zero =
            STUDY.replace("seeds = [0", "log-axis = true\nseeds = [0").replace("x = 1", "x = 0");
        assert!(refusal(&zero).contains("x = 0 is no place on a logarithmic axis"));
        let study = StudyFile::parse(STUDY, false).unwrap();
        assert_eq!(study.position("two").unwrap(), 1);
        assert!(study.position("three").unwrap_err().to_string().contains("one, two"));
    }
}
