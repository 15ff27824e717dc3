//! The file with the export: reads its lines, and destroys it afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

/// The bytes with which some programs begin a text file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What `--` and other programs call standard input.
const STANDARD_INPUT: &str = "-";
/// How much is overwritten at a time.
const CHUNK: usize = 8 * 1024;

/// Where the export comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    StandardInput,
    File(PathBuf),
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        if path == Path::new(STANDARD_INPUT) {
            Self::StandardInput
        } else {
            Self::File(path)
        }
    }
}

impl Source {
    /// Reads everything. The memory is wiped afterwards.
    pub(super) fn read(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::new());
        match self {
            Self::StandardInput => io::stdin().lock().read_to_end(&mut bytes)?,
            Self::File(path) => {
                let mut file = File::open(path)?;
                // A buffer that grows leaves copies in memory.
                bytes
                    .reserve_exact(usize::try_from(file.metadata()?.len()).unwrap_or_default() + 1);
                file.read_to_end(&mut bytes)?
            }
        };
        Ok(bytes)
    }

    /// The name in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::StandardInput => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether a path names the same file.
    pub(super) fn is(&self, other: &Path) -> bool {
        match self {
            Self::StandardInput => false,
            Self::File(path) => match (fs::canonicalize(path), fs::canonicalize(other)) {
                (Ok(one), Ok(two)) => one == two,
                _ => path == other,
            },
        }
    }

    /// Overwrites the file with zeros, and removes it. On an SSD and in a file system that copies on write, old blocks may
    /// stay.
    pub(super) fn shred(&self) -> io::Result<()> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let mut file = OpenOptions::new().write(true).open(path)?;
        let mut left = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let zeros = [0; CHUNK];
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let (some, _) = zeros.split_at(part);
            file.write_all(some)?;
            left -= u64::try_from(part).unwrap_or(left);
        }
        file.sync_all()?;
        file.set_len(0)?;
        file.sync_all()?;
        drop(file);
        fs::remove_file(path)
    }
}

/// The lines with their numbers, without empty ones. Lines end with LF or CRLF.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}
