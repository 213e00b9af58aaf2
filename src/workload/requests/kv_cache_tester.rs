//! Sessions of coding agents (callanjfox/kv-cache-tester): one JSON object per session, with
//! requests in seconds from its start, the ids of 64-token blocks (full ones only), and sub-agents
//! that ask on the session's clock.

use std::io::Read;
use std::sync::Arc;
use std::vec;

use serde::Deserialize;

use crate::error::{Error, Result, plain};
use crate::seed::{hash_bytes, mix};

use super::super::json_items::{Broken, Item, Items};
use super::super::refusals::Place;
use super::super::{Content, names, text_file};
use super::entry::{Before, Entry, Reading, TurnOf};
use super::scalar::{ContentId, Scalar};
use super::segments;

/// A session; ids are its own unless it says `global`.
#[derive(Debug, Deserialize)]
struct Trace {
    #[serde(default)]
    id: Scalar,
    #[serde(default)]
    block_size: Scalar,
    #[serde(default)]
    hash_id_scope: Scalar,
    requests: Vec<Asked>,
}

/// A request, or a sub-agent with its own.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    t: Scalar,
    #[serde(default)]
    model: Scalar,
    #[serde(default, rename = "in", alias = "input_length")]
    input: Scalar,
    #[serde(default, rename = "out", alias = "output_length")]
    output: Scalar,
    #[serde(default)]
    hash_ids: Vec<ContentId>,
    #[serde(default)]
    api_time: Scalar,
    #[serde(default)]
    agent_id: Scalar,
    #[serde(default)]
    requests: Option<Vec<Asked>>,
}

/// The sessions of a file: most have one.
pub struct Sessions {
    items: Items<Box<dyn Read + Send>>,
    reading: Reading,
    taken: u64,
}

impl Sessions {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(reading: Reading) -> Result<Self> {
        let items = Items::new(text_file::open(&reading.path, "a trace of requests")?);
        Ok(Self { items, reading, taken: 0 })
    }

    fn session(&mut self, item: &Item) -> Result<Option<Session>> {
        self.taken += 1;
        let place = Place { path: &self.reading.path, line: None, byte: item.offset };
        let trace: Trace = match serde_json::from_slice(&item.json) {
            Ok(trace) => trace,
            Err(why) if why.is_data() => {
                self.reading.refusals.count(place, "session of another shape")?;
                return Ok(None);
            }
            Err(why) => return Err(Error::usage(format!("{} is not JSON: {why}", place.words()))),
        };
        let mut flat = Flat { reading: &self.reading, place, asked: Vec::new(), agents: Vec::new(), inversions: 0 };
        let name = names::plain(&trace.id.label().unwrap_or_else(|| stem(&self.reading)));
        flat.take(&trace.requests, name)?;
        Session::of(&trace, flat, self.taken).map(Some)
    }

    fn broken(&self, broken: Broken) -> Error {
        let path = self.reading.path.display();
        match broken {
            Broken::Unreadable(error) => Error::usage(format!("cannot read {path}: {}", plain(&error))),
            Broken::Empty => Error::usage(format!("{path} is empty; a session is a JSON object")),
            Broken::Truncated { end, packed } => {
                let whole = format!("{} whole sessions", self.taken);
                Error::usage(text_file::cut_off(&self.reading.path, end, packed, &whole))
            }
            Broken::Wrong { at, what } => Error::usage(format!("{path} byte {at}: {what}")),
        }
    }
}

impl Iterator for Sessions {
    type Item = Result<Session>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.items.next()? {
                Ok(item) => match self.session(&item) {
                    Ok(Some(session)) => return Some(Ok(session)),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                },
                Err(broken) => return Some(Err(self.broken(broken))),
            }
        }
    }
}

/// The requests of a session and its sub-agents, in one list.
struct Flat<'a> {
    reading: &'a Reading,
    place: Place<'a>,
    asked: Vec<Valid<'a>>,
    /// The names of its conversations.
    agents: Vec<String>,
    inversions: u64,
}

/// A request whose numbers can be used.
struct Valid<'a> {
    at_ns: u64,
    agent: usize,
    prompt_tokens: u32,
    answer_tokens: u32,
    asked: &'a Asked,
}

impl<'a> Flat<'a> {
    /// Takes the requests of an agent, and of its sub-agents.
    fn take(&mut self, requests: &'a [Asked], name: String) -> Result<()> {
        let agent = match self.agents.iter().position(|known| *known == name) {
            Some(agent) => agent,
            None => {
                self.agents.push(name.clone());
                self.agents.len() - 1
            }
        };
        for (asked, number) in requests.iter().zip(1u32..) {
            match &asked.requests {
                Some(nested) => {
                    let id = asked.agent_id.label().map_or_else(|| number.to_string(), |id| names::plain(&id));
                    self.take(nested, format!("{name}/{id}"))?;
                }
                None => match self.valid(asked, agent) {
                    Ok(valid) => self.push(valid),
                    Err(reason) => self.reading.refusals.count(self.place, reason)?,
                },
            }
        }
        Ok(())
    }

    fn push(&mut self, valid: Valid<'a>) {
        self.inversions += u64::from(self.asked.last().is_some_and(|last| last.at_ns > valid.at_ns));
        self.asked.push(valid);
    }

    fn valid(&self, asked: &'a Asked, agent: usize) -> std::result::Result<Valid<'a>, &'static str> {
        let at_ns = asked.t.stamp(self.reading.time_unit.ns()).ok_or("request whose t is no number from 0")?;
        match (asked.input.tokens(), asked.output.tokens()) {
            (Some(0), Some(0)) => Err("request without any token"),
            (Some(prompt_tokens), Some(answer_tokens)) => {
                Ok(Valid { at_ns, agent, prompt_tokens, answer_tokens, asked })
            }
            _ => Err("request whose in or out is no number of tokens"),
        }
    }
}

