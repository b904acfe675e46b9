//! Log directives: `info`, or `info,seawall_actors::wal=debug`.
//!
//! Checked here and not by tracing's own parser, which takes any misspelt level for the name of
//! a module.

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const MAX_DIRECTIVES: usize = 64;

/// Checks directives: at most one bare level, and `module=level` for the others.
///
/// # Errors
/// What is wrong, in plain words.
pub fn check(text: &str) -> Result<(), String> {
    let mut bare = 0;
    let mut count = 0;
    for part in text.split(',').map(str::trim) {
        count += 1;
        let level = match part.split_once('=') {
            Some((module, level)) => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
                if module.is_empty() || !module.chars().all(fits) {
                    return Err(format!("{module:?} is not the name of a module"));
                }
                level
            }
            None => {
                bare += 1;
                part
            }
        };
        if !LEVELS.contains(&level) {
            return Err(format!(
                "{level:?} is not a log level; write one of {}, for example \
                 \"info,seawall_actors::wal=debug\"",
                LEVELS.join(", ")
            ));
        }
    }
    if bare > 1 {
        return Err("has more than one level without a module".to_owned());
    }
    if count > MAX_DIRECTIVES {
        return Err(format!("has more than {MAX_DIRECTIVES} directives"));
    }
    Ok(())
}

/// The level that holds where no module's own does.
#[must_use]
pub fn base_level(text: &str) -> &str {
    text.split(',').map(str::trim).find(|part| !part.contains('=')).unwrap_or("error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_checked() {
        for right in ["info", "off", "info,seawall_actors::wal=debug", "a=trace, b=off"] {
            assert_eq!(check(right), Ok(()), "{right:?}");
        }
        for wrong in ["", "inof", "info,", "info,debug", "=debug", "a b=debug", "wal=loud"] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_bare_level_is_the_base() {
        assert_eq!(base_level("a=trace,warn"), "warn");
        assert_eq!(base_level("a=trace"), "error");
    }
}
