//! The watcher on a real directory.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ractor::ActorRef;
use tokio::sync::mpsc;

use super::*;
use crate::supervise::{Envelope, Pulse, Shell};

/// Longer than any change needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    actor: ActorRef<Envelope<Msg>>,
    changes: mpsc::UnboundedReceiver<()>,
    seen: Seen,
}

async fn start(files: Vec<PathBuf>, seen: Seen) -> Running {
    let (tell, changes) = mpsc::unbounded_channel();
    let args = Args {
        files: Arc::new(move || files.clone()),
        seen: seen.clone(),
        on_change: Arc::new(move || {
            let _ = tell.send(());
        }),
    };
    let shell = Shell::new(Watcher, Arc::new(Pulse::default()));
    let (actor, _) = ractor::Actor::spawn(None, shell, args).await.expect("a watcher");
    Running { actor, changes, seen }
}

impl Running {
    async fn change(&mut self) {
        tokio::time::timeout(PATIENCE, self.changes.recv()).await.expect("a change").expect("it");
    }

    async fn stop(self) -> Seen {
        self.actor.stop_and_wait(None, None).await.expect("a stop");
        self.seen
    }
}

async fn watching(file: &Path) -> Running {
    // Seen nothing yet: the first look reports, and then the watches stand.
    let mut running = start(vec![file.to_owned()], Seen::default()).await;
    running.change().await;
    running
}

#[tokio::test]
async fn a_plain_write_is_a_change() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("a.toml");
    fs::write(&file, "one").expect("a file");
    let mut running = watching(&file).await;
    fs::write(&file, "two").expect("a file");
    running.change().await;
    running.stop().await;
}

#[tokio::test]
async fn a_rename_over_the_file_is_a_change_every_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("a.toml");
    fs::write(&file, "0").expect("a file");
    let mut running = watching(&file).await;
    for round in 1..3 {
        let new = dir.path().join("new");
        fs::write(&new, round.to_string()).expect("a file");
        fs::rename(&new, &file).expect("a rename");
        running.change().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_swapped_link_above_the_file_is_a_change_every_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path();
    let file = root.join("a.toml");
    let publish = |version: &str| {
        fs::create_dir(root.join(version)).expect("a directory");
        fs::write(root.join(version).join("a.toml"), version).expect("a file");
        symlink(version, root.join("..new")).expect("a link");
        fs::rename(root.join("..new"), root.join("..data")).expect("a swap");
    };
    publish("v1");
    symlink("..data/a.toml", &file).expect("a link");
    let mut running = watching(&file).await;
    for version in ["v2", "v3"] {
        publish(version);
        running.change().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_change_while_the_watcher_was_down_is_found_by_its_successor() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("a.toml");
    fs::write(&file, "one").expect("a file");
    let seen = watching(&file).await.stop().await;
    fs::write(&file, "two").expect("a file");
    let mut running = start(vec![file], seen).await;
    running.change().await;
    running.stop().await;
}

#[tokio::test]
async fn a_file_in_a_directory_that_comes_later_is_found_by_polling() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("later/a.toml");
    let mut running = watching(&file).await;
    fs::create_dir(dir.path().join("later")).expect("a directory");
    fs::write(&file, "one").expect("a file");
    running.change().await;
    running.stop().await;
}

#[test]
fn an_untouched_file_has_the_same_fingerprint() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = vec![dir.path().join("a"), dir.path().join("b")];
    let seen = Seen::now(&files);
    assert!(!seen.update(Fingerprint::of(&files)));
    fs::write(&files[1], "").expect("a file");
    assert!(seen.update(Fingerprint::of(&files)), "an empty file is not a missing one");
    fs::write(&files[1], "x").expect("a file");
    fs::write(&files[0], "x").expect("a file");
    assert!(seen.update(Fingerprint::of(&files)));
}
