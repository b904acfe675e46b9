//! The actor that gathers readings. It owns the questions that are under way; a restart loses
//! those, and nothing else: what was published stays, and its successor goes on from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::series::Sample;
use super::snapshot::{Published, Snapshot, SourceState};
use super::source::Source;
use crate::failpoint::{self, Point};
use crate::supervise::{Failure, Label, Me, Worker};

/// What the aggregator is told.
#[derive(Debug, Clone, Copy)]
pub enum Msg {
    /// Time to ask every source.
    Beat,
}

impl Label for Msg {
    fn label(&self) -> &'static str {
        "beat"
    }
}

/// How often it asks, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the end of one round of questions to the next.
    pub beat: Duration,
    /// The longest a round of questions may take.
    pub deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { beat: Duration::from_secs(1), deadline: Duration::from_millis(500) }
    }
}

/// What a start needs.
#[derive(Debug, Clone)]
pub struct Args {
    /// Whom to ask.
    pub sources: Vec<Arc<dyn Source>>,
    /// Where the answers go.
    pub published: Published,
    /// How often and how long.
    pub settings: Settings,
}

/// One source, its last word, and the question under way.
#[derive(Debug)]
struct Asked {
    source: Arc<dyn Source>,
    state: SourceState,
    question: Option<JoinHandle<Sample>>,
}

/// What it owns.
#[derive(Debug)]
pub struct State {
    asked: Vec<Asked>,
    published: Published,
    settings: Settings,
}

/// Asks every source on a beat and publishes what they say.
#[derive(Debug, Default)]
pub struct Aggregator;

impl Worker for Aggregator {
    type Msg = Msg;
    type Args = Args;
    type State = State;

    async fn init(&self, _me: &Me<Msg>, args: Args) -> Result<State, Failure> {
        let last = args.published.newest();
        let known = |name: &str| last.sources.iter().find(|s| *s.name == *name).cloned();
        let asked = args
            .sources
            .into_iter()
            .map(|source| {
                let state = known(source.name()).unwrap_or_else(|| SourceState::new(source.name()));
                Asked { source, state, question: None }
            })
            .collect();
        Ok(State { asked, published: args.published, settings: args.settings })
    }

    async fn started(&self, me: &Me<Msg>, _state: &mut State) -> Result<(), Failure> {
        me.send(Msg::Beat);
        Ok(())
    }

    async fn handle(&self, me: &Me<Msg>, msg: Msg, state: &mut State) -> Result<(), Failure> {
        match msg {
            Msg::Beat => state.beat().await,
        }
        me.send_after(state.settings.beat, Msg::Beat);
        Ok(())
    }
}

impl State {
    /// Asks all at once, waits until all have answered or the deadline has passed, publishes.
    async fn beat(&mut self) {
        failpoint::hit(Point::MetricsBeat);
        let start = Instant::now();
        let deadline = start + self.settings.deadline;
        for asked in &mut self.asked {
            asked.ask();
        }
        for asked in &mut self.asked {
            asked.hear(deadline).await;
        }
        self.published.publish(Snapshot {
            taken: Some(Instant::now()),
            took: start.elapsed(),
            sources: self.asked.iter().map(|a| a.state.clone()).collect(),
        });
    }
}

impl Asked {
    /// Puts the question, in a task of its own: a source that panics or blocks takes nobody
    /// along. One that still hangs in an earlier question is not asked again.
    fn ask(&mut self) {
        if self.question.as_ref().is_none_or(JoinHandle::is_finished) {
            let source = Arc::clone(&self.source);
            self.question = Some(tokio::spawn(async move { source.collect().await }));
        }
    }

    /// Waits for the answer until `deadline`.
    async fn hear(&mut self, deadline: Instant) {
        let Some(question) = &mut self.question else { return };
        // An answer that is there is taken even if the deadline has passed.
        let heard = tokio::time::timeout_at(deadline, &mut *question).await;
        let was_stale = self.state.stale;
        let missed = match heard {
            Ok(Ok(sample)) => {
                self.state.answer(sample, Instant::now());
                self.question = None;
                None
            }
            Ok(Err(ended)) => {
                self.question = None;
                Some(if ended.is_panic() { "it panicked" } else { "it hung and was cancelled" })
            }
            Err(_) => {
                question.abort();
                Some("no answer in time")
            }
        };
        let source = &*self.state.name;
        match missed {
            // Once per change: a source that stays away must not fill the log.
            Some(reason) => {
                if !was_stale {
                    tracing::warn!(source, reason, "a source of metrics does not answer");
                }
                self.state.miss();
            }
            None if was_stale => tracing::debug!(source, "a source of metrics answers"),
            None => {}
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(question) = &self.question {
            question.abort();
        }
    }
}

#[cfg(test)]
mod tests;
