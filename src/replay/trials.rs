//! What several runs of one plan come to.

use std::cmp::Reverse;

use crate::error::{Error, Kind, Result};
use crate::measure::trials;

use super::Replayed;

/// Puts the trials that were run together, of so many that were asked for.
///
/// # Errors
/// An interruption in the first trial of several leaves nothing to put together; it is not an
/// error, but that trial's own partial result.
pub fn conclude(mut done: Vec<Replayed>, wanted: u32) -> Result<Replayed> {
    if wanted <= 1 || done.len() == 1 && !done[0].result.complete {
        return done.pop().ok_or_else(|| Error::interrupted("nothing was measured"));
    }
    // A trial that somebody ended in its middle says nothing; one that failed says why.
    let cut = done.last().is_some_and(|last| !last.result.complete && is_interruption(last));
    let failures = done.iter().filter_map(|trial| trial.failure.clone());
    let mut worst = failures.max_by_key(|failure| Reverse(rank(failure.kind())));
    if cut {
        done.pop();
    }
    let whole = done.iter().filter(|trial| trial.result.complete).count();
    let log = done.iter_mut().find_map(|trial| trial.log.take());
    let mut result = trials::in_turn(done.into_iter().map(|trial| trial.result).collect());
    if whole < wanted as usize {
        result.complete = false;
        result.notes.insert(0, format!("{whole} of {wanted} trials are whole"));
        let ended = Error::interrupted(format!("interrupted; {whole} of {wanted} trials are kept as a partial result"));
        worst = worst.filter(|error| error.kind() != Kind::Interrupted).or(Some(ended));
    }
    Ok(Replayed { result, failure: worst, log })
}

fn is_interruption(trial: &Replayed) -> bool {
    trial.failure.as_ref().is_some_and(|failure| failure.kind() == Kind::Interrupted)
}

/// What weighs more comes first.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::WrongData => 0,
        Kind::Io => 1,
        Kind::NotSustained => 2,
        _ => 3,
    }
}
