//! The manifest: which files there are, and in which order they are read.

use crate::resp::args::Args;
use crate::resp::codec::{Decoder, MAX_ARGS, RequestLimits};

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the manifest: {what}")]
pub struct ManifestError {
    /// Counted from 1.
    pub line: usize,
    /// What does not fit.
    pub what: &'static str,
}

/// The names of the files that make up the data, in order: the base, then the increments. Those
/// that are only kept as history are left out.
///
/// # Errors
/// [`ManifestError`]: what the data is cannot be told.
pub fn parts(text: &str) -> Result<Vec<String>, ManifestError> {
    let mut base: Option<String> = None;
    let mut increments: Vec<(u64, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what| ManifestError { line: index + 1, what };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = words(line).ok_or_else(|| wrong("its quotes do not close"))?;
        let value = |name: &str| {
            let mut pairs = words.chunks_exact(2);
            pairs.find(|pair| pair[0].eq_ignore_ascii_case(name)).map(|pair| pair[1].clone())
        };
        let name = value("file").ok_or_else(|| wrong("it names no file"))?;
        if name.contains('/') || name == ".." || name.is_empty() {
            return Err(wrong("a file outside of the manifest's directory"));
        }
        let sequence = value("seq").and_then(|text| text.parse().ok());
        let sequence: u64 = sequence.ok_or_else(|| wrong("it has no sequence number"))?;
        match value("type").as_deref() {
            Some("h") => {}
            Some("b") if base.is_none() => base = Some(name),
            Some("b") => return Err(wrong("a second base")),
            Some("i") if increments.last().is_some_and(|(last, _)| *last >= sequence) => {
                return Err(wrong("its sequence number does not ascend"));
            }
            Some("i") => increments.push((sequence, name)),
            _ => return Err(wrong("a type that is not known here")),
        }
    }
    Ok(base.into_iter().chain(increments.into_iter().map(|(_, name)| name)).collect())
}

/// The words of a line, which may be quoted as in a request that is typed in.
fn words(line: &str) -> Option<Vec<String>> {
    let limits = RequestLimits { max_args: MAX_ARGS, max_bulk: line.len(), trusted: true };
    let mut input = format!("{line}\n").into_bytes();
    let mut spans = Vec::new();
    Decoder::default().decode(&mut input, 0, &mut spans, &limits).ok()?.continue_value()?;
    let args = Args::new(&input, &spans);
    Some(args.from(0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

    use super::*;

    #[test]
    fn the_base_comes_first_and_history_is_left_out() {
        let text = "file a.1.base.rdb seq 1 type h\n\
                    # a note\n\
                    file \"a b.2.base.rdb\" seq 2 type b\n\
                    file a.1.incr.aof seq 1 type h\n\
                    file a.9.incr.aof seq 9 type i startoffset 5\n\
                    seq 10 file a.10.incr.aof type i\n";
        assert_eq!(parts(text).unwrap(), ["a b.2.base.rdb", "a.9.incr.aof", "a.10.incr.aof"]);
        assert_eq!(parts("").unwrap(), [] as [&str; 0]);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        let line = |text: &str| parts(text).unwrap_err().line;
        assert_eq!(line("file a seq 1 type i\nfile b seq 1 type i"), 2);
        assert_eq!(line("file a seq 1 type b\nfile b seq 2 type b"), 2);
        for text in
            ["file ../a seq 1 type b", "file a seq x type b", "file a seq 1 type z", "seq 1 type b"]
        {
            assert_eq!(line(text), 1, "{text}");
        }
        assert_eq!(line("file \"a seq 1 type b"), 1);
    }
}
