//! The system's own notices (inotify, kqueue, …) about the directories that files are in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Msg;
use crate::supervise::Me;

/// More links in a row than any system follows.
const MAX_LINKS: usize = 40;

/// The watches in place. The default one watches nothing and reports to nobody.
#[derive(Debug, Default)]
pub(super) struct Watches {
    me: Option<Me<Msg>>,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    /// Set while a notice waits in the mailbox: a storm of events costs one message.
    told: Arc<AtomicBool>,
}

impl Watches {
    pub(super) fn new(me: Me<Msg>) -> Self {
        Self { me: Some(me), ..Self::default() }
    }

    /// The notice has arrived; the next event sends another.
    pub(super) fn heard(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    /// Watches the directories that the files are in now. `false` if some cannot be watched, and
    /// looking from time to time has to do. Blocks.
    pub(super) fn follow(&mut self, files: &[PathBuf]) -> bool {
        if self.watcher.is_none() {
            self.watcher = self.open();
            self.directories.clear();
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|f| directories(f)).collect();
        for gone in self.directories.difference(&wanted) {
            // It may not be there any more, and its watch neither.
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for directory in &wanted {
            // Anew each time: a directory that was removed and made again has lost its watch.
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(directory.clone());
                }
                Err(e) => tracing::debug!(?directory, error = %e, "cannot be watched"),
            }
        }
        let complete = watched == wanted;
        self.directories = watched;
        complete
    }

    fn open(&self) -> Option<RecommendedWatcher> {
        let me = self.me.clone()?;
        let told = Arc::clone(&self.told);
        let on_event = move |event: notify::Result<Event>| {
            // Reading is no change, and looking reads.
            let reading = matches!(&event, Ok(e) if matches!(e.kind, EventKind::Access(_)));
            if !reading && !told.swap(true, Ordering::SeqCst) {
                me.send(Msg::Touched);
            }
        };
        match notify::recommended_watcher(on_event) {
            Ok(watcher) => Some(watcher),
            Err(e) => {
                tracing::warn!(error = %e, "no notices about changed files; they are polled");
                None
            }
        }
    }
}

/// Every directory in which a change could give `file` another content: its own, and those of
/// the symbolic links on the way. Links in the directories above count too, for Kubernetes has
/// `seawall.toml -> ..data/seawall.toml` and `..data -> ..2026_01_01`.
fn directories(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut at = file.to_owned();
    for _ in 0..MAX_LINKS {
        let parent = match at.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => break,
        };
        if !found.contains(&parent) {
            found.push(parent.clone());
        }
        match first_link(&at) {
            Some((link, target)) => {
                if let Some(holder) = link.parent() {
                    let holder =
                        if holder.as_os_str().is_empty() { Path::new(".") } else { holder };
                    if !found.iter().any(|f| f == holder) {
                        found.push(holder.to_owned());
                    }
                }
                at = target;
            }
            None => break,
        }
    }
    found
}

/// The first symbolic link on the way to `path`, and `path` with that link followed.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut prefix = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        prefix.push(part);
        if let Ok(target) = std::fs::read_link(&prefix) {
            let holder = prefix.parent().unwrap_or(Path::new(""));
            let followed = holder.join(target).join(parts.as_path());
            return Some((prefix, followed));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn links_on_the_way_are_followed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path();
        std::fs::create_dir(root.join("v1")).expect("a directory");
        std::fs::write(root.join("v1/a.toml"), "x").expect("a file");
        std::os::unix::fs::symlink("v1", root.join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/a.toml", root.join("a.toml")).expect("a link");
        let found = directories(&root.join("a.toml"));
        assert!(found.contains(&root.to_owned()), "{found:?}");
        assert!(found.contains(&root.join("v1")), "{found:?}");
    }

    #[test]
    fn a_circle_of_links_ends() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::os::unix::fs::symlink(&b, &a).expect("a link");
        std::os::unix::fs::symlink(&a, &b).expect("a link");
        assert!(!directories(&a).is_empty());
    }
}
