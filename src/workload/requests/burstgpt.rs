//! BurstGPT (HPMLL/BurstGPT): CSV with stamps in seconds, in six columns or, from its third file
//! on, eight, of which `Session ID` names the conversation of a `Conversation log` row. A request
//! whose answer has no token failed.

use std::sync::Arc;

use csv::ByteRecord;

use crate::error::Result;
use crate::seed::hash_bytes;

use super::super::{Content, names};
use super::csv_rows::{Columns, Header};
use super::entry::{Before, Entry, Reading, TurnOf};
use super::json_lines::Outcome;
use super::scalar;

/// Where the columns are.
#[derive(Clone, Copy, Debug)]
pub struct BurstGpt {
    timestamp: usize,
    request: usize,
    response: usize,
    session: Option<usize>,
    log_type: Option<usize>,
}

impl Columns for BurstGpt {
    fn find(header: &Header<'_>) -> Result<Self> {
        Ok(Self {
            timestamp: header.needed("timestamp")?,
            request: header.needed("request tokens")?,
            response: header.needed("response tokens")?,
            session: header.position("session id"),
            log_type: header.position("log type"),
        })
    }

    fn entry(&mut self, row: &ByteRecord, reading: &Reading) -> Outcome {
        let Some(at_ns) = scalar::stamp(&row[self.timestamp], reading.time_unit.ns()) else {
            return Outcome::Refused("row whose Timestamp is no number from 0");
        };
        let (request, response) = (scalar::tokens(&row[self.request]), scalar::tokens(&row[self.response]));
        let (Some(prompt_tokens), Some(answer_tokens)) = (request, response) else {
            return Outcome::Refused("row whose Request or Response tokens are no number of tokens");
        };
        match (prompt_tokens, answer_tokens) {
            (0, 0) => return Outcome::Refused("request without any token"),
            (_, 0) if !reading.keep_failures => return Outcome::Refused("request that failed (no response tokens)"),
            _ => {}
        }
        let turn = self.session(row).map(|session| TurnOf {
            id: hash_bytes(session),
            name: Arc::from(names::plain(&String::from_utf8_lossy(session))),
            before: Before::LastTurn,
            is_last: false,
        });
        let content = Content::Conversation;
        Outcome::Entry(Entry { at_ns, prompt_tokens, answer_tokens, turn, content, answer: None })
    }
}

impl BurstGpt {
    /// The session of a row of a conversation.
    fn session<'a>(&self, row: &'a ByteRecord) -> Option<&'a [u8]> {
        let session = row[self.session?].trim_ascii();
        let is_api = self.log_type.is_some_and(|at| row[at].trim_ascii().eq_ignore_ascii_case(b"api log"));
        (!session.is_empty() && !is_api).then_some(session)
    }
}
