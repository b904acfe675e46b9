//! A request to every master of a Cluster: each keeps scripts and functions for itself.

use futures_util::future::join_all;

use super::super::failure::{Executed, Failure};
use super::super::pool::Request;
use super::{Inner, Load, Passage, Replies, Target, Wait, error_of};

/// Whose success is one of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enough {
    /// That of every master.
    All,
    /// That of one: whoever has none says so when it matters.
    One,
}

type Answer = Result<Replies, Failure>;

impl Passage {
    /// Whether several masters are behind.
    #[must_use]
    pub fn is_to_many(&self) -> bool {
        self.settings().cluster
    }

    /// [`Passage::pass`], to every master of a Cluster side by side. They have room for one together.
    ///
    /// # Errors
    /// As [`Passage::pass`]; where it failed at one master and not at all of them, nobody can say that
    /// it was not executed.
    pub async fn pass_everywhere(
        &self,
        load: Load<'_>,
        request: Request,
        enough: Enough,
    ) -> Answer {
        let (settings, Inner { pool, writes, .. }) = (self.settings(), &*self.inner);
        let masters = match writes.made_with() {
            Some(_) => writes.masters(),
            None => pool.masters(),
        };
        if masters.is_empty() {
            return self.pass(load, request).await;
        }
        let _seat = self.seat(1, request.deadline).await?;
        let answers = masters.iter().map(|node| {
            let wait = Wait { until: Some(request.deadline), word: None };
            self.with_retries(Load { to: Target::Node(node, &settings), ..load }, request, wait)
        });
        as_one(join_all(answers).await, enough)
    }
}

/// What several answers are as one; there is at least one.
fn as_one(mut answers: Vec<Answer>, enough: Enough) -> Answer {
    let refused = |answer: &Answer| matches!(answer, Ok(replies) if replies.iter().any(|reply| error_of(reply).is_some()));
    let fine = |answer: &Answer| answer.is_ok() && !refused(answer);
    let unexecuted =
        |answer: &Answer| matches!(answer, Err(failure) if failure.executed == Executed::No);
    let of_none = answers.iter().all(unexecuted);
    let find = |wanted: &dyn Fn(&Answer) -> bool| answers.iter().position(wanted);
    let told = match enough {
        Enough::One => find(&fine).or_else(|| find(&refused)),
        Enough::All => find(&Result::is_err).or_else(|| find(&refused)),
    };
    let answer = answers.swap_remove(told.unwrap_or(0));
    answer.map_err(|failure| match of_none {
        true => failure,
        false => Failure { executed: Executed::Unknown, ..failure },
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::failure::FailureKind;
    use super::*;

    fn reply(bytes: &[u8]) -> Answer {
        Ok(Replies { bytes: bytes.to_vec(), ends: vec![bytes.len()] })
    }

    #[test]
    fn a_success_is_one_of_all_or_of_one() {
        let (fine, refused) = (reply(b"+OK\r\n"), reply(b"-NOTBUSY none\r\n"));
        let away: Answer = Err(Failure::before(FailureKind::NoLink, "away"));
        let lost: Answer = Err(Failure::after(FailureKind::Broken, "lost"));
        let in_doubt =
            away.clone().map_err(|failure| Failure { executed: Executed::Unknown, ..failure });
        for (answers, all, one) in [
            ([&fine, &fine], &fine, &fine),
            ([&fine, &refused], &refused, &fine),
            ([&away, &fine], &in_doubt, &fine),
            ([&refused, &away], &in_doubt, &refused),
            ([&away, &lost], &in_doubt, &in_doubt),
            ([&lost, &fine], &lost, &fine),
            ([&away, &away], &away, &away),
        ] {
            let answers: Vec<Answer> = answers.into_iter().cloned().collect();
            assert_eq!(as_one(answers.clone(), Enough::All), *all, "{answers:?}");
            assert_eq!(as_one(answers.clone(), Enough::One), *one, "{answers:?}");
        }
    }
}
