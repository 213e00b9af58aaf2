//! An analysis read back (`kvtrace.analysis/1`): its kind, and the fields that somebody asks for. The
//! kinds and their fields are those of `analyze`; who reads one takes what it knows.

use serde_json::Value;

use super::histogram::Histogram;

/// The schema of every analysis.
pub const ANALYSIS_SCHEMA: &str = "kvtrace.analysis/1";

/// An analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// `hits`, `curve`, `summary`, …
    pub kind: String,
    /// All of it.
    pub value: Value,
}

impl Analysis {
    /// Of JSON that names the schema; none when it does not say its kind.
    pub fn of(value: Value) -> Option<Self> {
        let kind = value.get("kind")?.as_str()?.to_owned();
        Some(Self { kind, value })
    }

    /// The number at a place; none when there is no finite one.
    pub fn number(&self, name: &str) -> Option<f64> {
        number(&self.value, name)
    }

    /// The list at a place; empty when there is none.
    pub fn list(&self, name: &str) -> &[Value] {
        list(&self.value, name)
    }

    /// A field, at the top or in one of the objects there: where it stands is the kind's business.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let nested = || self.value.as_object()?.values().find_map(|value| value.as_object()?.get(name));
        self.value.get(name).or_else(nested)
    }

    /// The histogram of that name in a field.
    pub fn histogram(&self, field: &str) -> Option<Histogram> {
        serde_json::from_value(self.field(field)?.get("histogram")?.clone()).ok()
    }

    /// The first list of objects that have a field of that name, wherever it is.
    pub fn entries_with(&self, name: &str) -> &[Value] {
        entries_with(&self.value, name).unwrap_or(&[])
    }

    /// The names of the files that it is of, without their folders.
    pub fn inputs(&self) -> Vec<String> {
        let name = |input: &Value| {
            let name = input.as_str().or_else(|| text(input, "file")).or_else(|| text(input, "name"))?;
            Some(name.rsplit('/').next().unwrap_or(name).to_owned())
        };
        self.list("inputs").iter().filter_map(name).collect()
    }

    /// The sha256 of the files that it is of, as far as it says them.
    pub fn digests(&self) -> Vec<String> {
        self.list("inputs").iter().filter_map(|input| text(input, "sha256")).map(str::to_owned).collect()
    }
}

fn entries_with<'a>(value: &'a Value, name: &str) -> Option<&'a [Value]> {
    match value {
        Value::Array(items) if items.iter().any(|item| item.get(name).is_some()) => Some(items),
        Value::Array(items) => items.iter().find_map(|item| entries_with(item, name)),
        Value::Object(fields) => fields.values().find_map(|field| entries_with(field, name)),
        _ => None,
    }
}

/// The finite number of that name in an object.
pub fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name)?.as_f64().filter(|number| number.is_finite())
}

/// The text of that name in an object.
pub fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// The list of that name in an object; empty when there is none.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let analysis =
            Analysis::of(json!({"kind": "curve", "inputs": [{"file": "a/b.jsonl", "sha256": "ab"}, "c"], "n": null}));
        let analysis = analysis.unwrap();
        assert_eq!(analysis.inputs(), ["b.jsonl", "c"]);
        assert_eq!((analysis.number("n"), analysis.number("m"), analysis.list("x").len()), (None, None, 0));
        assert_eq!(Analysis::of(json!({"kind": 3})), None);
    }
}
