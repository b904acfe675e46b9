//! A thread that gives way to all others, for what blocks and may take its time.
//!
//! Compressing, hashing and reading back a whole snapshot keeps a core busy. On a machine whose
//! cores are busy already, the scheduler would let clients wait some milliseconds for it, again and
//! again. A thread of the lowest priority runs when nobody else wants to.

use std::io;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

type Task = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped and its last task is done.
#[derive(Debug)]
pub(super) struct Aside {
    tasks: Sender<Task>,
}

impl Aside {
    pub(super) fn start() -> io::Result<Self> {
        let (tasks, todo) = channel::<Task>();
        std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            give_way();
            todo.into_iter().for_each(|task| task());
        })?;
        Ok(Self { tasks })
    }

    /// Does something there, and waits for it without blocking.
    ///
    /// # Errors
    /// The work has panicked, and the thread is gone.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        let (tell, done) = oneshot::channel();
        // A thread that is gone drops the task, and so tells that it will not be done.
        let _ = self.tasks.send(Box::new(move || drop(tell.send(work()))));
        done.await.map_err(|_| io::Error::other("the thread that wrote it has died"))
    }
}

/// Only Linux has a priority for each thread.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the snapshot's thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_and_a_panic_is_an_error() {
        let aside = Aside::start().unwrap();
        assert_eq!(aside.run(|| 1).await.unwrap(), 1);
        let ended = aside.run(|| std::thread::current().name().map(str::to_owned)).await;
        assert_eq!(ended.unwrap().as_deref(), Some("snapshot"));
        assert!(aside.run(|| panic!("as the test wants it")).await.is_err());
        assert!(aside.run(|| 2).await.is_err());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_this_thread_gives_way() {
        let priority = || rustix::process::getpriority_process(None);
        let before = priority().unwrap();
        let aside = Aside::start().unwrap();
        assert_eq!(aside.run(priority).await.unwrap(), Ok(19));
        assert_eq!(priority().unwrap(), before);
    }
}
