//! Pictures in folders and below, without what is no data and what is to be left out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::names::is_housekeeping;
use crate::data::decode::has_picture_extension;
use crate::error::{Error, Result};
use crate::setting::Setting;

/// A walk through a folder, and what it passed over.
pub(super) struct Walk {
    root: PathBuf,
    exclude: GlobSet,
    /// Folders and pictures that are no data.
    housekeeping: Vec<PathBuf>,
    /// Folders and pictures that a pattern excludes.
    excluded: Vec<PathBuf>,
}

/// What lies directly in a folder, sorted by name.
pub(super) struct Entries {
    pub pictures: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
}

impl Walk {
    /// Through `root`, without what a pattern of `exclude` matches: the path from `root` on, or, if there is no
    /// `/` in the pattern, a name at any depth.
    ///
    /// # Errors
    /// [`Error::Config`] names a pattern that is none.
    pub fn new(root: &Path, exclude: &[String]) -> Result<Self> {
        let refuse = |problem: globset::Error| Error::config(Setting::Exclude, problem.to_string());
        let mut patterns = GlobSetBuilder::new();
        for pattern in exclude {
            if pattern.is_empty() {
                return Err(Error::config(Setting::Exclude, "must not be empty"));
            }
            let anywhere = match pattern.contains('/') {
                true => pattern.trim_start_matches("./").trim_matches('/').to_owned(),
                false => format!("**/{pattern}"),
            };
            let glob = GlobBuilder::new(&anywhere).literal_separator(true).build();
            patterns.add(glob.map_err(refuse)?);
        }
        let exclude = patterns.build().map_err(refuse)?;
        let root = root.to_path_buf();
        Ok(Self { root, exclude, housekeeping: Vec::new(), excluded: Vec::new() })
    }

    /// The pictures and folders in `folder`, which is the root or below it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn entries(&mut self, folder: &Path) -> Result<Entries> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            paths.push(entry.map_err(Error::io(folder))?.path());
        }
        paths.sort();
        let mut entries = Entries { pictures: Vec::new(), folders: Vec::new() };
        for path in paths {
            let is_folder = path.is_dir();
            if !is_folder && !has_picture_extension(&path) {
                continue;
            }
            let below = path.strip_prefix(&self.root).unwrap_or(&path);
            if is_housekeeping(&name_of(&path)) {
                self.housekeeping.push(below.to_path_buf());
            } else if self.exclude.is_match(below) {
                self.excluded.push(below.to_path_buf());
            } else if is_folder {
                entries.folders.push(path);
            } else {
                entries.pictures.push(path);
            }
        }
        Ok(entries)
    }

    /// All pictures in `folder` and below. `seen` holds the folders entered, so that links in a circle end.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read.
    pub fn pictures(&mut self, folder: &Path, seen: &mut HashSet<PathBuf>) -> Result<Vec<PathBuf>> {
        if !seen.insert(folder.canonicalize().map_err(Error::io(folder))?) {
            return Ok(Vec::new());
        }
        let Entries { mut pictures, folders } = self.entries(folder)?;
        for below in folders {
            pictures.extend(self.pictures(&below, seen)?);
        }
        Ok(pictures)
    }

    /// What was left out, in one line, if anything was.
    pub fn left_out(&self) -> Option<String> {
        let kinds = [("as no data", &self.housekeeping), ("as excluded", &self.excluded)];
        let said = kinds.into_iter().filter_map(|(why, paths)| {
            let first = paths.first()?.display();
            Some(match paths.len() - 1 {
                0 => format!("{first} ({why})"),
                more => format!("{first} and {more} more ({why})"),
            })
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty())
            .then(|| format!("left out of {}: {}", self.root.display(), said.join("; ")))
    }
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
