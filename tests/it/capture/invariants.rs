//! What holds for every I/O holds for every quantile: each time lies within the next one
//! outwards, and each histogram of requests counts the same requests.

use kvtrace::measure::Histogram;

use super::device::Loop;
use super::histogram;
use super::patterns::assert_exact;

/// fio's log of one kind of time for one direction (0 is read, 1 is write), ns, ascending.
fn logged(device: &Loop, file: &str, direction: &str) -> Vec<f64> {
    let text = String::from_utf8(device.bench.read(file)).expect("fio's log");
    let fields = text.lines().map(|line| line.split(", ").collect::<Vec<_>>());
    let mut times: Vec<f64> =
        fields.filter(|fields| fields[2] == direction).map(|fields| fields[1].parse().expect("ns")).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn assert_nests(what: &str, device: &Histogram, queue: &Histogram, whole: &[f64]) {
    assert_eq!((device.count, queue.count), (whole.len() as u64, whole.len() as u64), "{what}");
    for share in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
        let (d2c, q2c) = (device.quantile(share).expect("times"), queue.quantile(share).expect("times"));
        assert!(d2c <= q2c * (1.0 + device.rel_width), "{what}, {share}: d2c {d2c} q2c {q2c}");
        let fio = at(whole, share);
        assert!(q2c <= fio * (1.0 + queue.rel_width), "{what}, {share}: q2c {q2c} fio {fio}");
    }
}

/// An engine that submits and goes on starts `clat` after the submission, in which the request was
/// born; there the whole time (`lat`) is what must hold it.
#[test]
fn a_time_lies_within_the_next_one_outwards() {
    for scheduler in ["none", "mq-deadline"] {
        for (engine, depth, kind) in [("psync", 1, "clat"), ("libaio", 8, "lat"), ("io_uring", 8, "lat")] {
            let Some(device) = Loop::new(scheduler) else { return };
            let name = format!("{engine}-{scheduler}");
            let log = device.bench.path(&name).display().to_string();
            let (result, _) = device.captured(
                &name,
                &[
                    "--rw=randrw",
                    "--bs=4k",
                    &format!("--ioengine={engine}"),
                    &format!("--iodepth={depth}"),
                    "--size=16m",
                    &format!("--write_lat_log={log}"),
                ],
            );
            assert_exact(&result);
            for (op, direction) in [("read", "0"), ("write", "1")] {
                let whole = logged(&device, &format!("{name}_{kind}.1.log"), direction);
                let [d2c, q2c, q2d] = ["d2c", "q2c", "q2d"].map(|of| histogram(&result, of, op));
                assert_nests(&format!("{name} {op}"), d2c, q2c, &whole);
                assert_eq!(q2d.sum + d2c.sum, q2c.sum, "a request's time is its wait and its service");
            }
        }
    }
}
