//! All of it or nothing, and never late. Pure.
//!
//! A connection that was given up may still deliver what was sent over it: Redis stood still, or
//! the network held it back. By then others may have been sent over the next connection, and older
//! values would take the place of newer ones for good. So each connection watches the marker
//! (`WATCH`) from before its first transaction on, and every transaction writes the marker: of two
//! over different connections, the one that comes second is not executed.
//!
//! In a Cluster a transaction holds keys of one slot only: there the connections before are ended at
//! the nodes themselves, before anything is sent over a new one.

use redis::{Cmd, Pipeline, Value};

use crate::journal::Lsn;

/// What became of a fenced transaction.
#[derive(Debug, PartialEq)]
pub(super) enum Fenced {
    /// It was executed: what each command answered.
    Done(Vec<Value>),
    /// The marker was touched since it was watched: nothing was executed.
    Overtaken,
    /// Redis refused it as a whole, in these words.
    Refused(String),
}

/// Watches the marker over this connection.
pub(super) fn watch(marker: &str) -> Cmd {
    redis::cmd("WATCH").arg(marker).to_owned()
}

/// The beginning of a fenced transaction.
pub(super) fn open() -> Pipeline {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("MULTI");
    pipeline
}

/// Its end. The marker is watched again for the next one.
pub(super) fn close(pipeline: &mut Pipeline, marker: &str) {
    pipeline.cmd("EXEC");
    pipeline.add_command(watch(marker));
}

/// Deletes keys, or everything if there are none, as long as the marker says what it is known to say;
/// answers nothing otherwise. A full Redis refuses every transaction, even one that only deletes, and
/// lets a script that says so pass.
const DELETE: &str = r#"#!lua flags=allow-oom
if (redis.call("GET", KEYS[1]) or "") ~= ARGV[1] then return false end
if #KEYS == 1 then redis.call("FLUSHDB", "ASYNC") return 1 end
return redis.call("UNLINK", unpack(KEYS, 2))"#;

/// [`DELETE`] behind a marker that says `marked`.
pub(super) fn delete(marker: &str, marked: Option<Lsn>, keys: &[&[u8]]) -> Cmd {
    let mut script = redis::cmd("EVAL");
    script.arg(DELETE).arg(keys.len() + 1).arg(marker);
    for key in keys {
        script.arg(*key);
    }
    script.arg(marked.map_or_else(String::new, |lsn| lsn.to_string()));
    script
}

/// What its answers say.
pub(super) fn judge(mut answers: Vec<Value>) -> Fenced {
    let watched = answers.pop();
    let executed = answers.pop();
    // The first complaint says why; EXEC's own only that there was one.
    if let Some(error) = answers.iter().chain(&watched).find_map(refusal) {
        return Fenced::Refused(error);
    }
    match executed {
        Some(Value::Array(results)) => match results.iter().find_map(refusal) {
            Some(error) => Fenced::Refused(error),
            None => Fenced::Done(results),
        },
        Some(Value::Nil) => Fenced::Overtaken,
        Some(Value::ServerError(error)) => Fenced::Refused(words(&error)),
        _ => Fenced::Refused("EXEC brought no array".to_owned()),
    }
}

/// The words of an answer that is an error.
pub(super) fn refusal(answer: &Value) -> Option<String> {
    match answer {
        Value::ServerError(error) => Some(words(error)),
        _ => None,
    }
}

/// What Redis says when it refuses.
pub(super) fn words(error: &redis::ServerError) -> String {
    format!("{} {}", error.code(), error.details().unwrap_or_default()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued() -> Value {
        Value::SimpleString("QUEUED".to_owned())
    }

    fn error(text: &str) -> Value {
        let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        answer.unwrap_or_else(|error| Value::SimpleString(error.to_string()))
    }

    #[test]
    fn the_answers_say_whether_it_was_executed() {
        let results = vec![Value::Okay, Value::Nil];
        let done =
            vec![Value::Okay, queued(), queued(), Value::Array(results.clone()), Value::Okay];
        assert_eq!(judge(done), Fenced::Done(results));
        assert_eq!(judge(vec![Value::Okay, queued(), Value::Nil, Value::Okay]), Fenced::Overtaken);
    }

    #[test]
    fn the_first_complaint_is_the_reason() {
        let (oom, aborted) = (error("OOM command not allowed"), error("EXECABORT discarded"));
        let refused = Fenced::Refused("OOM command not allowed".to_owned());
        assert_eq!(judge(vec![Value::Okay, oom.clone(), aborted, Value::Okay]), refused);
        assert_eq!(
            judge(vec![Value::Okay, queued(), Value::Array(vec![oom]), Value::Okay]),
            refused
        );
        let watch = error("NOPERM no permission to run WATCH");
        let done = Value::Array(vec![Value::Okay]);
        let refused = Fenced::Refused("NOPERM no permission to run WATCH".to_owned());
        assert_eq!(judge(vec![Value::Okay, queued(), done, watch]), refused);
    }

    #[test]
    fn answers_that_make_no_sense_are_no_success() {
        for answers in [vec![], vec![Value::Okay], vec![Value::Okay, queued(), Value::Okay]] {
            assert!(matches!(judge(answers), Fenced::Refused(_)));
        }
    }
}
