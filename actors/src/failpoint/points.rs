//! The list of all failpoints. `docs/failpoints.md` is made from it.

macro_rules! points {
    ($($variant:ident, $name:literal, $meaning:literal;)*) => {
        /// A place where a test can make something fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $(#[doc = $meaning] $variant,)*
        }

        impl Point {
            /// Every point, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// `<who>.<step>`, as scripts are laid on it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Where it is, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

points! {
    ShardRun, "shard.run", "a shard has a job in its hands and has run nothing of it";
    ShardRan, "shard.ran", "the job has run; its effects are not in the log's queue";
    ShardAppended, "shard.appended", "the effects are in the log's queue with the reply";
    ShardAdopt, "shard.adopt", "a successor has taken the store that its predecessor left";
    ShardRebuilt, "shard.rebuilt", "a shard has a store that was rebuilt from the log";
    ShardLend, "shard.lend", "a shard is asked for its store";
    ShardHome, "shard.home", "a store that was lent is back";
    ShardSweep, "shard.sweep", "a sweep has removed what was due; its effects are not logged";
    ShardExport, "shard.export", "a piece of the store has been copied for a snapshot";
    StoreCommit, "store.commit", "in the middle of a commit: the entry is half changed";
    LoadApply, "load.apply", "a record is about to be applied, at the start or in a rebuild";
    RebuildBegin, "rebuild.begin", "a rebuild is about to read the log";
    RebuildEnd, "rebuild.end", "a rebuild has read the log";

    CoordinatorTaken, "coordinator.taken", "a command has borrowed all stores it needs";
    CoordinatorAppend, "coordinator.append", "it has run; its effects are not in the log's queue";
    CoordinatorAppended, "coordinator.appended", "they are there; the stores are not home yet";
    CoordinatorHome, "coordinator.home", "the stores are home; the log has not settled";

    IntakeAppend, "intake.append", "records are about to get their LSNs";
    IntakePark, "intake.park", "a reply is about to wait for the log";
    IntakeTurn, "intake.turn", "a turn on the runtime is about to write";
    IntakeTurned, "intake.turned", "the turn has written";
    IntakePublish, "intake.publish", "replies are due and not released yet";

    WalStart, "wal.start", "the log's actor is about to start the writer's thread";
    WriterOpen, "writer.open", "a writer is about to look for its place in the last segment";
    WriterOpened, "writer.opened", "it has found it";
    WriterStep, "writer.step", "the writer's thread begins a step";
    WriterTake, "writer.take", "records have moved from the queue to the writer's seat";
    WriterWrite, "writer.write", "a frame is about to be written";
    WriterWrote, "writer.wrote", "it is written; its records are still in the seat";
    WriterPublish, "writer.publish", "the records have left the seat; nobody has been told";
    WriterSync, "writer.sync", "the writer is about to sync by itself";
    WriterSynced, "writer.synced", "the outcome of a sync is known and not taken in yet";
    WriterRotate, "writer.rotate", "the segment is full and its successor is about to be made";
    WriterRotated, "writer.rotated", "the successor has its name; the writer is not there yet";
    WriterSeal, "writer.seal", "the log is quiet and about to be sealed";
    SyncerSync, "syncer.sync", "the sync thread is about to sync";
    SyncerSynced, "syncer.synced", "it has; the writer does not know";
    SegmentCreate, "segment.create", "a segment's file is there, empty and unnamed";
    SegmentSync, "segment.sync", "its header is written";
    SegmentRename, "segment.rename", "it is synced";
    SegmentDirSync, "segment.dir_sync", "it has its name, which is not durable";

    ReplayOpen, "replay.open", "the start is about to look for segments";
    ReplayRead, "replay.read", "it is about to read them";
    ReplayDone, "replay.done", "it has read them and made them durable";
    LoadFilled, "load.filled", "the stores are ready and no shard has been told";
    LoadTaken, "load.taken", "every shard has its store; clients are still told to wait";

    ManifestWrite, "manifest.write", "a copy of the manifest is about to be written";
    ManifestRename, "manifest.rename", "it is on disk, without its name";
    ManifestNamed, "manifest.named", "it has its name; the one before still counts";

    SnapshotBegin, "snapshot.begin", "a snapshot's file is about to be made";
    SnapshotPiece, "snapshot.piece", "entries are about to be written to it";
    SnapshotFinish, "snapshot.finish", "all are written; it is about to be synced and read back";
    SnapshotPublish, "snapshot.publish", "it is whole and about to get its name";
    SnapshotNamed, "snapshot.named", "it has it; older ones are about to go";

    SupervisorStart, "supervisor.start", "a supervisor is about to start a child";
    SupervisorExited, "supervisor.exited", "it has heard of a child's end and decided nothing yet";
    KeeperStart, "keeper.start", "a child's keeper is about to start it";
    KeeperStarted, "keeper.started", "it has; the supervisor does not know";
    KeeperEnded, "keeper.ended", "a child is gone; its supervisor has not been told";

    FrontAccept, "front.accept", "a connection is accepted and not admitted yet";
    FrontReap, "front.reap", "the front looks for idle clients";
    ConnectionRound, "connection.round", "a connection has whole requests and has run none";
    ConnectionSent, "connection.sent", "the jobs of a round are with the shards";
    ConnectionReply, "connection.reply", "the replies of a round are there and not sent";
    AdminAccept, "admin.accept", "the admin HTTP has accepted a connection";

    MetricsBeat, "metrics.beat", "the metrics' actor is about to ask its sources";
    SweeperBeat, "sweeper.beat", "the sweeper is about to wake the shards";
    WatcherLook, "watcher.look", "the watcher is about to look at its files";

    FsCall, "fs.call", "before any call that changes the log's files";
    FsDone, "fs.done", "after any such call";
    FsWrite, "fs.write", "before a write";
    FsHalf, "fs.half", "in the middle of a write";
    FsSync, "fs.sync", "before an fsync of a file";
    FsCut, "fs.cut", "before a file is cut";
    FsCreate, "fs.create", "before a file is made";
    FsOpen, "fs.open", "before a file is opened";
    FsRename, "fs.rename", "before a rename";
    FsRemove, "fs.remove", "before a file is removed";
    FsSyncDir, "fs.sync_dir", "before an fsync of a directory";
    FsList, "fs.list", "before a directory is read";
    FsAccess, "fs.access", "before it is asked whether a directory can be changed";

    ClockWall, "clock.wall", "a number is added to the wall clock, in milliseconds";
}

impl Point {
    /// The point of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_each_is_there_once() {
        for &point in Point::ALL {
            assert_eq!(Point::find(point.name()), Some(point), "{}", point.name());
            assert!(point.name().split_once('.').is_some(), "{}", point.name());
        }
        assert_eq!(Point::find("nothing.here"), None);
    }
}
