//! Where bytes go before they are taken out of the log: nothing is ever lost by mending.

use std::io;
use std::path::{Path, PathBuf};

use super::fs::{Filesystem, LogFile};
use super::replay::{OpenError, io_error};
use crate::clock::UnixMs;

/// The directory, made durable if it was not there.
fn directory<F: Filesystem>(fs: &F, data: &Path) -> Result<PathBuf, OpenError> {
    let dir = data.join("quarantine");
    fs.create_dir(&dir).map_err(io_error("create", &dir))?;
    fs.sync_dir(data).map_err(io_error("sync", data))?;
    Ok(dir)
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// Cuts a segment at `offset`, once a copy of what is behind it is safe. Returns the copy and its
/// length. The cut itself is not synced yet.
pub(super) fn cut<F: Filesystem>(
    fs: &F,
    data: &Path,
    path: &Path,
    offset: u64,
    now: UnixMs,
) -> Result<(PathBuf, u64), OpenError> {
    let file = fs.open(path, true).map_err(io_error("open", path))?;
    let to = format!("{}.{offset}.{now}", name_of(path));
    let copied = copy_from(fs, data, path, &file, offset, &to)?;
    file.cut(offset).map_err(io_error("cut", path))?;
    Ok(copied)
}

/// Puts a copy of a whole file into quarantine; `None` if there is no such file.
pub(super) fn copy<F: Filesystem>(
    fs: &F,
    data: &Path,
    path: &Path,
    now: UnixMs,
) -> Result<Option<PathBuf>, OpenError> {
    let file = match fs.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let to = format!("{}.{now}", name_of(path));
    copy_from(fs, data, path, &file, 0, &to).map(|(copy, _)| Some(copy))
}

/// Copies what is behind `offset`; on return the copy is durable.
fn copy_from<F: Filesystem>(
    fs: &F,
    data: &Path,
    path: &Path,
    file: &F::File,
    offset: u64,
    to: &str,
) -> Result<(PathBuf, u64), OpenError> {
    let quarantine = directory(fs, data)?;
    let copy = quarantine.join(to);
    fs.remove(&copy).map_err(io_error("replace", &copy))?;
    let out = fs.create(&copy).map_err(io_error("create", &copy))?;
    let mut buf = vec![0; 64 * 1024];
    let mut at = offset;
    loop {
        let n = file.read_at(&mut buf, at).map_err(io_error("read", path))?;
        if n == 0 {
            break;
        }
        out.write_at(&buf[..n], at - offset).map_err(io_error("write", &copy))?;
        at += n as u64;
    }
    out.sync().map_err(io_error("sync", &copy))?;
    fs.sync_dir(&quarantine).map_err(io_error("sync", &quarantine))?;
    Ok((copy, at - offset))
}

/// Moves a whole file out of the log; on return that is durable. Returns where it is now.
pub(super) fn move_out<F: Filesystem>(
    fs: &F,
    data: &Path,
    path: &Path,
    now: UnixMs,
) -> Result<PathBuf, OpenError> {
    let quarantine = directory(fs, data)?;
    let to = quarantine.join(format!("{}.{now}", name_of(path)));
    // What is moved may not be on disk yet, if its writer was killed.
    let file = fs.open(path, true).map_err(io_error("open", path))?;
    file.sync().map_err(io_error("sync", path))?;
    fs.rename(path, &to).map_err(io_error("move to quarantine", path))?;
    fs.sync_dir(&quarantine).map_err(io_error("sync", &quarantine))?;
    if let Some(dir) = path.parent() {
        fs.sync_dir(dir).map_err(io_error("sync", dir))?;
    }
    Ok(to)
}
