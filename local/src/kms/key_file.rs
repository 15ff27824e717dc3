//! The key file: the only place where key material outlives the process.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use super::{Error, ring::Ring};

/// The keys in the file, or `None` if there is no file. One on which anyone but its owner has a
/// right is refused.
pub(super) fn read(path: &Path) -> Result<Option<Ring>, Error> {
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
    // Of the file that was opened, not of whatever the path means by now.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut json = Vec::new();
    file.read_to_end(&mut json).map_err(failed)?;

    // The parser's own words may quote a key; its line and column cannot.
    let ring: Ring = serde_json::from_slice(&json).map_err(|error| {
        malformed(format!(
            "see line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    match ring.flaw() {
        Some(flaw) => Err(malformed(flaw.to_owned())),
        None => Ok(Some(ring)),
    }
}

/// Replaces the file whole: after a crash it holds the old keys or the new ones, never half of
/// them. Hands the ring back once it is safe on the disk.
pub(super) fn write(path: &Path, ring: Ring) -> Result<Ring, Error> {
    match replace(path, &ring) {
        Ok(()) => Ok(ring),
        Err(source) => Err(Error::File {
            action: "write",
            path: path.to_owned(),
            source,
        }),
    }
}

fn replace(path: &Path, ring: &Ring) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Only its owner can read it, from the first byte; where something fails, it goes.
    let mut temporary = NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut temporary, ring)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    File::open(folder)?.sync_all()
}
