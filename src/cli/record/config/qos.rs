//! The section `qos_profiles`: how long requests of a class may take, and who is served first.

use serde_json::{Map, Value, json};

use crate::workload::Qos;

use super::node::At;
use super::{Faults, unknown};

/// The percentiles that have targets, as the reference names them.
const TARGETS: [&str; 4] =
    ["target_latency_p95_ms", "target_latency_p99_ms", "target_latency_p999_ms", "target_latency_p9999_ms"];

/// What is promised to a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QosProfile {
    /// The most milliseconds, by [`TARGETS`].
    targets_ms: [f64; TARGETS.len()],
    /// Who is served first: the higher number.
    pub priority: u8,
}

/// The profiles of the classes, in the order of [`Qos::ALL`]; the default is the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QosProfiles(pub [QosProfile; Qos::ALL.len()]);

impl Default for QosProfiles {
    fn default() -> Self {
        Self([
            QosProfile { targets_ms: [1000.0, 5000.0, 7500.0, 10_000.0], priority: 1 },
            QosProfile { targets_ms: [100.0, 200.0, 350.0, 500.0], priority: 2 },
            QosProfile { targets_ms: [50.0, 100.0, 150.0, 200.0], priority: 3 },
        ])
    }
}

impl QosProfiles {
    /// Reads the section over what is there.
    pub fn read(&mut self, at: &At<'_>, faults: &mut Faults) {
        for (name, profile) in faults.entries(at) {
            let Some(place) = Qos::ALL.into_iter().position(|qos| qos.word() == name) else {
                faults.say(unknown(at, &name, Qos::ALL.into_iter().map(Qos::word)));
                continue;
            };
            let target = &mut self.0[place];
            for (key, value) in faults.entries(&profile) {
                match TARGETS.iter().position(|known| *known == key) {
                    Some(n) => faults.set(&mut target.targets_ms[n], value.real(0.0, 1e12)),
                    None if key == "priority" => {
                        faults.set(&mut target.priority, value.whole(0, 255).map(|priority| priority as u8));
                    }
                    None => faults.say(unknown(&profile, &key, TARGETS.into_iter().chain(["priority"]))),
                }
            }
        }
    }

    /// The priorities, by class.
    pub fn priorities(&self) -> [u8; Qos::ALL.len()] {
        self.0.map(|profile| profile.priority)
    }

    /// The profiles as a configuration would say them.
    pub fn print(&self) -> Value {
        let profile = |profile: QosProfile| {
            let targets = TARGETS.into_iter().zip(profile.targets_ms).map(|(key, ms)| (key.to_owned(), json!(ms)));
            targets.chain([("priority".to_owned(), json!(profile.priority))]).collect::<Map<_, _>>()
        };
        Qos::ALL.into_iter().zip(self.0).map(|(qos, of)| (qos.word().to_owned(), Value::from(profile(of)))).collect()
    }
}
