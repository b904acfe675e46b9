//! Records that crash whoever applies them: after the second time they are set aside, and the
//! load goes on without.
//!
//! A panic in the middle of a change leaves a store that nothing may be built on, so every crash
//! begins the attempt anew. A record that is set aside is not applied; its key is absent then,
//! never at an older value. A copy with everything that is known goes to `quarantine/`. The log
//! keeps the record: the next start, perhaps of a version that can, tries it again.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use seawall_actors::durable;
use seawall_actors::journal::{Lsn, Record, RecordBatch};
use serde_json::json;
use tracing::{error, warn};

use crate::loading::Loading;

/// More records than this in one load are no accident of one record, and each costs two attempts.
const MAX_ASIDE: usize = 8;

/// Where a record stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the snapshot that begins with this LSN, counted from 1.
    Entry(Lsn, u64),
    /// In the log, at this LSN.
    Record(Lsn),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(begin, number) => write!(f, "snapshot-{begin:020}-entry-{number}"),
            Self::Record(lsn) => write!(f, "record-{lsn:020}"),
        }
    }
}

/// A record that made whoever applied it panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crash {
    place: Place,
    /// `None` for a record that concerns every shard.
    key: Option<Vec<u8>>,
    record: RecordBatch,
    panic: String,
}

/// The first crash of an attempt; once it is there, the attempt is lost.
pub(super) type Crashed = Arc<OnceLock<Crash>>;

impl Crash {
    pub(super) fn new(place: Place, record: &Record<'_>, panic: &(dyn Any + Send)) -> Self {
        let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
            (Some(text), _) => (*text).to_owned(),
            (_, Some(text)) => text.clone(),
            _ => "no message".to_owned(),
        };
        let mut batch = RecordBatch::new();
        batch.push(record);
        let key = record.entry().map(|(_, key)| key.to_vec());
        Self { place, key, record: batch, panic: text }
    }
}

/// Why a dataset cannot be loaded because of a record.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuardError<E> {
    /// It failed for another reason.
    #[error(transparent)]
    Failed(E),
    /// FLUSH and SWAPDB: without them every entry would be in doubt.
    #[error("{place} crashes and cannot be left out, for it concerns every key: {panic}")]
    Everything { place: Place, panic: String },
    /// Its key cannot be removed either, or it is one of many.
    #[error(
        "{place} crashes, and cannot be left out because {why}: {panic}. Restore a snapshot or a \
         copy of the data directory, or start the version that wrote it"
    )]
    Stuck { place: Place, panic: String, why: String },
}

/// What is set aside, for as long as the process lives.
#[derive(Debug)]
pub(super) struct Poison {
    quarantine: PathBuf,
    loading: Arc<Loading>,
    aside: Mutex<Arc<BTreeSet<Place>>>,
}

impl Poison {
    /// Sets aside what crashes in the data directory `data`.
    pub(super) fn new(data: &Path, loading: Arc<Loading>) -> Self {
        Self { quarantine: data.join("quarantine"), loading, aside: Mutex::default() }
    }

    /// Makes attempts until one goes through. Each is told what to leave out, and where to put
    /// the first crash: what it returns then does not count. Blocks.
    ///
    /// # Errors
    /// [`GuardError`].
    pub(super) fn guard<T, E>(
        &self,
        mut attempt: impl FnMut(Arc<BTreeSet<Place>>, &Crashed) -> Result<T, E>,
    ) -> Result<T, GuardError<E>> {
        let mut times: BTreeMap<Place, u32> = BTreeMap::new();
        loop {
            let (aside, crashed) = (self.aside(), Crashed::default());
            let done = attempt(Arc::clone(&aside), &crashed);
            let Some(crash) = crashed.get() else { return done.map_err(GuardError::Failed) };
            let (place, panic) = (crash.place, crash.panic.clone());
            let times = times.entry(place).or_default();
            *times += 1;
            if crash.key.is_none() {
                return Err(GuardError::Everything { place, panic });
            }
            if aside.contains(&place) {
                let why = "removing its key crashes, too".to_owned();
                return Err(GuardError::Stuck { place, panic, why });
            }
            if *times == 1 {
                warn!(%place, panic, "a record crashed the load; it is tried once more");
                continue;
            }
            if aside.len() >= MAX_ASIDE {
                let why = format!("{MAX_ASIDE} others are already");
                return Err(GuardError::Stuck { place, panic, why });
            }
            self.set_aside(crash);
        }
    }

    fn aside(&self) -> Arc<BTreeSet<Place>> {
        Arc::clone(&self.aside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_aside(&self, crash: &Crash) {
        let copy = keep_copy(&self.quarantine, crash);
        error!(
            place = %crash.place,
            key = crash.key.as_deref().map(|key| key.escape_ascii().to_string()),
            panic = crash.panic,
            copy = copy.as_ref().ok().map(|path| path.display().to_string()),
            copy_failed = copy.as_ref().err().map(ToString::to_string),
            "a record crashed the load twice and is set aside: its key is absent until it is \
             written again. The log still has the record, and the next start tries it"
        );
        self.loading.set_aside();
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut aside).insert(crash.place);
    }
}

/// Writes down what is known of a crash; on return that is durable.
fn keep_copy(quarantine: &Path, crash: &Crash) -> io::Result<PathBuf> {
    fs::create_dir_all(quarantine)?;
    let path = quarantine.join(format!("{}.json", crash.place));
    let bytes = crash.record.as_bytes();
    let text = json!({
        "place": crash.place.to_string(),
        "key": crash.key.as_deref().map(|key| key.escape_ascii().to_string()),
        "panic": crash.panic,
        "version": env!("CARGO_PKG_VERSION"),
        "record": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    });
    durable::replace(&path, format!("{text:#}\n").as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests;
