//! Where commands write: checked before the work whose result is to lie there.

use std::path::Path;

use crate::error::{Error, Result};

/// Checks that a file can be written at `path`.
///
/// # Errors
/// [`Error::BadFile`] if its folder does not exist or `path` is a folder, [`Error::Io`] if the folder takes no files.
pub(super) fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::bad_file(path, "is a folder; name a file in it"));
    }
    if path.exists() && !path.is_file() {
        // A device or a pipe: the folder that it stands in need take no files.
        return Ok(());
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.exists() {
        let problem = format!(
            "cannot be written: the folder {} does not exist; make it first, or give a folder that does",
            folder.display()
        );
        return Err(Error::bad_file(path, problem));
    }
    takes_files(folder)
}

/// Checks that files can be written into the folder `path`, which is made later if it is not there.
///
/// # Errors
/// [`Error::BadFile`] if it, or what it would be made in, is no folder; [`Error::Io`] if that takes no files.
pub(super) fn check_folder(path: &Path) -> Result<()> {
    let there = path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    takes_files(there)
}

fn takes_files(folder: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Err(Error::bad_file(folder, "is a file; a folder is needed here"));
    }
    // Removed at once. Permissions alone do not say it: drives may be read-only or full.
    tempfile::Builder::new().prefix(".webmae-").tempfile_in(folder).map_err(Error::io(folder))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_checked_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        check_file(&at("a.png")).unwrap();
        check_file(Path::new("no-such-file.png")).unwrap();
        check_folder(&at("new/and/deeper")).unwrap();
        check_folder(Path::new("new-folder")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let said = |outcome: Result<()>| outcome.unwrap_err().to_string();
        let missing = said(check_file(&at("none/a.png")));
        assert!(missing.contains("a.png") && missing.contains("none does not exist"), "{missing}");
        assert!(said(check_file(dir.path())).contains("name a file in it"));
        std::fs::write(at("file"), b"").unwrap();
        assert!(said(check_folder(&at("file/below"))).contains("is a file"));
        assert!(said(check_folder(&at("file"))).contains("is a file"));
    }
}
