//! The life of a request (`bpf/machine.h`), compiled for this machine and driven by sequences
//! that a disk at hand seldom or never shows.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::layout::{LOSSES, OTHER, TARGET};
use super::native::Native;

/// The driver: steps in, what the machine makes of them out.
const DRIVER: &str = include_str!("machine/driver.c");

const READ: u64 = 0;
const WRITE: u64 = 1;
const FLUSH: u64 = 2;
/// Kinds of events (`enum kv_event_kind`).
const DONE: i64 = 0;
const UNSEEN: i64 = 1;

fn machine() -> Option<&'static Native> {
    static MACHINE: OnceLock<Option<Native>> = OnceLock::new();
    MACHINE.get_or_init(|| Native::compile(DRIVER)).as_ref()
}

/// One step in the life of a request.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// In a set, of a class.
    Born(u64, u64),
    Inserted,
    /// At a sector, so many bytes.
    Issued(u64, u64),
    Requeued,
    Merged,
    /// So many of so many bytes.
    Done(u64, u64),
}

/// What the machine printed: its first words and numbers.
#[derive(Debug)]
struct Told(Vec<(String, Vec<i64>)>);

impl Told {
    /// Runs steps, each at its time.
    fn of(machine: &Native, steps: &[(u64, u64, Step)]) -> Self {
        let lines = steps.iter().map(|&(id, now, step)| {
            let (letter, a, b) = match step {
                Step::Born(set, class) => ('b', set, class),
                Step::Inserted => ('i', 0, 0),
                Step::Issued(sector, bytes) => ('d', sector, bytes),
                Step::Requeued => ('r', 0, 0),
                Step::Merged => ('m', 0, 0),
                Step::Done(done, left) => ('c', done, left),
            };
            format!("{letter} {id} {now} {a} {b} 0\n")
        });
        let text = machine.run(&lines.collect::<String>());
        let line = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            (name, words.map(|word| word.parse().unwrap()).collect())
        };
        Self(text.lines().map(line).collect())
    }

    /// All lines of a name.
    fn all(&self, name: &str) -> Vec<&[i64]> {
        self.0.iter().filter(|line| line.0 == name).map(|line| &line.1[..]).collect()
    }

    fn lost(&self, name: &str) -> usize {
        let number = LOSSES.iter().position(|loss| *loss == name).unwrap() as i64;
        self.all("lose").iter().filter(|line| line[0] == number).count()
    }

    /// Nothing is ever below zero, no lock is left held, and at the end nothing is in flight.
    fn assert_sound(&self) {
        let depths = self.all("depth");
        assert!(depths.iter().all(|line| line[..4].iter().all(|depth| *depth >= 0) && line[4] == 0), "{self:?}");
        assert_eq!(depths.last().map(|line| line[..4].to_vec()), Some(vec![0; 4]), "{self:?}");
    }

    /// A completion's counts: of size, depth and so on; of d2c and q2c.
    fn counts(&self) -> (usize, usize) {
        (self.all("issued").len(), self.all("service").len())
    }
}

/// Columns of `issued`.
const BYTES: usize = 2;
const Q2D: usize = 3;
const I2D: usize = 4;
const DEPTH: usize = 5;
const SEEK: usize = 6;
const GAP: usize = 7;
const RUN: usize = 8;

#[test]
fn a_request_that_is_turned_away_twice_is_one_io() {
    let Some(machine) = machine() else { return };
    use Step::{Born, Done, Inserted, Issued, Requeued};
    let set = TARGET as u64;
    let told = Told::of(
        machine,
        &[
            (1, 10, Born(set, READ)),
            (1, 12, Inserted),
            (1, 20, Issued(0, 8192)),
            (1, 25, Requeued),
            (1, 26, Inserted),
            (1, 30, Issued(0, 8192)),
            (1, 35, Requeued),
            (1, 36, Requeued),
            (1, 40, Issued(0, 8192)),
            (1, 70, Done(8192, 8192)),
        ],
    );
    told.assert_sound();
    assert_eq!(told.counts(), (1, 1));
    let io = told.all("issued")[0];
    assert_eq!((io[BYTES], io[Q2D], io[I2D] - 1, io[DEPTH]), (8192, 30, 28, 1));
    assert_eq!(told.all("service")[0], [0, 30, 60], "from the last issue");
    assert_eq!((told.lost("requeue"), told.lost("lost_complete")), (3, 0));
    let turns: Vec<_> = told.all("tell").iter().map(|line| (line[3], line[4])).collect();
    assert_eq!(turns, [(1, 2), (3, 4), (0, 0), (5, 6)], "each flight has its turns");
}

