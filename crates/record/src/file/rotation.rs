//! An appended file of bounded size: `x.jsonl`, and older ones in `x.1.jsonl`, `x.2.jsonl` and so on.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::RecordFile;

/// The path of the file that was rotated away `number` times: `x.2.jsonl` of `x.jsonl`.
#[must_use]
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().map(OsString::from).unwrap_or_default();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Appended {
    file: File,
    length: u64,
}

impl Appended {
    /// Opens the file or makes it, and ends a line that was cut short.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        // Paths of requests are in it: for its owner alone, as far as that is ours to say.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let mut length = file.metadata()?.len();
        if length > 0 && !ends_with_a_newline(&mut file)? {
            file.write_all(b"\n")?;
            length += 1;
        }
        Ok(Self { file, length })
    }

    /// Whether `bytes` more would be too much.
    const fn is_full(&self, bytes: usize, settings: &RecordFile) -> bool {
        self.length > 0 && self.length + bytes as u64 > settings.size_bytes
    }

    /// Whether it still stands at its path. Another process may have rotated it away, in an upgrade.
    #[cfg(unix)]
    fn stands_at(&self, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let (ours, there) = match fs::metadata(path) {
            Ok(there) => (self.file.metadata()?, there),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    #[cfg(not(unix))]
    fn stands_at(&self, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Appends to the file, which is opened if it isn't open, and rotated if it would be too large. After an error it is closed.
pub(crate) fn append(
    open: &mut Option<Appended>,
    settings: &RecordFile,
    bytes: &[u8],
) -> io::Result<()> {
    let mut file = match open.take() {
        Some(file) => file,
        None => Appended::open(&settings.path)?,
    };
    if file.is_full(bytes.len(), settings) && !file.stands_at(&settings.path)? {
        file = Appended::open(&settings.path)?;
    }
    if file.is_full(bytes.len(), settings) {
        drop(file);
        rotate(settings)?;
        file = Appended::open(&settings.path)?;
    }
    file.write(bytes)?;
    *open = Some(file);
    Ok(())
}

fn ends_with_a_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Moves the file and its older ones on by one, and lets go of the oldest. From the oldest to the newest, so that a
/// crash in between loses none but that.
fn rotate(settings: &RecordFile) -> io::Result<()> {
    let path = &settings.path;
    if settings.files == 0 {
        return absent_is_fine(fs::remove_file(path));
    }
    absent_is_fine(fs::remove_file(rotated(path, settings.files)))?;
    for number in (1..settings.files).rev() {
        absent_is_fine(fs::rename(rotated(path, number), rotated(path, number + 1)))?;
    }
    absent_is_fine(fs::rename(path, rotated(path, 1)))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::super::RecordCalls;
    use super::*;

    #[test]
    fn of_two_that_append_one_rotates_and_the_other_follows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        for files in [0, 1] {
            let settings = RecordFile {
                path: path.clone(),
                size_bytes: 8,
                files,
                calls: RecordCalls::default(),
            };
            let (mut one, mut other) = (None, None);
            append(&mut one, &settings, b"aaaaaa\n").unwrap();
            append(&mut other, &settings, b"\n").unwrap();
            append(&mut one, &settings, b"cc\n").unwrap();
            append(&mut other, &settings, b"d\n").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"cc\nd\n", "{files} files are kept");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn the_number_goes_before_the_extension() {
        let name = |path: &str, number| rotated(Path::new(path), number);
        assert_eq!(name("/a/x.jsonl", 1), Path::new("/a/x.1.jsonl"));
        assert_eq!(name("x", 12), Path::new("x.12"));
        assert_eq!(name("a.b/x.y.z", 2), Path::new("a.b/x.y.2.z"));
    }
}
