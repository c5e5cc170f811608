//! Runs that are kept: what `--save` writes and `--compare` reads.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::measure::record::{BenchRecord, WorkloadResult};

/// How to make a file that [`BenchRecord::load`] reads, for messages.
const MEND: &str = "save a run first: webmae bench --save FILE";

impl BenchRecord {
    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there is no such file, or it is none of a run; says how to make one.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::bad_file(path, format!("cannot be read ({e}); {MEND}")))?;
        let record: Self = serde_json::from_str(&text)
            .map_err(|e| Error::bad_file(path, format!("is no saved run ({e}); {MEND}")))?;
        if record.results.is_empty() {
            return Err(Error::bad_file(path, format!("holds no results; {MEND}")));
        }
        let is_sound = |result: &WorkloadResult| {
            result.ms_per_step > 0.0 && result.ms_spread >= 0.0 && result.batch_size > 0
        };
        match record.results.iter().find(|result| !is_sound(result)) {
            None => Ok(record),
            Some(WorkloadResult { workload, mode, batch_size, ms_per_step, ms_spread, .. }) => {
                let problem = format!(
                    "says {workload} {} takes {ms_per_step} ± {ms_spread} ms for {batch_size} \
                     images; {MEND}",
                    mode.name()
                );
                Err(Error::bad_file(path, problem))
            }
        }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("numbers and names are JSON");
        atomic_write(path, |file| writeln!(file, "{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Precision;
    use crate::measure::profile::Profile;
    use crate::measure::record::Gemm;
    use crate::measure::record::tests::record;
    use crate::measure::workload::Mode;

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let mut saved = record(&[(Mode::Forward, 2.5), (Mode::Train, 8.0)]);
        saved.results[1].profile = Some(Profile { kernels: Vec::new(), slowest: Vec::new() });
        saved.save(&path).unwrap();
        let loaded = BenchRecord::load(&path).unwrap();
        assert_eq!(loaded, saved);
        assert_eq!(loaded.find("W1", Mode::Train).unwrap().ms_per_step, 8.0);
        assert!(loaded.find("W2", Mode::Train).is_none());
    }

    #[test]
    fn older_files_have_one_product() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let saved = record(&[(Mode::Train, 8.0)]);
        let mut older = serde_json::to_value(&saved).unwrap();
        older["gemm"] = serde_json::json!({"extent": 1024, "gflops": 20.0});
        std::fs::write(&path, older.to_string()).unwrap();
        let loaded = BenchRecord::load(&path).unwrap();
        let Gemm { extent, gflops, .. } = *loaded.best_product(Precision::F32).unwrap();
        assert_eq!((extent, gflops), (1024, 20.0));
        assert!(loaded.best_product(Precision::F16).is_none());
        assert_eq!(loaded.results, saved.results);
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let refused = |path: &Path, words: &str| {
            let message = BenchRecord::load(path).unwrap_err().to_string();
            let named = message.starts_with(path.to_str().unwrap());
            assert!(named && message.contains(words) && message.contains(MEND), "{message}");
        };
        refused(&path, "cannot be read");
        refused(folder.path(), "cannot be read");
        for foreign in ["", "not JSON", "[1, 2]", r#"{"webmae": "0.1.0"}"#] {
            std::fs::write(&path, foreign).unwrap();
            refused(&path, "is no saved run");
        }
        for (results, words) in
            [(vec![], "holds no results"), (vec![(Mode::Train, -1.0)], "W1 train takes -1 ± ")]
        {
            record(&results).save(&path).unwrap();
            refused(&path, words);
        }
    }
}
