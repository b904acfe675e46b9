//! Glob patterns as Redis' `stringmatchlen` understands them, compiled once per command.
//!
//! `*` any run, `?` any byte, `[abc]`, `[a-z]`, `[^…]` classes, `\x` the byte itself. Every
//! element but `*` takes exactly one byte, so on a mismatch only the last `*` needs to be tried
//! further: the work per key is at most its length times the pattern's elements, whatever the
//! pattern is. A class costs one look into a bitmap, however long it was written.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    elements: Vec<Element>,
    classes: Vec<[u64; 4]>,
    /// Elements that take a byte: a shorter text cannot match.
    least: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Run,
    Any,
    Byte(u8),
    /// Index into the bitmaps.
    Class(u32),
}

impl Glob {
    /// Compiles a pattern. Every pattern is valid; an open `[` ends with the pattern.
    #[must_use]
    pub fn new(pattern: &[u8]) -> Self {
        let (mut elements, mut classes) = (Vec::new(), Vec::new());
        let mut rest = pattern;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let element = match byte {
                b'*' if elements.last() == Some(&Element::Run) => continue,
                b'*' => Element::Run,
                b'?' => Element::Any,
                b'[' => {
                    let (class, after) = class(rest);
                    rest = after;
                    classes.push(class);
                    Element::Class(u32::try_from(classes.len() - 1).unwrap_or(u32::MAX))
                }
                b'\\' => match rest.split_first() {
                    Some((&escaped, after)) => {
                        rest = after;
                        Element::Byte(escaped)
                    }
                    None => Element::Byte(b'\\'),
                },
                byte => Element::Byte(byte),
            };
            elements.push(element);
        }
        let least = elements.iter().filter(|&&e| e != Element::Run).count();
        Self { elements, classes, least }
    }

    /// Whether every text matches.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        self.elements == [Element::Run]
    }

    /// Whether `text`, all of it, matches. As in Redis, the empty text matches the empty pattern
    /// alone, and not even `*`.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            return self.elements.is_empty();
        }
        if text.len() < self.least {
            return false;
        }
        let (mut at, mut element) = (0, 0);
        // Where to go on after a mismatch: behind the last run, with the run one byte longer.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(&byte) = text.get(at) {
            match self.elements.get(element) {
                Some(Element::Run) => {
                    element += 1;
                    if element == self.elements.len() {
                        return true;
                    }
                    retry = Some((at, element));
                    continue;
                }
                Some(&wanted) if self.takes(wanted, byte) => {
                    at += 1;
                    element += 1;
                    continue;
                }
                _ => {}
            }
            let Some((run_end, behind)) = retry else { return false };
            retry = Some((run_end + 1, behind));
            (at, element) = (run_end + 1, behind);
        }
        self.elements.get(element..).is_none_or(|rest| rest.iter().all(|&e| e == Element::Run))
    }

    fn takes(&self, element: Element, byte: u8) -> bool {
        match element {
            Element::Run => false,
            Element::Any => true,
            Element::Byte(wanted) => wanted == byte,
            Element::Class(i) => self.classes.get(i as usize).is_some_and(|class| has(class, byte)),
        }
    }
}

fn has(class: &[u64; 4], byte: u8) -> bool {
    class[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
}

fn add(class: &mut [u64; 4], byte: u8) {
    class[usize::from(byte >> 6)] |= 1 << (byte & 63);
}

/// Reads a class from behind its `[`; returns its bitmap and what follows it.
fn class(mut rest: &[u8]) -> ([u64; 4], &[u8]) {
    let mut class = [0; 4];
    let negated = rest.first() == Some(&b'^');
    if negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    loop {
        rest = match *rest {
            [b'\\', byte, ref after @ ..] => {
                add(&mut class, byte);
                after
            }
            [b']', ref after @ ..] => {
                rest = after;
                break;
            }
            [] => break,
            [from, b'-', to, ref after @ ..] => {
                // Redis compares `char`s, which are signed on the machines it mostly runs on.
                let (from, to) = (from.cast_signed(), to.cast_signed());
                for byte in from.min(to)..=from.max(to) {
                    add(&mut class, byte.cast_unsigned());
                }
                after
            }
            [byte, ref after @ ..] => {
                add(&mut class, byte);
                after
            }
        };
    }
    if negated {
        class = class.map(|bits| !bits);
    }
    (class, rest)
}

#[cfg(test)]
mod tests;
