//! Analyses in the report: the pictures of the kinds that have some, and what they say as tables.

use serde_json::Value;

use crate::analyze::compare::one_sided;
use crate::measure::Analysis;
use crate::measure::analysis::{number, text};
use crate::units;

use super::axis::short;
use super::curve::{self, Scale};
use super::html::{facts, list, paragraph, table};
use super::report::figure;
use super::{reuse, rows, working_set};

/// The most rows and columns of a table, and of facts.
const MOST: (usize, usize) = (64, 14);

/// The section of an analysis.
pub fn analysis(analysis: &Analysis, file: &str) -> String {
    let alone = [(file, analysis)];
    let drawn = match analysis.kind.as_str() {
        "curve" => {
            let bytes = curve::picture(&alone, Scale::Gib);
            vec![curve::picture(&alone, Scale::Blocks).or_else(|_| curve::picture(&alone, Scale::Gib)), bytes]
        }
        "hits" => vec![rows::hits(analysis, file)],
        "endurance" => vec![rows::endurance(analysis, file)],
        "compare" => vec![rows::compare(analysis, file)],
        // What a kind does not have is left out.
        _ => vec![
            reuse::picture(&alone),
            reuse::popularity(&alone),
            working_set::picture(&alone),
            rows::endurance(analysis, file),
        ],
    };
    let mut pictures: Vec<_> = drawn.into_iter().flatten().collect();
    pictures.dedup();
    let pictures: String = pictures.iter().map(figure).collect();
    let said = match analysis.kind.as_str() {
        "compare" => compared(analysis),
        "curve" => facts(&scalars(&analysis.value)),
        _ => general(&analysis.value),
    };
    pictures + &said
}

/// The metrics of a comparison.
fn compared(analysis: &Analysis) -> String {
    let figure = |metric: &Value, side: &str| {
        let value = metric.get(side).and_then(|side| number(side.get("median")?, "value"));
        value.map_or("-".to_owned(), |value| match text(metric, "unit") {
            Some("ns") => units::ns(value),
            Some("s") => units::ns(value * 1e9),
            _ => short(value),
        })
    };
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:+.1} %", value * 100.0));
    let row = |metric: &Value| {
        let end = |name: &str| metric.get("change").and_then(|change| number(change, name));
        let change = |name: &str| percent(end(name));
        let interval = match (end("low"), end("high")) {
            (Some(_), Some(_)) => format!("{} to {}", change("low"), change("high")),
            _ => "-".to_owned(),
        };
        vec![
            text(metric, "metric").unwrap_or("-").to_owned(),
            text(metric, "unit").filter(|unit| !["ns", "s"].contains(unit)).unwrap_or("").to_owned(),
            text(metric, "verdict").unwrap_or("-").replace('_', " "),
            figure(metric, "base"),
            figure(metric, "new"),
            change("value"),
            interval,
            number(metric, "p").map_or("-".to_owned(), |p| format!("{p:.3}")),
        ]
    };
    let rows: Vec<_> = analysis.list("metrics").iter().map(row).collect();
    let mut reasons: Vec<&str> = analysis.list("not_ranked").iter().filter_map(Value::as_str).collect();
    let left_out: Vec<String> = analysis.list("left_out").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let one_sided = one_sided(&left_out);
    if reasons.is_empty() && !left_out.is_empty() {
        reasons.push(&one_sided);
    }
    let head = ["metric", "unit", "verdict", "base", "new", "change", "95 % interval", "p"];
    let differences = analysis.list("differences").iter();
    let apart = differences.map(|difference| {
        let values = |side: &str| {
            let all = difference.get(side).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        };
        (text(difference, "setting").unwrap_or("-").to_owned(), format!("{} → {}", values("base"), values("new")))
    });
    list(&reasons) + &table(&head, 3, &rows) + &facts(&apart.collect::<Vec<_>>())
}

/// A kind without a section of its own: its lists of objects as tables, the rest as facts.
fn general(value: &Value) -> String {
    let mut out = facts(&scalars(value));
    tables(value, "", &mut out);
    out
}

/// The single values of an object and of the objects in it, by their place.
fn scalars(value: &Value) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    gather(value, "", &mut pairs);
    pairs.truncate(MOST.0);
    pairs
}

fn gather(value: &Value, path: &str, pairs: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            // The buckets of a histogram are not for reading.
            Value::Object(fields) if fields.contains_key("buckets") => {}
            Value::Object(_) => gather(value, &place, pairs),
            Value::Array(_) | Value::Null => {}
            _ if ["schema", "kind"].contains(&name.as_str()) => {}
            value => pairs.push((place, shown(value))),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => units::count(whole),
            (None, Some(value)) if value.abs() < 1e6 && (value.abs() >= 1e-3 || value == 0.0) => {
                format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.len()),
        other => other.to_string(),
    }
}

fn tables(value: &Value, path: &str, out: &mut String) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => out.push_str(&list_table(&place, items)),
            Value::Object(_) => tables(value, &place, out),
            _ => {}
        }
    }
}

fn list_table(name: &str, items: &[Value]) -> String {
    let mut columns: Vec<String> = Vec::new();
    let rows: Vec<Vec<(String, String)>> = items.iter().take(MOST.0).map(cells).collect();
    for (column, _) in rows.iter().flatten() {
        if !columns.contains(column) && columns.len() < MOST.1 {
            columns.push(column.clone());
        }
    }
    let cell = |row: &Vec<(String, String)>, column: &String| {
        row.iter().find(|(name, _)| name == column).map_or("-".to_owned(), |(_, value)| value.clone())
    };
    let lines: Vec<Vec<String>> = rows.iter().map(|row| columns.iter().map(|c| cell(row, c)).collect()).collect();
    let words = columns
        .iter()
        .take_while(|column| items.iter().any(|item| item.get(column.as_str()).is_some_and(Value::is_string)))
        .count();
    let head: Vec<&str> = columns.iter().map(String::as_str).collect();
    let more = match items.len().saturating_sub(MOST.0) {
        0 => String::new(),
        n => paragraph(&format!("and {}; they are in the file", units::plural(n as u64, "more row"))),
    };
    format!("<h3>{}</h3>\n", super::html::escape(&name.replace('_', " "))) + &table(&head, words, &lines) + &more
}

fn cells(item: &Value) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        match value {
            Value::Object(fields) if !fields.contains_key("buckets") => {
                let inner = fields.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
                cells.extend(inner.map(|(field, value)| (format!("{name}.{field}"), shown(value))));
            }
            Value::Object(_) => {}
            value => cells.push((name.clone(), shown(value))),
        }
    }
    cells
}
