//! Which script lies on which point, for the whole process.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::script::{Action, Script, Value};
use super::{ArmError, Point};

/// Points with a script. While there is none, passing a point is one relaxed load.
static ARMED: AtomicUsize = AtomicUsize::new(0);
static PLACES: [Place; Point::ALL.len()] =
    [const { Place { script: Mutex::new(None), hits: AtomicU64::new(0) } }; Point::ALL.len()];

struct Place {
    script: Mutex<Option<Script>>,
    hits: AtomicU64,
}

fn place(point: Point) -> &'static Place {
    &PLACES[point as usize]
}

impl Place {
    fn script(&self) -> MutexGuard<'_, Option<Script>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes a point: panics, dies or stalls if the script says so. The thread itself stalls, as it
/// does for a slow disk. A value that the script would return is ignored.
pub fn hit(point: Point) {
    pass(point);
}

/// Passes a point where the system may refuse.
///
/// # Errors
/// The one that the script returns.
pub fn io(point: Point) -> io::Result<()> {
    match pass(point) {
        Some(Value::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
        Some(Value::Number(_)) | None => Ok(()),
    }
}

/// The number that the script puts in place of the real one.
#[must_use]
pub fn number(point: Point) -> Option<i64> {
    match pass(point) {
        Some(Value::Number(number)) => Some(number),
        Some(Value::Errno(_)) | None => None,
    }
}

/// Whether a script lies on the point.
#[must_use]
pub fn is_armed(point: Point) -> bool {
    ARMED.load(Ordering::Relaxed) > 0 && place(point).script().is_some()
}

/// How often the point was passed since its script was laid.
#[must_use]
pub fn hits(point: Point) -> u64 {
    place(point).hits.load(Ordering::Relaxed)
}

/// Lays a script on a point in place of the one that lies there; an empty one takes it away.
///
/// # Errors
/// No such point, or no such script.
pub fn arm(point: &str, script: &str) -> Result<(), ArmError> {
    let point = Point::find(point).ok_or_else(|| ArmError::Unknown(point.to_owned()))?;
    let script: Option<Script> = match script {
        "" => None,
        script => Some(script.parse()?),
    };
    let mut place_script = place(point).script();
    match (place_script.is_some(), script.is_some()) {
        (false, true) => ARMED.fetch_add(1, Ordering::Relaxed),
        (true, false) => ARMED.fetch_sub(1, Ordering::Relaxed),
        _ => 0,
    };
    *place_script = script;
    place(point).hits.store(0, Ordering::Relaxed);
    Ok(())
}

/// Lays the scripts of a list as [`super::VARIABLE`] holds it.
///
/// # Errors
/// The first that could not be laid; those before it lie.
pub fn arm_all(list: &str) -> Result<(), ArmError> {
    for entry in list.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (point, script) = entry.split_once('=').unwrap_or((entry, ""));
        arm(point.trim(), script.trim())?;
    }
    Ok(())
}

fn pass(point: Point) -> Option<Value> {
    if ARMED.load(Ordering::Relaxed) == 0 { None } else { act(point) }
}

#[cold]
#[allow(clippy::panic, reason = "the panic is what was asked for")]
fn act(point: Point) -> Option<Value> {
    // Let go of before anything happens: a panic must not find the lock held.
    let action = {
        let mut script = place(point).script();
        let script = script.as_mut()?;
        place(point).hits.fetch_add(1, Ordering::Relaxed);
        script.next()
    };
    match action {
        Action::Off => None,
        Action::Panic => panic!("failpoint {}", point.name()),
        Action::Kill => die(),
        Action::Sleep(time) => {
            std::thread::sleep(time);
            None
        }
        Action::Return(value) => Some(value),
    }
}

/// Ends the process as `kill -9` does: nothing is unwound, no buffer is written.
fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Only reached if the signal is late.
    std::process::abort()
}
