//! A worker that does what it is told, and a log of what happened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::policy::Backoff;
use crate::supervise::*;

pub const MS: Duration = Duration::from_millis(1);

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// What the puppet is told.
pub enum Msg {
    /// Answer with the number of the incarnation.
    Which(oneshot::Sender<u32>),
    Panic,
    Fail,
    /// Never finish this message.
    Hang,
    /// Block the thread for so long.
    Block(Duration),
    /// Take so long, with signs of progress.
    Work(Duration),
    StopYourself,
}

impl Label for Msg {
    fn label(&self) -> &'static str {
        match self {
            Self::Which(_) => "which",
            Self::Panic => "panic",
            Self::Fail => "fail",
            Self::Hang => "hang",
            Self::Block(_) => "block",
            Self::Work(_) => "work",
            Self::StopYourself => "stop",
        }
    }
}

/// How the puppet behaves where it is not told.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Habit {
    #[default]
    Good,
    FailsToStart,
    PanicsInMake,
    PanicsInInit,
    HangsInInit,
    PanicsInStarted,
    HangsInStopped,
    /// Dropping its state blocks a thread for 200 ms.
    DropsSlowly,
}

pub struct Puppet {
    habit: Habit,
}

/// Says when it is dropped.
pub struct State {
    incarnation: u32,
    name: String,
    journal: Journal,
    drop_takes: Duration,
}

impl Drop for State {
    fn drop(&mut self) {
        std::thread::sleep(self.drop_takes);
        self.journal.note(format!("{} {} dropped", self.name, self.incarnation));
    }
}

impl Worker for Puppet {
    type Msg = Msg;
    type Args = State;
    type State = State;

    async fn init(&self, _me: &Me<Msg>, args: State) -> Result<State, Failure> {
        args.journal.note(format!("{} {} init", args.name, args.incarnation));
        match self.habit {
            Habit::FailsToStart => Err(Failure::new("no start")),
            Habit::PanicsInInit => panic!("panic in init"),
            Habit::HangsInInit => std::future::pending().await,
            _ => Ok(args),
        }
    }

    async fn started(&self, _me: &Me<Msg>, _state: &mut State) -> Result<(), Failure> {
        assert!(self.habit != Habit::PanicsInStarted, "panic in started");
        Ok(())
    }

    async fn handle(&self, me: &Me<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Which(reply) => drop(reply.send(state.incarnation)),
            Msg::Panic => panic!("told to panic"),
            Msg::Fail => return Err(Failure::new("told to fail")),
            Msg::Hang => std::future::pending().await,
            Msg::Block(how_long) => std::thread::sleep(how_long),
            Msg::Work(how_long) => {
                let end = tokio::time::Instant::now() + how_long;
                while tokio::time::Instant::now() < end {
                    tokio::time::sleep(MS * 500).await;
                    me.progress();
                }
            }
            Msg::StopYourself => me.stop("killed"),
        }
        Ok(())
    }

    async fn stopped(&self, _me: &Me<Msg>, state: &mut State) -> Result<(), Failure> {
        if self.habit == Habit::HangsInStopped {
            std::future::pending::<()>().await;
        }
        state.journal.note(format!("{} {} stopped", state.name, state.incarnation));
        Ok(())
    }
}

pub fn quick() -> Restart {
    Restart {
        intensity: 3,
        period: Duration::from_secs(30),
        delay: Backoff::try_new(MS * 10, 2.0, MS * 100, 0.0).unwrap(),
        ..Restart::default()
    }
}

pub fn puppet(name: &str, journal: &Journal) -> (Handle<Msg>, ChildSpec) {
    with_habit(name, journal, Habit::Good, quick())
}

pub fn with_habit(
    name: &str,
    journal: &Journal,
    habit: Habit,
    restart: Restart,
) -> (Handle<Msg>, ChildSpec) {
    let handle = Handle::new();
    let (name, journal) = (name.to_owned(), journal.clone());
    let mut incarnation = 0;
    let spec = ChildSpec::worker(name.clone(), handle.clone(), restart, move || {
        incarnation += 1;
        assert!(habit != Habit::PanicsInMake, "panic in make");
        let drop_takes = if habit == Habit::DropsSlowly { MS * 200 } else { Duration::ZERO };
        let state = State { incarnation, name: name.clone(), journal: journal.clone(), drop_takes };
        (Puppet { habit }, state)
    });
    (handle, spec)
}

pub fn root() -> SupervisorSpec {
    SupervisorSpec::new("root", Strategy::OneForOne)
}

pub async fn start(spec: SupervisorSpec) -> Tree {
    Tree::start(spec, TreeOptions::default()).await.unwrap()
}

/// Which incarnation answers, waiting through restarts.
pub async fn which(handle: &Handle<Msg>) -> Result<u32, CallError> {
    handle.call(Duration::from_secs(60), Msg::Which).await
}

pub fn tell(handle: &Handle<Msg>, msg: Msg) {
    assert!(handle.cast(msg).is_ok(), "it is up");
}

/// Waits until an event of this kind comes.
pub async fn until(
    events: &mut tokio::sync::broadcast::Receiver<TreeEvent>,
    lifecycle: Lifecycle,
) -> TreeEvent {
    loop {
        let event = events.recv().await.unwrap();
        if event.lifecycle == lifecycle {
            return event;
        }
    }
}
