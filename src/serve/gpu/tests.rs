//! The batch against times computed by hand, and against a simulation that takes every step.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::{ProptestConfig, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use crate::model::Model;

use super::batch::Batch;
use super::spec::Speed;

/// A byte of context is a token, and takes a nanosecond a step.
fn speed(step_ns: &[u64]) -> Speed {
    Speed {
        name: "test".to_owned(),
        sha256: None,
        prefill_ps_per_token: 10_000,
        prefill_floor_ns: 0,
        step_ns: step_ns.to_vec(),
        context_bytes_per_s: Some(1_000_000_000),
    }
}

fn batch(step_ns: &[u64], workers: u32) -> Batch {
    Batch::new(speed(step_ns), Model::resolve("bytes:1", None).unwrap(), 1, workers)
}

#[test]
fn three_requests_by_hand() {
    let mut gpu = batch(&[1, 100, 120, 150], 3);
    gpu.join(0, 10, 3, 0);
    assert_eq!(gpu.after(0, 3, 0), None);
    // Alone: 110, 111 and 112 ns.
    assert_eq!(gpu.next(), Some(333));
    // The step under way ends at 110, then two read 11 + 20 and 12 + 21 tokens.
    gpu.join(1, 20, 2, 50);
    assert_eq!((gpu.after(1, 2, 50), gpu.next()), (None, Some(110 + 151 + 153)));
    // The second step ends at 261, then 30 tokens are computed.
    assert_eq!(gpu.prefill(30, 200), 561);
    assert_eq!(gpu.next(), Some(561 + 153));
    gpu.join(2, 30, 2, 561);
    assert_eq!(gpu.after(2, 2, 561), None);
    // The third reads 12 + 21 + 30 tokens; the fourth is the last one's own.
    assert_eq!(gpu.next(), Some(561 + 150 + 63));
    assert_eq!([gpu.take(774), gpu.take(774), gpu.take(774)], [Some(0), Some(1), None]);
    assert_eq!(gpu.next(), Some(774 + 131));
    assert_eq!((gpu.take(905), gpu.next()), (Some(2), None));
    let used = gpu.used(905);
    assert_eq!((used.prefill_tokens, used.decode_tokens, used.max_batch), (30, 7, 3));
    assert_eq!((used.prefill_s * 1e9, used.decode_s * 1e9), (300.0, 605.0));
    assert_eq!((used.generation_s * 1e9, used.busy_share, used.mean_batch), (774.0 + 724.0 + 344.0, 1.0, 7.0 / 4.0));
}

#[test]
fn whoever_reads_late_does_not_hold_the_others_up() {
    let mut gpu = batch(&[1, 100, 200], 2);
    gpu.join(0, 0, 1, 0);
    gpu.join(1, 0, 3, 0);
    assert_eq!((gpu.after(1, 3, 0), gpu.next()), (None, Some(200)));
    // The first has its token and leaves, though it is busy reading.
    assert_eq!((gpu.take(200), gpu.next()), (None, Some(200 + 101 + 102)));
    assert_eq!(gpu.after(0, 1, 250), Some(250));
    gpu.leave(0, 250);
    assert_eq!((gpu.take(403), gpu.next()), (Some(1), None));
}

#[test]
fn an_answer_without_tokens_takes_no_time() {
    let mut gpu = batch(&[1, 100], 1);
    gpu.join(0, 5, 0, 7);
    assert_eq!((gpu.after(0, 0, 7), gpu.next()), (Some(7), None));
}

/// A request: when it comes, the tokens of its prompt to be computed, all before its answer, and
/// of its answer.
type Asked = (u64, u64, u64, u32);