#[test]
fn a_part_that_is_done_does_not_shrink_the_request() {
    let Some(machine) = machine() else { return };
    use Step::{Born, Done, Issued, Requeued};
    let told = Told::of(
        machine,
        &[
            (1, 10, Born(OTHER as u64, WRITE)),
            (1, 20, Issued(64, 16384)),
            (1, 30, Done(4096, 16384)),
            (1, 40, Done(4096, 12288)),
            (1, 45, Requeued),
            (1, 50, Issued(80, 8192)),
            (1, 60, Done(8192, 8192)),
        ],
    );
    told.assert_sound();
    assert_eq!(told.counts(), (1, 1));
    assert_eq!(told.all("issued")[0][..4], [1, 1, 16384, 40]);
    assert_eq!(told.all("service")[0], [1, 10, 50]);
    assert_eq!(told.lost("partial"), 2);
}

#[test]
fn what_is_merged_away_or_never_issued_counts_as_no_io() {
    let Some(machine) = machine() else { return };
    use Step::{Born, Done, Inserted, Issued, Merged};
    let set = TARGET as u64;
    let told = Told::of(
        machine,
        &[
            (1, 10, Born(set, READ)),
            (2, 11, Born(set, READ)),
            (2, 12, Inserted),
            (2, 13, Merged),
            (2, 14, Done(4096, 4096)),
            (1, 20, Issued(0, 8192)),
            (1, 30, Done(8192, 8192)),
            (3, 40, Born(set, WRITE)),
            (3, 50, Done(4096, 4096)),
            (4, 60, Done(4096, 4096)),
            (5, 70, Born(set, FLUSH)),
            (5, 71, Issued(0, 0)),
            (5, 80, Done(0, 0)),
        ],
    );
    told.assert_sound();
    assert_eq!(told.counts(), (1, 1));
    assert_eq!((told.lost("rq_merged"), told.lost("never_issued")), (1, 1));
    assert_eq!(told.all("command"), [&[2i64, 10][..]]);
    assert_eq!(told.all("issued")[0][I2D], 0, "nothing was inserted");
}

#[test]
fn a_request_that_is_used_again_had_completed() {
    let Some(machine) = machine() else { return };
    use Step::{Born, Done, Issued};
    let set = TARGET as u64;
    let told = Told::of(
        machine,
        &[
            (1, 10, Born(set, READ)),
            (1, 20, Issued(0, 4096)),
            (2, 21, Born(set, READ)),
            (2, 22, Issued(8, 4096)),
            (1, 30, Born(set, READ)),
            (1, 40, Issued(16, 4096)),
            (1, 50, Done(4096, 4096)),
            (2, 60, Done(4096, 4096)),
        ],
    );
    told.assert_sound();
    assert_eq!(told.counts(), (3, 2), "its size is counted, its end is not known");
    assert_eq!(told.lost("lost_complete"), 1);
    let depths: Vec<_> = told.all("issued").iter().map(|line| line[DEPTH]).collect();
    assert_eq!(depths, [1, 2, 2]);
    assert_eq!(told.all("tell")[0][0], UNSEEN);
}

