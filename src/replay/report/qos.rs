//! The targets of the QoS classes: those of the recording where it says so, the reference's
//! otherwise.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trace::Meta;

/// The flag of a recording that holds the targets in force.
const FLAG: &str = "qos_profiles";

/// The quantiles that have targets, by the names that the reference and the flag give them.
const QUANTILES: [(&str, f64); 4] = [
    ("target_latency_p95_ms", 0.95),
    ("target_latency_p99_ms", 0.99),
    ("target_latency_p999_ms", 0.999),
    ("target_latency_p9999_ms", 0.9999),
];

/// The reference's targets in milliseconds (`QOS_PROFILES` of kv-cache.py).
const DEFAULTS: [(&str, [f64; 4]); 3] = [
    ("interactive", [50.0, 100.0, 150.0, 200.0]),
    ("responsive", [100.0, 200.0, 350.0, 500.0]),
    ("batch", [1000.0, 5000.0, 7500.0, 10_000.0]),
];

/// The targets of all classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// `trace` or `defaults`.
    pub from: &'static str,
    /// Quantiles and milliseconds, by class.
    pub classes: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Targets {
    /// Those in force for a trace.
    pub fn of(meta: &Meta) -> Self {
        let defaults = DEFAULTS.into_iter().map(|(class, ms)| {
            let targets = QUANTILES.into_iter().zip(ms).map(|((_, quantile), ms)| (quantile, ms));
            (class.to_owned(), targets.collect())
        });
        let mut targets = Self { from: "defaults", classes: defaults.collect() };
        if let Some(Value::Object(classes)) = meta.flags.get(FLAG) {
            targets.from = "trace";
            classes.iter().for_each(|(class, said)| targets.read(class, said));
        }
        targets
    }

    fn read(&mut self, class: &str, said: &Value) {
        let targets = self.classes.entry(class.to_owned()).or_default();
        for (name, quantile) in QUANTILES {
            let Some(ms) = said.get(name).and_then(Value::as_f64) else { continue };
            match targets.iter_mut().find(|target| target.0 == quantile) {
                Some(target) => target.1 = ms,
                None => targets.push((quantile, ms)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::meta::Source;
    use serde_json::json;

    #[test]
    fn what_the_recording_says_wins_over_the_references_targets() {
        let mut meta = Meta::foreign(Source::default());
        let plain = Targets::of(&meta);
        assert_eq!((plain.from, plain.classes["batch"][3]), ("defaults", (0.9999, 10_000.0)));
        let said = json!({"interactive": {"target_latency_p999_ms": 70, "priority": 3}});
        meta.flags.insert(FLAG.to_owned(), said);
        let own = Targets::of(&meta);
        assert_eq!(own.from, "trace");
        assert_eq!(own.classes["interactive"], [(0.95, 50.0), (0.99, 100.0), (0.999, 70.0), (0.9999, 200.0)]);
        assert_eq!(own.classes["batch"], plain.classes["batch"]);
    }
}