/// When each ends, by the batch under test, driven as the engine drives it.
fn by_events(step_ns: &[u64], asked: &[Asked]) -> (Vec<u64>, Batch) {
    let mut gpu = batch(step_ns, asked.len() as u32);
    let mut steps: BinaryHeap<_> = asked.iter().enumerate().map(|(i, asked)| Reverse((asked.0, i, false))).collect();
    let mut ended = vec![0; asked.len()];
    let mut last = 0;
    loop {
        let step = steps.peek().map(|Reverse((at, ..))| *at);
        let tokens = gpu.next().filter(|at| step.is_none_or(|step| *at < step));
        let goes_on = match (tokens, step) {
            (Some(now), _) => gpu.take(now).map(|worker| (now, worker as usize, true)),
            (None, Some(now)) => {
                let Reverse((_, i, is_computed)) = steps.pop().unwrap();
                if is_computed {
                    gpu.join(i as u32, asked[i].2, asked[i].3, now);
                    gpu.after(i as u32, asked[i].3, now).map(|at| (at, i, true))
                } else {
                    steps.push(Reverse((gpu.prefill(asked[i].1, now), i, true)));
                    None
                }
            }
            (None, None) => return (ended, gpu),
        };
        let now = tokens.or(step).unwrap();
        assert!(now >= last, "time goes back from {last} to {now}");
        last = now;
        if let Some((at, i, _)) = goes_on {
            assert_eq!(ended[i], 0, "{i} is woken twice");
            ended[i] = at;
            gpu.leave(i as u32, at);
        }
    }
}

/// When each ends, step by step.
fn by_steps(step_ns: &[u64], asked: &[Asked]) -> Vec<u64> {
    let mut ended = vec![0; asked.len()];
    let mut computed_at: Vec<Option<u64>> = asked.iter().map(|a| (a.1 == 0).then_some(a.0)).collect();
    let mut generated = vec![0u32; asked.len()];
    let mut now = 0;
    for (i, request) in asked.iter().enumerate().filter(|(_, request)| request.1 == 0 && request.3 == 0) {
        ended[i] = request.0;
    }
    loop {
        let waiting = (0..asked.len()).filter(|i| computed_at[*i].is_none() && asked[*i].0 <= now);
        if let Some(i) = waiting.min_by_key(|i| (asked[*i].0, *i)) {
            now += asked[i].1 * 10;
            computed_at[i] = Some(now);
            if asked[i].3 == 0 {
                ended[i] = now;
            }
            continue;
        }
        let running: Vec<usize> = (0..asked.len())
            .filter(|i| computed_at[*i].is_some_and(|at| at <= now) && generated[*i] < asked[*i].3)
            .collect();
        if running.is_empty() {
            let left = (0..asked.len()).filter(|i| computed_at[*i].is_none_or(|_| generated[*i] < asked[*i].3));
            match left.map(|i| asked[i].0).min() {
                Some(at) => now = at.max(now),
                None => return ended,
            }
            continue;
        }
        let context: u64 = running.iter().map(|i| asked[*i].2 + u64::from(generated[*i])).sum();
        now += step_ns[running.len()] + context;
        for i in running {
            generated[i] += 1;
            if generated[i] == asked[i].3 {
                ended[i] = now;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_closed_form_is_what_single_steps_give(
        asked in prop::collection::vec((0u64..3_000, 0u64..20, 0u64..50, 0u32..30), 1..9),
        growth in prop::collection::vec(0u64..60, 9),
        small in any::<bool>(),
    ) {
        let mut asked = asked;
        asked.sort_by_key(|request| request.0);
        let first = if small { 1 } else { 100 };
        let step_ns: Vec<u64> = (0..10).map(|size| first + growth.iter().take(size).sum::<u64>()).collect();
        let (ended, gpu) = by_events(&step_ns, &asked);
        prop_assert_eq!(&ended, &by_steps(&step_ns, &asked));
        let used = gpu.used(1);
        prop_assert_eq!(used.prefill_tokens, asked.iter().map(|request| request.1).sum::<u64>());
        prop_assert_eq!(used.decode_tokens, asked.iter().map(|request| u64::from(request.3)).sum::<u64>());
        prop_assert!(used.max_batch as usize <= asked.len());
        // Company never makes anybody faster.
        for (i, request) in asked.iter().enumerate() {
            prop_assert!(by_events(&step_ns, &[*request]).0[0] <= ended[i]);
        }
    }
}