#[test]
fn sequences_are_told_from_jumps_and_sides_apart() {
    let Some(machine) = machine() else { return };
    use Step::{Born, Done, Issued};
    let mut steps = Vec::new();
    let places = [(0, 0), (8, 0), (16, 0), (100, 0), (5000, 1), (108, 0), (0, 0)];
    for (at, &(sector, set)) in places.iter().enumerate() {
        let (id, now) = (at as u64, 1000 + 100 * at as u64);
        steps.push((id, now, Born(set, READ)));
        steps.push((id, now + 10, Issued(sector, 4096)));
        steps.push((id, now + 20, Done(4096, 4096)));
    }
    let told = Told::of(machine, &steps);
    told.assert_sound();
    let ours = |column: usize| -> Vec<i64> {
        told.all("issued").iter().filter(|line| line[0] == TARGET as i64).map(|line| line[column]).collect()
    };
    assert_eq!(ours(SEEK)[1..], [0, 0, 76, 0, -116]);
    assert_eq!(ours(RUN), [0, 0, 0, 3, 0, 2]);
    assert_eq!(ours(GAP), [0, 100, 100, 100, 200, 100], "birth to birth");
    assert_eq!(told.all("open")[0], [1, 0, 1, 0]);
}

/// Any step of any request of a few, however little sense it makes.
fn any_step() -> impl Strategy<Value = (u64, u64, Step)> {
    let step = prop_oneof![
        4 => (0..2u64, 0..3u64).prop_map(|(set, class)| Step::Born(set, class)),
        1 => Just(Step::Inserted),
        5 => (0..32u64, 1..4u64).prop_map(|(at, units)| Step::Issued(at * 8, units * 4096)),
        2 => Just(Step::Requeued),
        1 => Just(Step::Merged),
        3 => Just(Step::Done(4096, 4096)),
        1 => Just(Step::Done(512, 4096)),
    ];
    (0..6u64, 0..50u64, step)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_account_is_sound(steps in prop::collection::vec(any_step(), 0..160)) {
        let Some(machine) = machine() else { return Ok(()) };
        let mut now = 1000;
        let mut steps: Vec<_> = steps.into_iter().map(|(id, later, step)| { now += later; (id, now, step) }).collect();
        steps.extend((0..6).map(|id| (id, now + 1, Step::Done(4096, 4096))));
        let told = Told::of(machine, &steps);
        told.assert_sound();

        let (issued, service) = told.counts();
        let ended = |kind: i64| told.all("tell").iter().filter(|t| t[0] == kind && t[2] < 2 && t[5] > 0).count();
        prop_assert_eq!(service, ended(DONE));
        prop_assert_eq!(issued, ended(DONE) + ended(UNSEEN));

        // Every change of a depth is in one event, and together they give the time at each depth.
        for side in [TARGET, OTHER] {
            let mut turns: Vec<(i64, i64, i64, i64)> = Vec::new();
            for t in told.all("tell").into_iter().filter(|t| t[1] == side as i64) {
                turns.extend((t[3] > 0).then_some((t[3], t[5], t[2], 1)));
                turns.extend((t[4] > 0).then_some((t[4], t[6], t[2], -1)));
            }
            turns.sort_unstable();
            prop_assert!(turns.iter().enumerate().all(|(at, turn)| turn.0 == at as i64 + 1), "{:?}", turns);
            let (mut depth, mut since) = ([0, 0], 0);
            let again: Vec<[i64; 3]> = turns.iter().map(|&(_, at, class, change)| {
                let before = [depth[0], depth[1], (at - since).max(0)];
                since = since.max(at);
                depth[class as usize] += change;
                before
            }).collect();
            let steps: Vec<_> = told.all("step").into_iter().filter(|s| s[0] == side as i64).collect();
            prop_assert_eq!(again, steps.iter().map(|s| [s[1], s[2], s[3]]).collect::<Vec<_>>());
        }

        // Runs are whole: those that ended and those that go on hold every request that was issued
        // and not merged away after it.
        let merged = told.all("tell").iter().filter(|t| t[0] == 3 && t[2] < 2 && t[5] > 0).count();
        let ended: i64 = told.all("issued").iter().map(|io| io[RUN]).sum();
        let open: i64 = told.all("open")[0].iter().sum();
        if merged == 0 {
            prop_assert_eq!(ended + open, issued as i64);
        }
        prop_assert!(told.all("issued").iter().all(|io| io[DEPTH] >= 1));
    }
}
