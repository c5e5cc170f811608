//! Writing a file so that a reader, or a crash, sees either the old content or the new one.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Writes `path` through `fill`: a temporary file in the same folder, synced to disk, renamed over
/// `path`, then the folder is synced. If `fill` fails, an existing `path` keeps its content and
/// the temporary file is removed. A link stays a link: the file it points to is replaced. What is no file,
/// such as `/dev/null` or a pipe, has no old content to keep: it is written to, never renamed over.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written or the disk is full.
pub fn atomic_write(
    path: impl AsRef<Path>,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let open = std::fs::OpenOptions::new().write(true).open(path).map_err(Error::io(path))?;
        let mut writer = BufWriter::with_capacity(1 << 20, open);
        return fill(&mut writer).and_then(|()| writer.flush()).map_err(Error::io(path));
    }
    let linked = path.canonicalize();
    let path = linked.as_deref().unwrap_or(path);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".webmae-").suffix(".tmp");
    #[cfg(unix)]
    {
        // As `File::create` would, within the umask; temporary files are private by default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder).map_err(Error::io(folder))?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary);
    fill(&mut writer).map_err(Error::io(path))?;
    let temporary = writer.into_inner().map_err(|e| Error::io(path)(e.into_error()))?;
    temporary.as_file().sync_all().map_err(Error::io(path))?;
    temporary.persist(path).map_err(|e| Error::io(path)(e.error))?;
    sync_folder(folder)
}

/// Makes the rename durable; only POSIX systems let a folder be synced.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        std::fs::File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        atomic_write(&path, |w| w.write_all(b"old")).unwrap();
        let failed = atomic_write(&path, |w| {
            w.write_all(b"new")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        atomic_write(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"old").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        atomic_write(at("link"), |w| w.write_all(b"new")).unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("file")).unwrap(), b"new");

        // By way of a link, so that a fault here costs the link and not the machine's `/dev/null`.
        std::os::unix::fs::symlink("/dev/null", at("device")).unwrap();
        atomic_write(at("device"), |w| w.write_all(b"gone")).unwrap();
        assert!(at("device").is_symlink());
        std::os::unix::fs::symlink("/dev/full", at("full")).unwrap();
        if at("full").exists() {
            assert!(atomic_write(at("full"), |w| w.write_all(b"no room")).is_err());
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = atomic_write("/no/such/folder/x", |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
