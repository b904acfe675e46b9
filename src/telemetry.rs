//! Logging: one subscriber, to stderr, in text or JSON, its level and format changeable live.
//!
//! Whoever logs never waits for stderr. Lines go to a bounded queue ([`QUEUE_LINES`]) that one
//! thread empties; when the reader of stderr stops reading and the queue is full, new lines are
//! dropped and counted ([`Telemetry::dropped_lines`]). A cache that stands still because a log
//! collector does would be the worse choice.

mod ration;
mod repeats;

pub use ration::Ration;
pub use repeats::Repeats;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Lines that may wait for stderr; more are dropped.
pub const QUEUE_LINES: usize = 8_192;
/// A panic's message is cut after so many characters in the log.
const MAX_PANIC_CHARS: usize = 2_000;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What went wrong with the logging itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not a list of directives.
    #[error("log level: {0}")]
    Level(String),
    /// Somebody else has installed a subscriber in this process.
    #[error("logging is set up already")]
    Installed,
    /// The subscriber is gone: the process is ending.
    #[error("logging has ended")]
    Ended,
}

/// Whether `level` is a valid `log.level`: one level for all (`info`), or directives by module
/// (`info,seawall_actors::wal=debug`). Pure; says in words what is wrong.
///
/// # Errors
/// A sentence for the operator.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

/// The actor runtime opens a span around every actor at level `info`, entered anew each time the
/// actor is polled: a cost on every command for a name that our lines carry already (`path`). A
/// directive of the user's own for `ractor` comes later and wins.
const QUIET_RUNTIME: &str = "ractor=warn";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.len() > 1_000 {
        return Err("is longer than 1000 characters".into());
    }
    let directives: Vec<&str> = level.split(',').map(str::trim).collect();
    for directive in &directives {
        // EnvFilter takes a lone unknown word for a module's name and would log all of it: a
        // mistyped level must not pass for one.
        let level = directive.rsplit_once('=').map_or(*directive, |(_, level)| level).trim();
        if level.is_empty() {
            return Err(format!("`{directive}` names no level; write for example `info`"));
        }
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(format!("`{level}` is not a level; use one of {}", LEVELS.join(", ")));
        }
    }
    EnvFilter::builder()
        .parse(format!("{QUIET_RUNTIME},{}", directives.join(",")))
        .map_err(|e| format!("`{level}` is not a list of directives: {e}"))
}

type Printer = Box<dyn Layer<Registry> + Send + Sync>;
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<Printer, Registry>, Registry>;

/// The running logging. Keep it until the process ends: dropping it writes out, for at most
/// about a second, what still waits, and stops the thread.
pub struct Telemetry {
    printer: reload::Handle<Printer, Registry>,
    filter: reload::Handle<EnvFilter, Filtered>,
    lines: NonBlocking,
    dropped: ErrorCounter,
    ansi: bool,
    // Dropped last: the thread must outlive what writes to it.
    guard: Mutex<Option<WorkerGuard>>,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("dropped", &self.dropped_lines()).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Installs the subscriber and the panic hook for this process.
    ///
    /// # Errors
    /// [`TelemetryError::Level`], or [`TelemetryError::Installed`] the second time.
    pub fn install(format: Format, level: &str) -> Result<Self, TelemetryError> {
        let ansi = std::io::stderr().is_terminal();
        let (telemetry, subscriber) = Self::build(format, level, std::io::stderr(), ansi)?;
        tracing::subscriber::set_global_default(subscriber)
            .map_err(|_| TelemetryError::Installed)?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(telemetry)
    }

    fn build(
        format: Format,
        level: &str,
        to: impl Write + Send + 'static,
        ansi: bool,
    ) -> Result<(Self, impl Subscriber + Send + Sync + 'static), TelemetryError> {
        let filter = filter(level).map_err(TelemetryError::Level)?;
        let (lines, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE_LINES)
            .lossy(true)
            .thread_name("log-writer")
            .finish(to);
        let (printing, printer) = reload::Layer::new(printer(format, lines.clone(), ansi));
        let (filtering, filter) = reload::Layer::new(filter);
        let subscriber = tracing_subscriber::registry().with(printing).with(filtering);
        let dropped = lines.error_counter();
        let guard = Mutex::new(Some(guard));
        Ok((Self { printer, filter, lines, dropped, ansi, guard }, subscriber))
    }

    /// Changes the level, at once and for everybody.
    ///
    /// # Errors
    /// [`TelemetryError::Level`]: the old level stays.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level).map_err(TelemetryError::Level)?;
        self.filter.reload(filter).map_err(|_| TelemetryError::Ended)
    }

    /// Changes the format, at once and for everybody.
    ///
    /// # Errors
    /// [`TelemetryError::Ended`].
    pub fn set_format(&self, format: Format) -> Result<(), TelemetryError> {
        let printer = printer(format, self.lines.clone(), self.ansi);
        self.printer.reload(printer).map_err(|_| TelemetryError::Ended)
    }

    /// Lines dropped because stderr took none.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        u64::try_from(self.dropped.dropped_lines()).unwrap_or(u64::MAX)
    }

    /// Writes out what waits, for at most about a second; call it before `process::exit`, which
    /// drops nothing. Lines logged later are lost.
    pub fn finish(&self) {
        drop(self.guard.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn printer<S>(format: Format, lines: NonBlocking, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        Format::Text => Box::new(fmt::layer().with_writer(lines).with_ansi(ansi)),
        // No spans: those opened before a change from text have no fields in JSON, which the
        // formatter takes for a defect and panics.
        Format::Json => Box::new(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .with_writer(lines)
                .with_ansi(false),
        ),
    }
}

/// Logs a panic as one structured line. What becomes of the actor, its supervisor reports.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    let message: String = message.chars().take(MAX_PANIC_CHARS).collect();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Captured only if RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(event = "panic", thread, location, message, %backtrace);
    } else {
        tracing::error!(event = "panic", thread, location, message);
    }
}

#[cfg(test)]
mod tests;
