//! The arguments of COMMAND DOCS, read from the table's syntax line.
//!
//! ```text
//! line    = element *                  key value [NX | XX] [EX seconds | KEEPTTL]
//! element = "[" choice "]"             optional
//!         | word ("|" word)*           one of several words, written together
//!         | "…"                        the element before may be repeated
//! choice  = line ("|" line)*           one of several lines
//! ```
//!
//! In brackets a bar without spaces may part lines (`EX seconds|PX milliseconds`) or words
//! (`SKIPME YES|NO`); [`parts_lines`] tells them apart.
//!
//! A word in capitals is a token; a token followed by a value is one argument with that token.

use crate::resp::reply::Reply;

/// Brackets are at most this deep; what is deeper is read as words. Ours are two deep.
const MAX_DEPTH: usize = 8;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    name: String,
    kind: Kind,
    token: Option<String>,
    optional: bool,
    multiple: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A token alone.
    PureToken,
    /// A value.
    Value(&'static str),
    /// Exactly one of these.
    OneOf(Vec<Argument>),
    /// These, in order.
    Block(Vec<Argument>),
}

/// Reads a syntax line. Any text gives some arguments; nothing is refused.
pub(super) fn parse(line: &str) -> Vec<Argument> {
    let spaced = space_out(line, 0).replace('[', " [ ").replace(']', " ] ").replace(" | ", "| ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let alternatives = choice(&words, &mut at, 0);
    match <[_; 1]>::try_from(alternatives) {
        Ok([only]) => only,
        Err(several) => vec![one_of(several)],
    }
}

/// Puts spaces around the bars that part lines inside brackets.
fn space_out(line: &str, depth: usize) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, from)) = rest.split_once('[') {
        let (inner, after) = from.split_at(closing(from));
        out.push_str(before);
        out.push('[');
        if depth < MAX_DEPTH {
            let inner =
                if parts_lines(inner) { inner.replace('|', " | ") } else { inner.to_owned() };
            out.push_str(&space_out(&inner, depth + 1));
        } else {
            out.push_str(inner);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Where the bracket that was opened before `text` closes; its end if it does not.
fn closing(text: &str) -> usize {
    let mut open = 1usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => open += 1,
            ']' if open == 1 => return at,
            ']' => open -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether the bars part lines: one of the parts behind the first has several words, or a value
/// stands beside a token.
fn parts_lines(inner: &str) -> bool {
    // Bars of inner brackets are theirs.
    if inner.contains('[') {
        return false;
    }
    let parts: Vec<&str> = inner.split('|').map(str::trim).collect();
    let words = |part: &str| part.split_whitespace().count();
    let last_word = |part: &str| part.split_whitespace().last().is_some_and(is_token);
    parts.len() > 1
        && (parts.iter().skip(1).any(|part| words(part) > 1)
            || (parts.first().is_some_and(|first| words(first) > 1 && !last_word(first))
                && parts.iter().skip(1).any(|part| is_token(part))))
}

fn is_token(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_uppercase() || c == '-' || c.is_ascii_digit())
}

/// Reads alternatives up to the closing bracket.
fn choice(words: &[&str], at: &mut usize, depth: usize) -> Vec<Vec<Argument>> {
    let mut alternatives = vec![Vec::new()];
    while let Some(word) = words.get(*at) {
        *at += 1;
        let current = match alternatives.last_mut() {
            Some(current) => current,
            None => return alternatives,
        };
        match *word {
            "]" if depth > 0 => return alternatives,
            "[" if depth < MAX_DEPTH => {
                let inner = choice(words, at, depth + 1);
                bracket(current, inner);
            }
            "…" => {
                if let Some(last) = current.last_mut() {
                    last.multiple = true;
                }
            }
            word => {
                let (word, ends) = word.strip_suffix('|').map_or((word, false), |w| (w, true));
                if !word.is_empty() {
                    add_word(current, word);
                }
                if ends {
                    alternatives.push(Vec::new());
                }
            }
        }
    }
    alternatives
}

/// `[…]` makes an optional argument, unless it only repeats the one before (`key [key …]`).
fn bracket(before: &mut Vec<Argument>, mut alternatives: Vec<Vec<Argument>>) {
    alternatives.retain(|line| !line.is_empty());
    let Some(first) = alternatives.first() else { return };
    let repeated = first.iter().any(|argument| argument.multiple)
        && alternatives.len() == 1
        && before.len() >= first.len()
        && before.iter().rev().zip(first.iter().rev()).all(|(a, b)| a.name == b.name);
    if repeated {
        let tail = before.split_off(before.len() - first.len());
        before.push(Argument { multiple: true, ..block(tail) });
        return;
    }
    let argument = match <[_; 1]>::try_from(alternatives) {
        Ok([line]) => block(line),
        Err(several) => one_of(several),
    };
    before.push(Argument { optional: true, ..argument });
}

fn add_word(line: &mut Vec<Argument>, word: &str) {
    let argument = if word.contains('|') {
        one_of(word.split('|').filter(|w| !w.is_empty()).map(|w| vec![single(w)]).collect())
    } else {
        single(word)
    };
    // `EX seconds`: the token belongs to the value that follows it.
    match line.last_mut() {
        Some(last) if last.kind == Kind::PureToken && argument.kind != Kind::PureToken => {
            *last = Argument { token: last.token.take(), ..argument };
        }
        _ => line.push(argument),
    }
}

fn single(word: &str) -> Argument {
    let token = is_token(word);
    Argument {
        name: word.to_ascii_lowercase(),
        kind: if token { Kind::PureToken } else { Kind::Value(kind_of(word)) },
        token: token.then(|| word.to_owned()),
        optional: false,
        multiple: false,
    }
}

/// Redis' type of a value, by the name it goes by.
fn kind_of(word: &str) -> &'static str {
    match word {
        "key" | "source" | "destination" | "newkey" => "key",
        "pattern" => "pattern",
        w if w.starts_with("unix-time") => "unix-time",
        "seconds" | "milliseconds" | "index" | "start" | "end" | "offset" | "increment"
        | "decrement" | "count" | "cursor" | "db" | "timeout" => "integer",
        _ => "string",
    }
}

fn block(mut line: Vec<Argument>) -> Argument {
    if line.len() == 1
        && let Some(only) = line.pop()
    {
        return only;
    }
    group(Kind::Block(line))
}

fn one_of(alternatives: Vec<Vec<Argument>>) -> Argument {
    group(Kind::OneOf(alternatives.into_iter().filter(|l| !l.is_empty()).map(block).collect()))
}

fn group(kind: Kind) -> Argument {
    let (Kind::OneOf(parts) | Kind::Block(parts)) = &kind else {
        return Argument {
            name: String::new(),
            kind,
            token: None,
            optional: false,
            multiple: false,
        };
    };
    let name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("-");
    Argument { name, kind, token: None, optional: false, multiple: false }
}

/// Writes the arguments as COMMAND DOCS shows them.
pub(super) fn write(arguments: &[Argument], reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [(argument.optional, "optional"), (argument.multiple, "multiple")]
            .iter()
            .filter_map(|(on, name)| on.then_some(*name))
            .collect();
        let (kind, parts) = match &argument.kind {
            Kind::PureToken => ("pure-token", None),
            Kind::Value(kind) => (*kind, None),
            Kind::OneOf(parts) => ("oneof", Some(parts)),
            Kind::Block(parts) => ("block", Some(parts)),
        };
        reply.map(
            2 + usize::from(parts.is_none())
                + usize::from(argument.token.is_some())
                + usize::from(!flags.is_empty())
                + usize::from(parts.is_some()),
        );
        let mut pair = |name: &str, value: &str| {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        };
        pair("name", &argument.name);
        pair("type", kind);
        if parts.is_none() {
            pair("display_text", &argument.name);
        }
        if let Some(token) = &argument.token {
            pair("token", token);
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            for flag in flags {
                reply.simple(flag);
            }
        }
        if let Some(parts) = parts {
            reply.bulk(b"arguments");
            write(parts, reply);
        }
    }
}

#[cfg(test)]
mod tests;
