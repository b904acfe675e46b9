#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use std::sync::mpsc::{Receiver, Sender, channel};

use std::time::{Duration, Instant};

use super::*;
use crate::journal::Record;

struct Reply(&'static str, Sender<(&'static str, Result<(), JournalError>)>);

impl Release for Reply {
    fn release(self, outcome: Result<(), JournalError>) {
        let _ = self.1.send((self.0, outcome));
    }
}

type Released = Receiver<(&'static str, Result<(), JournalError>)>;

fn intake() -> (Intake<Reply>, impl Fn(&'static str) -> Reply, Released) {
    let (tx, rx) = channel();
    (Intake::new(10, &Settings::default()), move |name| Reply(name, tx.clone()), rx)
}

fn append(intake: &Intake<Reply>, reply: Option<Reply>) -> Lsn {
    let mut batch = RecordBatch::new();
    batch.push(&Record::Flush { db: None });
    intake.append(&mut batch, reply)
}

#[test]
fn replies_leave_in_the_order_of_their_lsns() {
    let (intake, reply, released) = intake();
    assert_eq!(append(&intake, Some(reply("11"))), 11);
    assert_eq!(append(&intake, Some(reply("12"))), 12);
    intake.park(11, reply("read at 11"));
    intake.park(10, reply("read at 10"));
    assert_eq!(released.try_recv(), Ok(("read at 10", Ok(()))), "it was settled at once");
    intake.publish(11, 0, &mut Vec::new());
    let names: Vec<_> = released.try_iter().map(|(name, _)| name).collect();
    assert_eq!((names, intake.settled()), (vec!["11", "read at 11"], 11));
    intake.publish(12, 0, &mut Vec::new());
    assert_eq!(released.try_recv(), Ok(("12", Ok(()))));
}

#[test]
fn closing_refuses_and_releases_what_waits() {
    let (intake, reply, released) = intake();
    append(&intake, Some(reply("waits")));
    intake.close();
    append(&intake, Some(reply("late")));
    intake.park(12, reply("read"));
    let all: Vec<_> = released.try_iter().collect();
    assert_eq!(all, ["waits", "late", "read"].map(|name| (name, Err(JournalError::Closed))));
    assert_eq!(intake.writable(), Err(JournalError::Closed));
}

#[test]
fn settled_never_goes_back_when_the_mode_changes() {
    let (intake, _, _) = intake();
    append(&intake, None);
    intake.publish(11, 10, &mut Vec::new());
    intake.configure(&Settings { fsync: FsyncMode::Always, ..Settings::default() });
    intake.publish(11, 10, &mut Vec::new());
    assert_eq!(intake.settled(), 11);
}

#[test]
fn a_sleeping_writer_is_woken_by_records_and_by_a_poke() {
    let (intake, _, _) = intake();
    intake.wait(None, true); // the poke of `configure`
    let writer = std::thread::spawn({
        let intake = intake.clone();
        move || {
            intake.wait(None, true);
            let mut flight = Pending::default();
            intake.take(&mut flight);
            intake.wait(None, false);
            flight.len()
        }
    });
    append(&intake, None);
    while intake.has_pending() {
        std::thread::yield_now();
    }
    intake.poke();
    assert!(writer.join().unwrap() > 0);
}

#[test]
fn who_waits_for_the_disk_hears_of_it_of_the_end_and_of_the_time() {
    let (intake, _, _) = intake();
    assert_eq!(append(&intake, None), 11);
    assert!(matches!(intake.make_durable(11, Duration::ZERO), Err(JournalError::Failed(_))));
    assert_eq!(intake.sync_wanted(), 11);
    let waits = |lsn| {
        let intake = intake.clone();
        std::thread::spawn(move || intake.make_durable(lsn, Duration::from_secs(60)))
    };
    let (first, second) = (waits(11), waits(12));
    intake.publish(11, 11, &mut Vec::new());
    assert_eq!(first.join().unwrap(), Ok(()));
    intake.close();
    assert_eq!(second.join().unwrap(), Err(JournalError::Closed));
}

#[test]
fn who_waits_for_an_lsn_waits_through_a_blocked_log() {
    let (intake, reply, released) = intake();
    append(&intake, None);
    append(&intake, None);
    let soon = Instant::now() + Duration::from_millis(20);
    assert!(intake.wait_settled(10, Instant::now()), "settled already");
    assert!(!intake.wait_settled(11, soon), "nothing has come, only the time");
    assert!(Instant::now() >= soon);
    let waiter = std::thread::spawn({
        let intake = intake.clone();
        move || {
            let settled = intake.wait_settled(12, Instant::now() + Duration::from_secs(60));
            (settled, intake.settled())
        }
    });
    intake.block("the disk is full");
    intake.park(12, reply("read"));
    assert_eq!(released.try_recv(), Ok(("read", Ok(()))), "a parked read shows what memory holds");
    intake.unblock();
    intake.publish(11, 0, &mut Vec::new());
    intake.publish(12, 0, &mut Vec::new());
    assert_eq!(waiter.join().unwrap(), (true, 12));
}

#[test]
fn closing_the_log_ends_the_wait_for_an_lsn() {
    let (intake, _, _) = intake();
    append(&intake, None);
    let waiter = std::thread::spawn({
        let intake = intake.clone();
        move || intake.wait_settled(11, Instant::now() + Duration::from_secs(60))
    });
    intake.close();
    assert!(!waiter.join().unwrap());
}

#[test]
fn until_the_log_is_read_nothing_is_taken_and_nobody_writes() {
    let intake: Intake<Reply> = Intake::unread(&Settings::default());
    let (tx, released) = channel();
    assert!(matches!(intake.writable(), Err(JournalError::Failed(_))));
    assert_eq!(append(&intake, Some(Reply("too early", tx.clone()))), 0);
    assert_eq!(released.try_recv(), Ok(("too early", Err(JournalError::Closed))));
    assert!(!intake.has_pending());
    let writer = {
        let intake = intake.clone();
        std::thread::spawn(move || intake.wait_begun(|| false))
    };
    intake.begin(10);
    assert!(writer.join().unwrap(), "the writer goes on");
    intake.begin(3);
    assert_eq!((append(&intake, None), intake.settled()), (11, 10), "the first word counts");
}

#[test]
fn a_writer_that_is_ordered_off_does_not_wait_for_the_log_to_be_read() {
    let intake: Intake<Reply> = Intake::unread(&Settings::default());
    let ordered = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (intake, ordered) = (intake.clone(), Arc::clone(&ordered));
        std::thread::spawn(move || intake.wait_begun(|| ordered.load(Ordering::Acquire)))
    };
    ordered.store(true, Ordering::Release);
    intake.poke();
    assert!(!writer.join().unwrap());
    intake.close();
    intake.begin(10);
    assert_eq!(intake.writable(), Err(JournalError::Closed), "closed is closed");
}
