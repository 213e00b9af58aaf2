//! Calls into the Parquet decoder, which panics on some damaged files: here a panic of it is an
//! error like any other.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use polars::prelude::{PolarsError, PolarsResult};

/// Guarded calls that run now, on any thread.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Runs `call`; when the decoder panics, the error says what it said.
pub fn guarded<T>(call: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    silence();
    RUNNING.fetch_add(1, Ordering::SeqCst);
    // What a panic leaves half done is the decoder's own; it is dropped with the error.
    let ended = panic::catch_unwind(AssertUnwindSafe(call));
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    ended.unwrap_or_else(|payload| {
        let words = payload.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("the decoder gave up");
        Err(PolarsError::ComputeError(words.to_owned().into()))
    })
}

/// Keeps the decoder's panics, and only those, off stderr; it decodes on threads of its own, so
/// the place tells them, not the thread.
fn silence() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let decoder = info.location().is_some_and(|place| place.file().contains("polars"));
            if !decoder || RUNNING.load(Ordering::SeqCst) == 0 {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let ended = guarded::<()>(|| panic!("page {} is broken", 3));
        assert!(ended.unwrap_err().to_string().contains("page 3 is broken"));
        assert_eq!(guarded(|| Ok(1)).unwrap(), 1);
    }
}
