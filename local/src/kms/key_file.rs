//! The key file: the only place that keeps key material after the process ends.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use super::{Error, key_ring::KeyRing};

/// Reads the keys, or returns `None` if there is no file.
///
/// Refuses a file on which anybody but its owner has a permission.
pub(super) fn read(path: &Path) -> Result<Option<KeyRing>, Error> {
    let failed = |source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let malformed = |problem: String| Error::Malformed {
        path: path.to_owned(),
        problem,
    };

    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // Check the opened file: the path can point to another file by now.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut json = Vec::new();
    file.read_to_end(&mut json).map_err(failed)?;

    // The parser's message can quote a key, so report only the line and the column.
    let key_ring: KeyRing = serde_json::from_slice(&json).map_err(|error| {
        malformed(format!(
            "see line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    match key_ring.inconsistency() {
        Some(problem) => Err(malformed(problem.to_owned())),
        None => Ok(Some(key_ring)),
    }
}

/// Replaces the file atomically: after a crash it holds all of the old keys or all of the new ones.
///
/// Returns the keys once they are safely on the disk.
pub(super) fn write(path: &Path, key_ring: KeyRing) -> Result<KeyRing, Error> {
    match replace(path, &key_ring) {
        Ok(()) => Ok(key_ring),
        Err(source) => Err(Error::File {
            action: "write",
            path: path.to_owned(),
            source,
        }),
    }
}

fn replace(path: &Path, key_ring: &KeyRing) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // A temporary file is private from the start, and a failure deletes it.
    let mut temporary = NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut temporary, key_ring)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    File::open(folder)?.sync_all()
}
