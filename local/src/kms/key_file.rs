//! The key file: the only place where key material outlives the process.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use uuid::Uuid;

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
    let temporary = path.with_added_extension(format!("{}.tmp", Uuid::new_v4()));
    match replace(path, &temporary, &ring) {
        Ok(()) => Ok(ring),
        Err(source) => {
            // What went wrong is worth telling; that its remains cannot be removed is not.
            drop(fs::remove_file(&temporary));
            Err(Error::File {
                action: "write",
                path: path.to_owned(),
                source,
            })
        }
    }
}

fn replace(path: &Path, temporary: &Path, ring: &Ring) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(&serde_json::to_vec_pretty(ring)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
