//! The sections of a configuration that say who the users are: templates, classes, pauses, or a
//! list of all of them.

use serde_json::{Value, json};

use crate::workload::{Character, Population, Qos, TEMPLATE_NAMES};

use super::node::{At, Node};
use super::{Faults, unknown};

/// The most tokens that a turn or an answer may have.
const MAX_TOKENS: u64 = 1 << 30;
/// The longest time between two requests, a day.
const MAX_SECONDS: f64 = 86_400.0;
/// The shortest: at least one request has to fit into a moment that a stamp can name.
const MIN_SECONDS: f64 = 1e-6;
/// Users of a list at most, as `--num-users` allows.
const MAX_USERS: usize = 100_000;

/// A user of a list; without a class, it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListedUser {
    pub character: Character,
    pub qos: Option<Qos>,
}

/// Reads `user_templates`.
pub fn templates(at: &At<'_>, population: &mut Population, faults: &mut Faults) {
    for (name, template) in faults.entries(at) {
        let Some(place) = TEMPLATE_NAMES.iter().position(|known| *known == name) else {
            faults.say(unknown(at, &name, TEMPLATE_NAMES.into_iter()));
            continue;
        };
        let target = &mut population.templates[place];
        for (key, value) in faults.entries(&template) {
            match key.as_str() {
                "context_range" => faults.set(&mut target.context, value.whole_range(1, MAX_TOKENS)),
                "generation_range" => faults.set(&mut target.generation, value.whole_range(1, MAX_TOKENS)),
                "think_time_range" => faults.set(&mut target.think_s, value.real_range(MIN_SECONDS, MAX_SECONDS)),
                _ => {
                    let known = ["context_range", "generation_range", "think_time_range"];
                    faults.say(unknown(&template, &key, known.into_iter()));
                }
            }
        }
    }
}

/// Reads `qos_distribution`.
pub fn distribution(at: &At<'_>, population: &mut Population, faults: &mut Faults) {
    for (key, value) in faults.entries(at) {
        match key.as_str() {
            "interactive_probability" => faults.set(&mut population.interactive, value.real(0.0, 1.0)),
            "responsive_threshold" => faults.set(&mut population.responsive, value.real(0.0, 1.0)),
            _ => faults.say(unknown(at, &key, ["interactive_probability", "responsive_threshold"].into_iter())),
        }
    }
}

/// Reads `pause_range`.
pub fn pause(at: &At<'_>, population: &mut Population, faults: &mut Faults) {
    faults.set(&mut population.pause, at.real_range(MIN_SECONDS, 1000.0));
}

/// Reads `users`.
pub fn users(at: &At<'_>, faults: &mut Faults) -> Vec<ListedUser> {
    let items = match at.items() {
        Ok(items) => items,
        Err(why) => {
            faults.say(why);
            return Vec::new();
        }
    };
    let users: Vec<ListedUser> = items.filter_map(|item| faults.keep(user(&item))).collect();
    if users.is_empty() || users.len() > MAX_USERS {
        faults.say(format!("{} lists {} users; allowed are 1 to {MAX_USERS}", at.path, users.len()));
    }
    users
}

fn user(at: &At<'_>) -> Result<ListedUser, String> {
    const KEYS: [&str; 4] = ["context", "generation", "think_s", "qos"];
    let (mut context, mut generation, mut think_s, mut qos) = (None, None, None, None);
    for (key, value) in at.entries()? {
        match key.replace('-', "_").as_str() {
            "context" => context = Some(value.whole(1, MAX_TOKENS)?),
            "generation" => generation = Some(value.whole(1, MAX_TOKENS)?),
            "think_s" => think_s = Some(value.real(MIN_SECONDS, MAX_SECONDS)?),
            "qos" if *value.node == Node::Null => {}
            "qos" => qos = Some(class(&value)?),
            _ => return Err(unknown(at, key, KEYS.into_iter())),
        }
    }
    let missing = |key: &str| format!("{} has no {key}; a user is {{context, generation, think_s, qos}}", at.path);
    let character = Character {
        context: context.ok_or_else(|| missing("context"))?,
        generation: generation.ok_or_else(|| missing("generation"))?,
        think_s: think_s.ok_or_else(|| missing("think_s"))?,
    };
    Ok(ListedUser { character, qos })
}

fn class(at: &At<'_>) -> Result<Qos, String> {
    let word = at.text().unwrap_or_default();
    let known = Qos::ALL.into_iter().find(|qos| qos.word() == word);
    known.ok_or_else(|| at.not("interactive, responsive or batch"))
}

/// The population as a configuration would say it.
pub fn print(population: &Population) -> Vec<(&'static str, Value)> {
    let templates: serde_json::Map<String, Value> = TEMPLATE_NAMES
        .into_iter()
        .zip(population.templates)
        .map(|(name, template)| {
            let ranges = json!({
                "context_range": template.context,
                "generation_range": template.generation,
                "think_time_range": template.think_s,
            });
            (name.to_owned(), ranges)
        })
        .collect();
    let distribution = json!({
        "interactive_probability": population.interactive,
        "responsive_threshold": population.responsive,
    });
    vec![
        ("user_templates", templates.into()),
        ("qos_distribution", distribution),
        ("pause_range", json!(population.pause)),
    ]
}

/// The list of users as a configuration would say it.
pub fn print_users(users: &[ListedUser]) -> Value {
    let user = |user: &ListedUser| {
        let Character { context, generation, think_s } = user.character;
        let mut entry = json!({ "context": context, "generation": generation, "think_s": think_s });
        if let Some(qos) = user.qos {
            entry["qos"] = qos.word().into();
        }
        entry
    };
    users.iter().map(user).collect()
}
