//! What a spec must keep to, whether its tree is started or it is added to one that runs.

use std::collections::HashSet;

use super::spec::{BodySpec, ChildSpec, SupervisorSpec};

/// The most children one supervisor may have.
pub const MAX_CHILDREN: usize = 1024;

/// Why a spec is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// An id is empty, or has a `/` or a control character in it.
    #[error("'{path}' is not a name for a child")]
    BadId {
        /// Where.
        path: String,
    },
    /// Two siblings have one id.
    #[error("there are two children named '{path}'")]
    DuplicateId {
        /// Where.
        path: String,
    },
    /// A supervisor would have more than [`MAX_CHILDREN`].
    #[error("'{path}' would be one child too many: a supervisor has at most {MAX_CHILDREN}")]
    TooMany {
        /// The first that is too many.
        path: String,
    },
}

/// Checks a whole tree.
pub(super) fn root(root: &SupervisorSpec) -> Result<(), SpecError> {
    id(&root.id, &root.id)?;
    // The root's own id is a path beside those of its children.
    children(&root.children, "", &root.id)
}

/// Checks one child and what is below it. `above` is its supervisor's path with a `/` behind it,
/// or nothing below the root.
pub(super) fn child(child: &ChildSpec, above: &str) -> Result<(), SpecError> {
    let path = format!("{above}{}", child.id);
    id(&child.id, &path)?;
    match &child.body {
        BodySpec::Worker(_) => Ok(()),
        BodySpec::Supervisor(spec) => children(&spec.children, &format!("{path}/"), ""),
    }
}

/// Ids make paths: they must be there, be unique among siblings, and hold no separator.
fn id(id: &str, path: &str) -> Result<(), SpecError> {
    if id.is_empty() || id.contains(|c: char| c == '/' || c.is_control()) {
        return Err(SpecError::BadId { path: path.to_owned() });
    }
    Ok(())
}

fn children(all: &[ChildSpec], above: &str, taken: &str) -> Result<(), SpecError> {
    if let Some(first) = all.get(MAX_CHILDREN) {
        return Err(SpecError::TooMany { path: format!("{above}{}", first.id) });
    }
    let mut seen = HashSet::from([taken]);
    for spec in all {
        child(spec, above)?;
        if !seen.insert(spec.id.as_str()) {
            return Err(SpecError::DuplicateId { path: format!("{above}{}", spec.id) });
        }
    }
    Ok(())
}
