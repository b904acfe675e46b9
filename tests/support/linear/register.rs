//! One key that holds a number, or nothing.

use super::Model;

pub struct Register;

/// What is done to the key. An answer of `None` was never heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Get(Option<i64>),
    Set(i64),
    /// SET NX; whether the key was not there.
    SetNew(i64, Option<bool>),
    /// INCR; what it became.
    Increment(Option<i64>),
    /// DEL; whether it was there.
    Delete(Option<bool>),
    /// WATCH, GET, MULTI, SET, EXEC, where EXEC was not refused: the value was `from`.
    Swap {
        from: Option<i64>,
        to: i64,
    },
}

impl Model for Register {
    type State = Option<i64>;
    type Call = Call;

    fn step(state: &Option<i64>, call: &Call) -> Option<Option<i64>> {
        let holds = |heard: bool, after: Option<i64>| heard.then_some(after);
        match *call {
            Call::Get(answer) => holds(answer == *state, *state),
            Call::Set(value) => Some(Some(value)),
            Call::SetNew(value, answer) => {
                let fresh = state.is_none();
                holds(answer.is_none_or(|a| a == fresh), if fresh { Some(value) } else { *state })
            }
            Call::Increment(answer) => {
                let after = state.unwrap_or(0) + 1;
                holds(answer.is_none_or(|a| a == after), Some(after))
            }
            Call::Delete(answer) => holds(answer.is_none_or(|a| a == state.is_some()), None),
            Call::Swap { from, to } => holds(from == *state, Some(to)),
        }
    }
}
