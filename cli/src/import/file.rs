//! The file with the export: reads its lines, and destroys it afterwards.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
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
    /// Reads everything. The memory is wiped afterwards. Returns the file too, unless it is standard input.
    pub(super) fn read(&self) -> io::Result<(Zeroizing<Vec<u8>>, Option<ReadFile>)> {
        let mut bytes = Zeroizing::new(Vec::new());
        let file = match self {
            Self::StandardInput => {
                io::stdin().lock().read_to_end(&mut bytes)?;
                None
            }
            Self::File(path) => {
                let mut file = File::open(path)?;
                // A buffer that grows leaves copies in memory.
                bytes
                    .reserve_exact(usize::try_from(file.metadata()?.len()).unwrap_or_default() + 1);
                file.read_to_end(&mut bytes)?;
                let version = FileVersion {
                    // A file that grew during the read is not the file that was read.
                    length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                    ..FileVersion::of(&file.metadata()?)
                };
                Some(ReadFile {
                    path: path.clone(),
                    _open: file,
                    version,
                })
            }
        };
        Ok((bytes, file))
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
}

/// Which file it is, and since when it is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    is_regular: bool,
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            is_regular: metadata.is_file(),
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether the path holds this file, whatever is in it.
    fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode))
    }
}

/// The file that was read.
#[derive(Debug)]
pub(super) struct ReadFile {
    path: PathBuf,
    /// While it is open, no other file gets its inode.
    _open: File,
    version: FileVersion,
}

/// Whether the file is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shredded {
    Destroyed,
    /// The path holds another file, or the file has changed.
    Changed,
    /// A pipe or a device.
    NotRegular,
}

impl ReadFile {
    /// Overwrites the file with zeros, and removes it, if it is as it was read. On an SSD and in a file system that
    /// copies on write, old blocks may stay.
    pub(super) fn shred(&self) -> io::Result<Shredded> {
        if !self.version.is_regular {
            return Ok(Shredded::NotRegular);
        }
        // To open a pipe would block.
        if !self.version.is_at(&self.path) {
            return Ok(Shredded::Changed);
        }
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        if FileVersion::of(&file.metadata()?) != self.version {
            return Ok(Shredded::Changed);
        }
        let mut left = self.version.length;
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
        if !self.version.is_at(&self.path) {
            return Ok(Shredded::Changed);
        }
        fs::remove_file(&self.path)?;
        Ok(Shredded::Destroyed)
    }
}

/// The lines with their numbers, without empty ones. Lines end with LF or CRLF.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty())
}
