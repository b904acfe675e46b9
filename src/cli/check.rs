//! `seawall check`: is the configuration right, and what does it come to?

use std::path::PathBuf;

use crate::config::{Loader, render};
use crate::exit::Exit;

use super::{complain, print};

pub(super) fn check(config: Option<PathBuf>) -> Exit {
    match Loader::new(config).load() {
        Ok(loaded) => {
            let file = match &loaded.file {
                Some(file) => file.display().to_string(),
                None => "none".to_owned(),
            };
            let profile = loaded.profile.as_deref().unwrap_or("none");
            let mut text = format!("# file: {file}; profile: {profile}\n\n");
            text.push_str(&render::effective(&loaded));
            for warning in loaded.settings.warnings() {
                complain(&format!("warning: {warning}"));
            }
            print(&text)
        }
        Err(errors) => {
            complain("the configuration is wrong:");
            for line in errors.to_string().lines() {
                complain(&format!("  {line}"));
            }
            Exit::Config
        }
    }
}
