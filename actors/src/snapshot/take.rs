//! One snapshot, from the first shard's first piece to the file's name.

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::SnapshotArgs;
use super::aside::Aside;
use super::pace::Pace;
use crate::cache::store::WalkEnded;
use crate::cache::{Job, NotExported, Parked, ShardMsg};
use crate::journal::{JournalError, RecordBatch};
use crate::supervise::CallError;
use crate::wal::{Base, Intake, SnapshotWriter, Written};

/// How often a snapshot is begun anew, and the pause before: a SWAPDB or a rollback has spoiled it,
/// a shard was being rebuilt, or the log has begun anew and wants one that stands for all before.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
/// How long a shard may take to answer; it may be lent to a coordinator, or restarting.
const SHARD_WITHIN: Duration = Duration::from_secs(10);
/// How long the log may take to be on disk up to the snapshot's end.
const LOG_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of records that are gathered for one frame. The thread that hashes and writes it holds a
/// core for a tenth of a millisecond: the scheduler does not take it away for whoever wakes up.
const FRAME: usize = if cfg!(test) { 4 << 10 } else { 64 << 10 };

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error("shard {shard}: {why}")]
    Shard { shard: usize, why: NotExported },
    #[error("shard {shard} does not answer: {why}")]
    Silent { shard: usize, why: CallError },
    #[error("the file: {0}")]
    File(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] JournalError),
    #[error("the log's files were removed while it was taken")]
    LogBegunAnew,
    #[error("{why} (begun {TRIES} times)")]
    TooOften { why: Box<TakeError> },
}

impl TakeError {
    /// Whether another try may go better.
    const fn passes(&self) -> bool {
        matches!(
            self,
            Self::Silent { .. }
                // Until the next one has succeeded nothing is taken: that is no time for a pause.
                | Self::LogBegunAnew
                | Self::Shard { why: NotExported::Loading | NotExported::Ended(WalkEnded), .. }
        )
    }
}

/// Takes a snapshot.
pub(super) async fn take<J: Job>(args: &SnapshotArgs<J>) -> Result<Written, TakeError> {
    let mut tries = 1;
    loop {
        match attempt(args).await {
            Err(why) if why.passes() && tries == TRIES => {
                return Err(TakeError::TooOften { why: Box::new(why) });
            }
            Err(why) if why.passes() => {
                tracing::info!(%why, tries, "the snapshot is begun anew");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

async fn attempt<J: Job>(args: &SnapshotArgs<J>) -> Result<Written, TakeError> {
    let base = args.intake.base_wanted();
    // A number that no walk has had, of this incarnation or an earlier one.
    let walk = rand::random::<u64>().max(1);
    for shard in 0..args.shards.len() {
        ask(args, shard, |reply| ShardMsg::BeginExport(walk, reply)).await?;
    }
    // Read when every shard has begun: a SWAPDB before it is in no piece or in all, one behind it
    // ends the walk.
    let begin = args.intake.stats().lsn;
    let snapshots = args.snapshots.clone();
    let aside = Aside::start()?;
    let writer = blocking(&aside, move || snapshots.create(begin)).await?;
    let (writer, walked) = export(args, walk, &aside, writer).await;
    let finished = match (writer, walked) {
        (Some(writer), Ok(())) => {
            let end = args.intake.stats().lsn;
            let intake = args.intake.clone();
            let (writer, done) = writing(&aside, writer, move |writer| {
                writer.finish(end)?;
                Ok(intake.make_durable(end, LOG_WITHIN))
            })
            .await;
            let done = done.and_then(|durable| durable.map_err(TakeError::from));
            (writer, done)
        }
        untouched => untouched,
    };
    match finished {
        (Some(writer), Ok(())) => {
            let intake = args.intake.clone();
            let published = blocking(&aside, move || publish(writer, &intake, base)).await?;
            published.ok_or(TakeError::LogBegunAnew)
        }
        (Some(writer), Err(why)) => {
            blocking(&aside, move || {
                writer.discard();
                Ok(())
            })
            .await?;
            Err(why)
        }
        (None, done) => Err(done.err().unwrap_or_else(|| io::Error::other("no writer").into())),
    }
}

/// Gives the snapshot its name. If the log has begun anew, it stands for what was before; `base` was
/// wanted when the snapshot was begun. `None` if something else is wanted by now. Blocks.
fn publish<J: Job>(
    writer: SnapshotWriter,
    intake: &Intake<Parked<J>>,
    base: Option<Base>,
) -> io::Result<Option<Written>> {
    if intake.base_wanted() != base {
        writer.discard();
        return Ok(None);
    }
    let Some(base) = base else { return writer.publish().map(Some) };
    let written = writer.publish_as(base)?;
    intake.based(base);
    Ok(Some(written))
}

/// Pulls every shard's pieces and writes them. The writer comes back unless its thread died.
async fn export<J: Job>(
    args: &SnapshotArgs<J>,
    walk: u64,
    aside: &Aside,
    writer: SnapshotWriter,
) -> (Option<SnapshotWriter>, Result<(), TakeError>) {
    let mut writer = writer;
    let (mut gathered, mut pace) = (RecordBatch::new(), Pace::default());
    let compress_above = args.intake.settings().compress_above;
    for shard in 0..args.shards.len() {
        let mut next = Some(0);
        while let Some(cursor) = next {
            let begun = Instant::now();
            let asked = ask(args, shard, |reply| ShardMsg::Export { walk, cursor, reply }).await;
            let piece = match asked {
                Ok(piece) => piece,
                Err(why) => return (Some(writer), Err(why)),
            };
            next = piece.next;
            gathered.extend(&piece.records);
            if gathered.as_bytes().len() >= FRAME {
                let frame = std::mem::take(&mut gathered);
                match writing(aside, writer, move |writer| writer.append(&frame, compress_above))
                    .await
                {
                    (Some(back), Ok(())) => writer = back,
                    failed => return failed,
                }
            }
            if let Some(nap) = pace.after(begun.elapsed()) {
                tokio::time::sleep(nap).await;
            }
        }
    }
    writing(aside, writer, move |writer| writer.append(&gathered, compress_above)).await
}

/// Asks a shard.
async fn ask<J: Job, R: Send + 'static>(
    args: &SnapshotArgs<J>,
    shard: usize,
    message: impl FnOnce(oneshot::Sender<Result<R, NotExported>>) -> ShardMsg<J> + Send,
) -> Result<R, TakeError> {
    let answer = args.shards[shard].call(SHARD_WITHIN, message).await;
    let answer = answer.map_err(|why| TakeError::Silent { shard, why })?;
    answer.map_err(|why| TakeError::Shard { shard, why })
}

/// Does something with the writer where blocking is allowed.
async fn writing<R: Send + 'static>(
    aside: &Aside,
    mut writer: SnapshotWriter,
    work: impl FnOnce(&mut SnapshotWriter) -> io::Result<R> + Send + 'static,
) -> (Option<SnapshotWriter>, Result<R, TakeError>) {
    let done = blocking(aside, move || {
        let done = work(&mut writer);
        Ok((writer, done))
    });
    match done.await {
        Ok((writer, done)) => (Some(writer), done.map_err(TakeError::from)),
        Err(why) => (None, Err(why)),
    }
}

async fn blocking<R: Send + 'static>(
    aside: &Aside,
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<R, TakeError> {
    Ok(aside.run(work).await??)
}
