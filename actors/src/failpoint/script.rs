//! What a failpoint does at each pass: a pure machine, and the small language it is written in.
//!
//! ```text
//! script  term ("->" term)*          one term after the other; behind the last: off
//! term    [count "*"] action         so many passes; without a count: for ever
//! action  off | panic | kill | sleep(ms) | return(value)
//! value   EIO | ENOSPC | EROFS | EMFILE | EACCES | a whole number
//! ```
//!
//! `3*off->1*panic` lets three passes go and panics at the fourth.

use std::str::FromStr;
use std::time::Duration;

use rustix::io::Errno;

use super::ArmError;

/// Terms in a script, at most.
const TERMS_MAX: usize = 16;

/// What happens at a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Off,
    Panic,
    Kill,
    Sleep(Duration),
    Return(Value),
}

/// What a pass returns in place of the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Errno(i32),
    Number(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    /// Passes left; `None`: any number.
    left: Option<u64>,
    action: Action,
}

/// What a failpoint does, pass by pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    terms: Vec<Term>,
}

impl Script {
    /// What happens at the next pass.
    pub(super) fn next(&mut self) -> Action {
        for term in &mut self.terms {
            match &mut term.left {
                None => return term.action,
                Some(0) => {}
                Some(left) => {
                    *left -= 1;
                    return term.action;
                }
            }
        }
        Action::Off
    }
}

impl FromStr for Script {
    type Err = ArmError;

    fn from_str(text: &str) -> Result<Self, ArmError> {
        let terms: Option<Vec<Term>> = text.split("->").map(|part| term(part.trim())).collect();
        terms
            .filter(|terms| terms.len() <= TERMS_MAX)
            .map(|terms| Self { terms })
            .ok_or_else(|| ArmError::BadScript(text.chars().take(100).collect()))
    }
}

fn term(text: &str) -> Option<Term> {
    let (left, text) = match text.split_once('*') {
        Some((count, action)) => (Some(count.trim().parse().ok()?), action.trim()),
        None => (None, text),
    };
    Some(Term { left, action: action(text)? })
}

fn action(text: &str) -> Option<Action> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
        None => (text, None),
    };
    Some(match (name, argument) {
        ("off", None) => Action::Off,
        ("panic", None) => Action::Panic,
        ("kill", None) => Action::Kill,
        ("sleep", Some(ms)) => Action::Sleep(Duration::from_millis(ms.parse().ok()?)),
        ("return", Some(value)) => Action::Return(self::value(value)?),
        _ => return None,
    })
}

fn value(text: &str) -> Option<Value> {
    let errno = match text {
        "EIO" => Errno::IO,
        "ENOSPC" => Errno::NOSPC,
        "EROFS" => Errno::ROFS,
        "EMFILE" => Errno::MFILE,
        "EACCES" => Errno::ACCESS,
        number => return number.parse().ok().map(Value::Number),
    };
    Some(Value::Errno(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(script: &str, count: usize) -> Vec<Action> {
        let mut script: Script = script.parse().unwrap();
        (0..count).map(|_| script.next()).collect()
    }

    #[test]
    fn terms_follow_each_other_and_then_it_is_off() {
        use Action::{Off, Panic};
        assert_eq!(passes("panic", 3), [Panic, Panic, Panic]);
        assert_eq!(passes("1*panic", 3), [Panic, Off, Off]);
        assert_eq!(passes("2*off->1*panic", 4), [Off, Off, Panic, Off]);
        assert_eq!(passes("1*panic -> 1*off -> panic", 4), [Panic, Off, Panic, Panic]);
        assert_eq!(passes("0*panic->off", 1), [Off]);
    }

    #[test]
    fn values_are_errors_of_the_system_or_numbers() {
        let eio = Action::Return(Value::Errno(Errno::IO.raw_os_error()));
        assert_eq!(passes("return(EIO)", 1), [eio]);
        assert_eq!(passes("return(-3600000)", 1), [Action::Return(Value::Number(-3_600_000))]);
        assert_eq!(passes("sleep(20)", 1), [Action::Sleep(Duration::from_millis(20))]);
    }

    #[test]
    fn nonsense_is_refused() {
        let long = vec!["off"; TERMS_MAX + 1].join("->");
        let nonsense = [
            "",
            "panic->",
            "x",
            "*panic",
            "-1*panic",
            "sleep",
            "sleep(x)",
            "return(EWHAT)",
            "off(",
        ];
        for text in nonsense.into_iter().chain([long.as_str()]) {
            let error = text.parse::<Script>().unwrap_err();
            assert!(error.to_string().contains("return(EIO"), "{text}: {error}");
        }
    }
}
