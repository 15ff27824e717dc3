//! Guards the state with a lock, and writes each change to the state file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::NamedTempFile;

use super::state::State;
use super::{Error, lock};

/// The state, and its file.
pub(super) struct Store {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

impl Store {
    /// Loads the state. A missing file means an empty state.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let state = file.as_deref().map(load).transpose()?.unwrap_or_default();
        Ok(Self {
            file,
            state: Mutex::new(state),
        })
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Changes the state and writes the file under the lock. A reader of the new state also finds it in the file.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = lock(&self.state);
        let outcome = change(&mut state);
        if let Some(file) = &self.file {
            save(file, &state).map_err(Error::Write)?;
        }
        Ok(outcome)
    }
}

fn load(file: &Path) -> Result<State, Error> {
    match fs::read(file) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|error| Error::Malformed(file.to_owned(), error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(Error::Read(file.to_owned(), error)),
    }
}

/// Replaces the file atomically. Only its owner can read the file.
///
/// The file is not synced to the disk: a power cut may lose a change, which is acceptable for a sandbox.
fn save(file: &Path, state: &State) -> io::Result<()> {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut temporary = NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut temporary, state)?;
    temporary.persist(file)?;
    Ok(())
}