/// A session: its requests in the order of their stamps. Prompts repeat what came before them, so
/// of each only what differs from the one before is kept.
#[derive(Debug)]
pub struct Session {
    requests: vec::IntoIter<Stored>,
    agents: Vec<Agent>,
    block_tokens: u32,
    /// When the last request is answered, as far as the file says, from the session's start.
    pub end_ns: u64,
    /// Requests whose stamp was below that of one above them.
    pub inversions: u64,
}

#[derive(Debug)]
struct Stored {
    at_ns: u64,
    agent: usize,
    prompt_tokens: u32,
    answer_tokens: u32,
    /// Ids that it has in common with the agent's request before.
    kept: usize,
    added: Box<[u64]>,
    /// Stands for the tokens that no id covers.
    own: u64,
}

#[derive(Debug)]
struct Agent {
    name: Arc<str>,
    ids: Vec<u64>,
    left: usize,
}

/// Which conversation a model of an agent has: the agent's own for the first that it asks, one
/// more for every other.
#[derive(Default)]
struct Models(Vec<(usize, String, usize)>);

impl Models {
    fn seat(&mut self, agent: usize, model: &str, agents: &mut Vec<Agent>) -> usize {
        if let Some((.., seat)) = self.0.iter().find(|(of, known, _)| *of == agent && known == model) {
            return *seat;
        }
        let seat = if self.0.iter().any(|(of, ..)| *of == agent) {
            let name = format!("{}/{}", agents[agent].name, names::plain(model));
            agents.push(Agent { name: name.into(), ids: Vec::new(), left: 0 });
            agents.len() - 1
        } else {
            agent
        };
        self.0.push((agent, model.to_owned(), seat));
        seat
    }
}

impl Session {
    /// The session number `number` of a file.
    fn of(trace: &Trace, flat: Flat<'_>, number: u64) -> Result<Self> {
        let Flat { reading, place, mut asked, agents, inversions } = flat;
        asked.sort_by_key(|valid| valid.at_ns);
        let said = trace.block_size.tokens().filter(|tokens| *tokens > 0);
        let block_tokens = reading.forced_block_tokens.or(said).unwrap_or(reading.block_tokens);
        let is_global = matches!(&trace.hash_id_scope, Scalar::Text(scope) if scope == "global");
        let mut own = mix(reading.local(number));
        let space = if is_global { 0 } else { own };
        let agent = |name: String| Agent { name: name.into(), ids: Vec::new(), left: 0 };
        let mut agents: Vec<Agent> = agents.into_iter().map(agent).collect();
        let mut models = Models::default();
        let mut requests = Vec::with_capacity(asked.len());
        let mut end_ns = 0;
        for valid in asked {
            let Valid { at_ns, agent, prompt_tokens, answer_tokens, asked } = valid;
            if asked.hash_ids.len() as u64 > u64::from(prompt_tokens.div_ceil(block_tokens)) {
                let wrong = segments::too_many(asked.hash_ids.len(), prompt_tokens, block_tokens);
                return Err(Error::usage(format!("{}: {wrong}", place.words())));
            }
            // Another model has other caches of the same tokens, and a conversation of its own.
            let model = asked.model.label().unwrap_or_default();
            let space = mix(space ^ hash_bytes(model.as_bytes()));
            let agent = models.seat(agent, &model, &mut agents);
            let ids: Vec<u64> = asked.hash_ids.iter().map(|id| mix(space ^ mix(id.0))).collect();
            let agent_of = &mut agents[agent];
            let kept = agent_of.ids.iter().zip(&ids).take_while(|(before, now)| before == now).count();
            let added = ids[kept..].into();
            (agent_of.ids, agent_of.left) = (ids, agent_of.left + 1);
            own = mix(own);
            requests.push(Stored { at_ns, agent, prompt_tokens, answer_tokens, kept, added, own });
            end_ns = end_ns.max(at_ns.saturating_add(asked.api_time.stamp(reading.time_unit.ns()).unwrap_or(0)));
        }
        agents.iter_mut().for_each(|agent| agent.ids = Vec::new());
        Ok(Self { requests: requests.into_iter(), agents, block_tokens, end_ns, inversions })
    }

    /// When the next request comes, from the session's start; none when it is over.
    pub fn next_ns(&self) -> Option<u64> {
        self.requests.as_slice().first().map(|request| request.at_ns)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.agents.first().map_or("", |agent| &agent.name)
    }

    /// Appends something to the names of its conversations.
    pub fn rename(&mut self, suffix: &str) {
        for agent in &mut self.agents {
            agent.name = format!("{}{suffix}", agent.name).into();
        }
    }
}

impl Iterator for Session {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let Stored { at_ns, agent, prompt_tokens, answer_tokens, kept, added, own } = self.requests.next()?;
        let agent = &mut self.agents[agent];
        agent.left -= 1;
        agent.ids.truncate(kept);
        agent.ids.extend_from_slice(&added);
        let turn = TurnOf {
            id: hash_bytes(agent.name.as_bytes()),
            name: Arc::clone(&agent.name),
            before: Before::LastTurn,
            is_last: agent.left == 0,
        };
        let segments = segments::of_blocks(agent.ids.iter().copied(), self.block_tokens, prompt_tokens, own);
        let content = segments.map_or_else(|_| Content::default(), segments::content);
        Some(Entry { at_ns, prompt_tokens, answer_tokens, turn: Some(turn), content, answer: None })
    }
}

/// The name of a session whose file does not say it.
fn stem(reading: &Reading) -> String {
    let name = reading.path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
