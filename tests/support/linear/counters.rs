//! Several counters that transactions read and change.

use super::Model;

/// So many counters.
pub const COUNT: usize = 5;

pub struct Counters;

/// A transaction: what each step adds to which counter (0 reads it), and what it answered. An
/// answer of `None` was never heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub steps: Vec<(usize, i64)>,
    pub answers: Option<Vec<i64>>,
}

impl Model for Counters {
    type State = [i64; COUNT];
    type Call = Transaction;

    fn step(state: &[i64; COUNT], call: &Transaction) -> Option<[i64; COUNT]> {
        let mut after = *state;
        let mut found = Vec::with_capacity(call.steps.len());
        for &(counter, amount) in &call.steps {
            after[counter] += amount;
            found.push(after[counter]);
        }
        call.answers.as_ref().is_none_or(|answers| *answers == found).then_some(after)
    }
}
