//! Redis' language of rules: `+@read -keys ~cache:* %R~stock:* &news:*`, one after the other.

use super::access::Need;
use super::categories::Category;
use super::commands::{CommandSet, Unit};
use super::permissions::{ChannelPattern, KeyPattern, Permissions};
use crate::config::keys::nearest;
use crate::glob::Glob;

impl Permissions {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            commands: CommandSet::none(),
            command_rules: vec!["-@all".to_owned()],
            keys: Some(Vec::new()),
            channels: Some(Vec::new()),
        }
    }

    /// What is left of nothing after all of these rules, which are parted by spaces.
    ///
    /// # Errors
    /// The first rule that is wrong, what is wrong with it and what to write instead.
    pub fn parse(rules: &str) -> Result<Self, String> {
        let mut permissions = Self::nothing();
        for rule in rules.split_whitespace() {
            permissions.apply(rule).map_err(|why| format!("{rule:?} {why}"))?;
        }
        Ok(permissions)
    }

    fn apply(&mut self, rule: &str) -> Result<(), String> {
        match rule {
            "allcommands" => self.whole(true),
            "nocommands" => self.whole(false),
            "allkeys" | "~*" => self.keys = None,
            "resetkeys" => self.keys = Some(Vec::new()),
            "allchannels" | "&*" => self.channels = None,
            "resetchannels" => self.channels = Some(Vec::new()),
            "on" | "off" => return Err("is no rule here; write enabled = true or false".to_owned()),
            "nopass" | "resetpass" => {
                return Err("is no rule here; write nopass, passwords or password_file".to_owned());
            }
            _ => return self.prefixed(rule),
        }
        Ok(())
    }

    fn prefixed(&mut self, rule: &str) -> Result<(), String> {
        let mut chars = rule.chars();
        let first = chars.next();
        let rest = chars.as_str();
        match first {
            Some('+') => self.commands(true, rest),
            Some('-') => self.commands(false, rest),
            Some('~') => self.key_pattern(rest, Need { read: true, write: true }),
            Some('%') => {
                let (letters, pattern) = rest.split_once('~').ok_or_else(unreadable_key)?;
                let has = |letter: char| letters.contains([letter, letter.to_ascii_lowercase()]);
                if letters.is_empty() || !letters.chars().all(|c| "RWrw".contains(c)) {
                    return Err(unreadable_key());
                }
                self.key_pattern(pattern, Need { read: has('R'), write: has('W') })
            }
            Some('&') => self.channel_pattern(rest),
            Some('>' | '#' | '<' | '!') => {
                Err("is a password; it belongs into passwords or password_file".to_owned())
            }
            Some('(') => Err("begins a selector, which Seawall does not have; a user of its own \
                              does the same"
                .to_owned()),
            _ => Err("is no rule; write for example +get, +@read, -@dangerous, ~cache:*, &news:*"
                .to_owned()),
        }
    }

    fn commands(&mut self, is_in: bool, name: &str) -> Result<(), String> {
        if let Some(category) = name.strip_prefix('@') {
            if category.eq_ignore_ascii_case("all") {
                self.whole(is_in);
                return Ok(());
            }
            let Some(category) = Category::named(category) else {
                let names = Category::ALL.map(Category::name);
                return Err(unknown("category", "@", category, nearest(category, names)));
            };
            for unit in Unit::all().filter(|unit| category.has(*unit)) {
                self.commands.put(unit, is_in);
            }
        } else {
            let Some(unit) = Unit::named(name) else {
                let names: Vec<String> = Unit::all().map(|unit| unit.name()).collect();
                let near = nearest(name, names.iter().map(String::as_str));
                return Err(unknown("command", "", name, near));
            };
            self.commands.put(unit, is_in);
            if unit.sub.is_none() {
                for at in 0..unit.command.subcommands.len() {
                    self.commands.put(Unit { sub: Some(at), ..unit }, is_in);
                }
            }
        }
        // As it is shown: each name once, where it counts.
        let name = name.to_ascii_lowercase();
        self.command_rules.retain(|rule| rule.get(1..) != Some(&*name));
        self.command_rules.push(format!("{}{name}", if is_in { '+' } else { '-' }));
        Ok(())
    }

    fn whole(&mut self, is_in: bool) {
        self.commands = if is_in { CommandSet::all() } else { CommandSet::none() };
        self.command_rules = vec![if is_in { "+@all" } else { "-@all" }.to_owned()];
    }

    fn key_pattern(&mut self, text: &str, allows: Need) -> Result<(), String> {
        let Some(patterns) = &mut self.keys else {
            return Err(in_vain("resetkeys"));
        };
        if let Some(known) = patterns.iter_mut().find(|pattern| pattern.text == text) {
            known.allows.read |= allows.read;
            known.allows.write |= allows.write;
            return Ok(());
        }
        let glob = Glob::new(text.as_bytes());
        patterns.push(KeyPattern { text: text.to_owned(), glob, allows });
        Ok(())
    }

    fn channel_pattern(&mut self, text: &str) -> Result<(), String> {
        let Some(patterns) = &mut self.channels else {
            return Err(in_vain("resetchannels"));
        };
        if patterns.iter().any(|pattern| pattern.text == text) {
            return Ok(());
        }
        patterns.push(ChannelPattern { text: text.to_owned(), glob: Glob::new(text.as_bytes()) });
        Ok(())
    }
}

fn unreadable_key() -> String {
    "is no rule about keys; write %R~pattern, %W~pattern or ~pattern".to_owned()
}

fn in_vain(reset: &str) -> String {
    format!("has no effect after the rule that allows all of them; write {reset} before it")
}

fn unknown(what: &str, prefix: &str, name: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("names no {what} {name:?}; did you mean {prefix}{near}?"),
        None => format!("names no {what} {name:?}; ACL CAT lists them"),
    }
}
