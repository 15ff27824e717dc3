//! The files of the data directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use super::Error;

/// Creates the data directory, and locks it against a second stack for as long as the file lives.
pub(super) fn lock(data_dir: &Path) -> Result<File, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(failed("create", data_dir))?;
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(failed("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::DirectoryInUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
    }
}

/// Creates an empty file that only its owner can read. Does not change an existing file.
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(path).map(drop).map_err(failed("open", path))
}

/// Writes a file that only its owner can read. After a crash the file has its old content or the new one.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let written = || {
        let mut temporary = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    };
    written().map_err(failed("write", path))
}

/// Adds the action and the path to an error of the operating system.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
