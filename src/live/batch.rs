//! One message of events, in every encoding that engines have used: batches and events as arrays
//! by position or as maps by name, events wrapped in bytes, hashes as numbers or bytes.

use super::hash::BlockHash;
use super::kv_event::{KvBatch, KvEvent, Stored};
use super::tally::Tally;
use super::value::Value;

/// The names of the fields of an event in array form, from position 1 on. The first five are
/// vLLM 0.9's; #19737, #27577, #33304, #37688 and #40984 appended the others.
const STORED: [&str; 11] = [
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
    "group_idx",
    "kv_cache_spec_kind",
    "kv_cache_spec_sliding_window",
];
const REMOVED: [&str; 3] = ["block_hashes", "medium", "group_idx"];
/// Fields of maps only (#48281, #52067), and what scripts add that record events one by one.
const MAP_ONLY: [&str; 9] =
    ["type", "locality", "ownership", "ts", "timestamp", "_tag", "_fields", "_recv_ts", "data_parallel_rank"];
/// The names of a batch in map form.
const BATCH: [&str; 4] = ["ts", "events", "data_parallel_rank", "dp_rank"];

/// The batch that a message is. Fields that are not known are counted in `unknown`, events that
/// are not understood in `skipped`.
///
/// # Errors
/// When it is no batch, in words.
pub fn decode(message: &Value, unknown: &mut Tally, skipped: &mut Tally) -> Result<KvBatch, String> {
    let (at, events, rank) = match message {
        Value::List(parts) => {
            let [at, events, rest @ ..] = &parts[..] else {
                return Err(format!("a batch is [time, events, rank], and this list has {} parts", parts.len()));
            };
            for place in 3..parts.len() {
                unknown.count(&format!("batch[{place}]"));
            }
            (Some(at), Some(events), rest.first())
        }
        Value::Map(pairs) => {
            let names = pairs.iter().filter_map(|(name, _)| name.text());
            names.filter(|name| !BATCH.contains(name)).for_each(|name| unknown.count(&format!("batch.{name}")));
            let rank = message.get("data_parallel_rank").or_else(|| message.get("dp_rank"));
            (message.get("ts"), message.get("events"), rank)
        }
        _ => return Err("a batch is a list or a map".to_owned()),
    };
    let at_s = at.and_then(Value::number).filter(|at| *at >= 0.0).ok_or("its time is no number of seconds")?;
    let events = events.and_then(Value::list).ok_or("its events are no list")?;
    let events = events.iter().filter_map(|value| event(value, unknown, skipped)).collect();
    Ok(KvBatch { at_s, rank: rank.and_then(Value::count), events })
}

/// One event; none where it is not understood, which is counted.
pub fn event(value: &Value, unknown: &mut Tally, skipped: &mut Tally) -> Option<KvEvent> {
    let found = match value {
        Value::Bytes(bytes) => match rmp_serde::from_slice::<Value>(bytes) {
            Ok(inner @ (Value::List(_) | Value::Map(_))) => return event(&inner, unknown, skipped),
            _ => Err("event in bytes that are no msgpack"),
        },
        Value::List(parts) => match parts.first().and_then(Value::text) {
            Some(tag) => of_fields(tag, &|name, place| positional(parts, name, place)).inspect(|_| {
                let known = if tag == "BlockStored" { STORED.len() } else { REMOVED.len() };
                let known = if tag == "AllBlocksCleared" { 0 } else { known };
                (known + 1..parts.len()).for_each(|place| unknown.count(&format!("{tag}[{place}]")));
            }),
            None => Err("event without a name"),
        },
        Value::Map(pairs) => match value.get("type").or_else(|| value.get("_tag")).and_then(Value::text) {
            Some(tag) => {
                let fields = value.get("_fields").unwrap_or(value);
                of_map(tag, fields).inspect(|_| note_unknown(tag, pairs, fields, unknown))
            }
            None => Err("event without a name"),
        },
        _ => Err("event that is neither a list nor a map"),
    };
    found.map_err(|why| skipped.count(why)).ok()
}

/// Fields under their names, or, as some scripts write them, in a list.
fn of_map(tag: &str, fields: &Value) -> Result<KvEvent, &'static str> {
    match fields {
        Value::List(parts) => of_fields(tag, &|_, place| parts.get(place - 1).filter(|value| **value != Value::Nil)),
        fields => of_fields(tag, &|name, _| fields.get(name)),
    }
}

