//! `seawall wal repair`: makes a damaged log start again, and says before what that costs.

use std::ops::ControlFlow;
use std::path::Path;

use clap::Args;
use seawall_actors::clock::Clock;
use seawall_actors::wal::inspect::{Inspection, Verdict, inspect};
use seawall_actors::wal::repair::{Base, Plan};
use seawall_actors::wal::{DataDir, LockError, OpenError};

use super::{Holder, exit_for, unreadable, verify};
use crate::cli::{complain, print};
use crate::exit::Exit;

/// What `seawall wal repair` takes.
#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    /// Do it; without, it is only said what would be done
    #[arg(long)]
    yes: bool,
}

pub(super) fn repair(data: &Path, args: &RepairArgs) -> Exit {
    // Before the lock, which would make the directory of a mistyped path.
    let found = match look(data) {
        Ok(found) => found,
        Err(error) => return unreadable(&error),
    };
    if !args.yes {
        let holder = Holder::of(data);
        let bases = match Base::all(data, &found) {
            Ok(bases) => bases,
            Err(error) => return unreadable(&error),
        };
        let said = match Plan::new(&found, &bases) {
            Some(plan) => print(&format!(
                "{}{}nothing was changed; --yes does it\n",
                verify::as_text(&found, holder),
                as_text(&plan, &found),
            )),
            None => print(&verify::as_text(&found, holder)),
        };
        return if said == Exit::Ok { exit_for(found.verdict(), holder) } else { said };
    }
    let locked = match DataDir::lock(data) {
        Ok(locked) => locked,
        Err(error @ LockError::Held { .. }) => {
            complain(&error.to_string());
            return Exit::Locked;
        }
        Err(error) => {
            complain(&error.to_string());
            return Exit::System;
        }
    };
    match under_lock(&locked) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&format!(
                "{error}\nthe repair is unfinished and nothing is lost: `seawall wal repair` goes \
                 on from here once that is mended"
            ));
            Exit::System
        }
    }
}

fn look(data: &Path) -> Result<Inspection, OpenError> {
    inspect(data, |_| ControlFlow::Continue(()))
}

fn under_lock(data: &DataDir) -> Result<Exit, OpenError> {
    // Again: a daemon may have written meanwhile.
    let found = look(data.path())?;
    let bases = Base::all(data.path(), &found)?;
    let Some(plan) = Plan::new(&found, &bases) else {
        let said = print(&verify::as_text(&found, None));
        return Ok(if said == Exit::Ok { exit_for(found.verdict(), None) } else { said });
    };
    let mut said = format!("{}{}", verify::as_text(&found, None), as_text(&plan, &found));
    let kept = plan.carry_out(data, &Clock::System)?;
    for copy in kept {
        said.push_str(&format!("kept in {}\n", copy.display()));
    }
    let after = if plan.empties { Inspection::default() } else { look(data.path())? };
    let exit = exit_for(after.verdict(), None);
    said.push_str(&match after.verdict() {
        Verdict::Clean if plan.empties => {
            "done: nothing is left; a start begins a new log\n".to_owned()
        }
        Verdict::Clean => format!(
            "done: the log ends with LSN {}, and goes on with {}: no LSN that was lost is given again\n",
            plan.keeps,
            after.last_lsn.saturating_add(1)
        ),
        _ => format!("{}run the repair again\n", verify::as_text(&after, None)),
    });
    Ok(match print(&said) {
        Exit::Ok => exit,
        failed => failed,
    })
}

/// What the plan does and costs.
pub(super) fn as_text(plan: &Plan, found: &Inspection) -> String {
    let mut out = String::from("repair:\n");
    for path in &plan.moved {
        out.push_str(&format!("  move {} to quarantine/\n", path.display()));
    }
    if let Some((path, offset)) = &plan.cut {
        out.push_str(&format!(
            "  cut {} at offset {offset}, with a copy of the rest in quarantine/\n",
            path.display()
        ));
    }
    for path in &plan.passed {
        out.push_str(&format!("  copy {} to quarantine/ and remove it\n", path.display()));
    }
    match plan.base {
        Some(Base { begin, .. }) => out.push_str(&format!(
            "  the log begins behind that: the snapshot of LSN {begin} is whole and stands for it; \
             what happened to keys before is not known any more\n  the cache stays as it was at LSN \
             {}, at least {} records behind are lost to it\n",
            plan.keeps,
            found.last_lsn.saturating_sub(plan.keeps),
        )),
        None => out.push_str(&format!(
            "  records up to LSN {} stay, at least {} are lost to the cache, {} of these readable\n",
            plan.keeps,
            found.last_lsn.saturating_sub(plan.keeps),
            found.readable_behind,
        )),
    }
    out
}
