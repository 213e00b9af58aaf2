//! The page of a plan, for `kvtrace report`.

use std::path::{Path, PathBuf};

use crate::analyze::ANALYSIS_SCHEMA;
use crate::error::{Error, Result};
use crate::measure::Input;
use crate::output;
use crate::plot::what_if::{self, PlanFile};

use super::analyze::head;

/// How much of a file tells whether it may be a plan.
const HEAD_BYTES: u64 = 4096;

/// The page, if the only input is a plan; standard input is none.
///
/// # Errors
/// When it cannot be read, or is a plan that is not whole.
pub fn plan_page(inputs: &[PathBuf]) -> Result<Option<String>> {
    match inputs {
        [only] if !output::is_standard(only) && begins_as_analysis(only)? => {
            let input = Input::read(only)?;
            let plan = PlanFile::is(&input).then(|| PlanFile::of(&input)).transpose()?;
            Ok(plan.map(|plan| what_if::page(&plan, &input)))
        }
        _ => Ok(None),
    }
}

/// Whether a file begins as our analyses do, compressed or not.
fn begins_as_analysis(path: &Path) -> Result<bool> {
    let head = head(path, HEAD_BYTES).map_err(|e| Error::reading(path, &e))?;
    Ok(String::from_utf8_lossy(&head).contains(ANALYSIS_SCHEMA))
}