fn note_unknown(tag: &str, pairs: &[(Value, Value)], fields: &Value, unknown: &mut Tally) {
    let known: &[&str] = if tag == "BlockStored" { &STORED } else { &REMOVED };
    let inner = if let Value::Map(inner) = fields { &inner[..] } else { &[] };
    let apart = pairs.as_ptr() != inner.as_ptr();
    let names = pairs.iter().chain(inner.iter().filter(|_| apart)).filter_map(|(name, _)| name.text());
    for name in names.filter(|name| !known.contains(name) && !MAP_ONLY.contains(name)) {
        unknown.count(&format!("{tag}.{name}"));
    }
}

fn positional<'a>(parts: &'a [Value], _name: &str, place: usize) -> Option<&'a Value> {
    parts.get(place).filter(|value| **value != Value::Nil)
}

/// An event from its fields, which are asked for by name and by position.
fn of_fields<'a>(tag: &str, field: &dyn Fn(&str, usize) -> Option<&'a Value>) -> Result<KvEvent, &'static str> {
    match tag {
        "BlockStored" => {
            let at = |name: &str| STORED.iter().position(|known| *known == name).and_then(|n| field(name, n + 1));
            let tokens = at("token_ids").and_then(Value::list).map_or(0, <[Value]>::len);
            Ok(KvEvent::Stored(Stored {
                blocks: hashes(at("block_hashes"))?,
                // llm-d's file backend writes 0 for none.
                parent: at("parent_block_hash").and_then(BlockHash::of).filter(|hash| hash.0 != 0),
                tokens: tokens as u64,
                block_tokens: at("block_size").and_then(Value::count).unwrap_or(0),
                lora: at("lora_id").is_some() || at("lora_name").is_some(),
                medium: at("medium").and_then(Value::text).map(str::to_owned),
                group: at("group_idx").and_then(Value::count).unwrap_or(0),
            }))
        }
        "BlockRemoved" => {
            let at = |name: &str| REMOVED.iter().position(|known| *known == name).and_then(|n| field(name, n + 1));
            Ok(KvEvent::Removed {
                blocks: hashes(at("block_hashes"))?,
                medium: at("medium").and_then(Value::text).map(str::to_owned),
                group: at("group_idx").and_then(Value::count).unwrap_or(0),
            })
        }
        "AllBlocksCleared" => Ok(KvEvent::Cleared),
        _ => Err("event of an unknown kind"),
    }
}

fn hashes(list: Option<&Value>) -> Result<Vec<BlockHash>, &'static str> {
    let list = list.and_then(Value::list).ok_or("event whose block_hashes are no list")?;
    list.iter().map(|hash| BlockHash::of(hash).ok_or("event with a block hash that is no hash")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Result<KvBatch, String>, Tally, Tally) {
        let (mut unknown, mut skipped) = Default::default();
        let batch = decode(&serde_json::from_str(json).unwrap(), &mut unknown, &mut skipped);
        (batch, unknown, skipped)
    }

    #[test]
    fn arrays_and_maps_say_the_same() {
        let array = "[5.5, [[\"BlockStored\", [7], null, [1,2], 2, null, \"CPU\", null, null, 3], [\"BlockRemoved\", [7], \"CPU\", 3]], 1]";
        let map = "{\"ts\": 5.5, \"data_parallel_rank\": 1, \"events\": [{\"type\": \"BlockStored\", \"block_hashes\": [7], \
                   \"token_ids\": [1,2], \"block_size\": 2, \"medium\": \"CPU\", \"group_idx\": 3, \"locality\": \"LOCAL\"}, \
                   {\"type\": \"BlockRemoved\", \"block_hashes\": [7], \"medium\": \"CPU\", \"group_idx\": 3}]}";
        let (array, map) = (read(array), read(map));
        assert_eq!(array, map);
        assert!(array.1.is_empty() && array.2.is_empty());
        let batch = array.0.unwrap();
        assert_eq!((batch.at_s, batch.rank, batch.events.len()), (5.5, Some(1), 2));
    }

    #[test]
    fn what_is_not_known_is_counted() {
        let (batch, unknown, skipped) = read(
            "{\"ts\": 1, \"new\": 0, \"events\": [{\"type\": \"BlockStored\", \"block_hashes\": [1], \"colour\": 2}, \
             {\"type\": \"BlockMoved\"}, [\"AllBlocksCleared\", 3], 7, [\"BlockRemoved\", [{}]]]}",
        );
        assert_eq!(batch.unwrap().events.len(), 2);
        let names: Vec<_> = unknown.counts().keys().map(String::as_str).collect();
        assert_eq!(names, ["AllBlocksCleared[1]", "BlockStored.colour", "batch.new"]);
        assert_eq!(skipped.counts().values().sum::<u64>(), 3);
    }

    #[test]
    fn what_is_no_batch_is_said() {
        for json in ["7", "[1]", "[\"x\", []]", "{\"events\": []}", "[1, 2]"] {
            assert!(read(json).0.is_err(), "{json}");
        }
    }
}
