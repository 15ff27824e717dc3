//! The state behind its lock, written through to its file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::NamedTempFile;

use super::state::State;
use super::{Error, hold};

/// One state, and the file that follows it.
pub(super) struct Store {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

impl Store {
    /// A file that does not exist yet is an empty state.
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let state = file.as_deref().map(load).transpose()?.unwrap_or_default();
        Ok(Self {
            file,
            state: Mutex::new(state),
        })
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&hold(&self.state))
    }

    /// Changes the state and writes it once, under the lock: whoever sees the result sees it on disk too.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = hold(&self.state);
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

/// Writes beside the file and renames over it: a reader, or a crash, meets the old state or the new one. Only
/// its owner can read it. Not synced to the disk: this is a sandbox, and a power cut may cost it a change.
fn save(file: &Path, state: &State) -> io::Result<()> {
    let directory = file
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let mut beside = NamedTempFile::new_in(directory)?;
    serde_json::to_writer(&mut beside, state)?;
    beside.persist(file)?;
    Ok(())
}
