//! Wrong values of a replay's flags, each said in one line: the flag, the value, why, and what the
//! flag takes.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::error::{Error, nearest};

/// What is wrong with the value of a flag of `command`, if that is what is wrong.
pub fn explain_value(error: &clap::Error, command: &Command) -> Option<Error> {
    let is_value = matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::TooFewValues
    );
    let Some(ContextValue::String(about)) = error.get(ContextKind::InvalidArg).filter(|_| is_value) else {
        return None;
    };
    let arg = command.get_arguments().find(|arg| arg.to_string() == *about)?;
    let flag = format!("--{}", arg.get_long()?);
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if !value.is_empty() => value.clone(),
        _ => return Some(Error::usage(format!("{flag} needs a value: {}", takes(arg)))),
    };
    if let Some(ContextValue::Strings(words)) = error.get(ContextKind::ValidValue) {
        let meant = nearest(&value, words.iter().map(String::as_str));
        let words = words.join(", ");
        return Some(Error::usage(format!("{flag} {value}: it takes one of {words}; the nearest is {meant}")));
    }
    let why = std::error::Error::source(error).map_or_else(|| "not allowed".to_owned(), ToString::to_string);
    // The words of the types that have no parser of ours.
    let numeric = ["invalid float literal", "invalid digit", "number too", "is not in", "cannot parse"];
    let why = range(&why).unwrap_or(why);
    let why = if numeric.iter().any(|words| why.contains(words)) { takes(arg) } else { why };
    Some(Error::usage(format!("{flag} {value}: {why}")))
}

/// The range in clap's words, when it does not begin at 0: `-3 is not in 2..=100`.
fn range(why: &str) -> Option<String> {
    let (least, most) = why.split_once(" is not in ")?.1.split_once("..")?;
    let most = most.trim_start_matches('=');
    (least != "0").then(|| match most {
        "" => format!("allowed are numbers from {least}"),
        _ => format!("allowed are {least} to {most}"),
    })
}

/// What a flag takes, from its value's name and its help.
fn takes(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(<[_]>::first).map_or_else(|| "VALUE".to_owned(), ToString::to_string);
    let kind = match name.as_str() {
        "N" => "a whole number from 0",
        "TIER" => "0, 1 or 2",
        "FACTOR" => "a number above 0, as 0.5 or 10",
        "SIZE" => "a size as 128KiB, 16GiB or 4GB",
        "TIME" => "a time as 250us, 30s or 10m",
        _ => "another value",
    };
    let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    format!("it takes {kind} ({help})")
}
