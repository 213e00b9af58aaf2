//! `distill-fio --exact --prove`: fio's replay of an iolog, judged like a job.

use crate::support::Bench;

use super::events::write_events;
use super::metric;
use super::original::device;
use super::prove::can_prove;

#[test]
fn the_replay_of_an_iolog_gets_a_card() {
    if !can_prove() {
        return;
    }
    let Some((_folder, device)) = device(96) else { return };
    let bench = Bench::on_disk();
    // 1.2 s of 1000 requests a second within 64 MiB, a fourth of them writes.
    write_events(&bench, "e.parquet", &[(1200, 1_000_000, 65_536, 4)]);
    std::fs::create_dir(bench.path("ground")).unwrap();
    std::fs::create_dir(bench.path("jobs")).unwrap();
    let words = ["distill-fio", "e.parquet", "-o", "jobs/x.fio", "--exact", "--prove", "--target"];
    let on_device = [&device.path, "--i-know-this-destroys", &device.path];
    for target in [&["ground"][..], &on_device[..]] {
        let proved = bench.run(&[&words[..], target].concat());
        assert!(matches!(proved.code, 0 | 1), "{}: {}", proved.code, proved.stderr);
        let card = bench.json("jobs/x.fidelity.json");
        assert!(card["distilled"]["command"].as_str().unwrap().contains("--replay_redirect="), "{}", card["distilled"]);
        assert_eq!((card["original"]["runs"].as_u64(), card["distilled"]["runs"].as_u64()), (Some(0), Some(2)));
        let share = &card["metrics"][0];
        assert_eq!((share["name"].as_str(), share["original"].as_f64()), (Some("read_share"), Some(75.0)));
        // A fio that falls behind on a busy machine has neighbours merged; their bytes stay.
        let bytes = metric(&card, "byte_share", "read");
        assert!(bytes["distance"].as_f64().unwrap() < 0.005, "every request is there: {bytes}");
        let pace = metric(&card, "throughput", "read");
        assert_eq!(pace["original_runs"].as_array().unwrap().len(), 1, "{pace}");
        assert_eq!(std::fs::read_dir(bench.path("ground")).unwrap().count(), 0, "the target is as it was");
    }
    let command = [&words[..], &on_device, &["--", "true"]].concat();
    assert!(bench.refused(2, &command).contains("read and wrote nothing"));
    let small = bench.path("small");
    std::fs::File::create(&small).and_then(|file| file.set_len(8 << 20)).unwrap();
    if let Some(small) = crate::loop_device::LoopDevice::over(&small, &[]) {
        let refused = bench.refused(2, &[&words[..], &[&small.path, "--i-know-this-destroys", &small.path]].concat());
        assert!(refused.contains("larger target") && !refused.contains("--size"), "{refused}");
    }
}

#[test]
fn what_takes_hours_is_not_proved() {
    if !can_prove() {
        return;
    }
    let bench = Bench::on_disk();
    write_events(&bench, "e.parquet", &[(10, 3_600_000_000_000, 65_536, 4)]);
    std::fs::create_dir(bench.path("ground")).unwrap();
    let words = ["distill-fio", "e.parquet", "-o", "x.fio", "--exact", "--prove", "--target", "ground"];
    let refused = bench.refused(2, &words);
    assert!(refused.contains("without --exact") && refused.contains("--runtime"), "{refused}");
}
