//! A plan for people, and as CSV.

use std::fmt::Write as _;

use crate::analyze::plan::Plan;
use crate::analyze::plan::break_even::BreakEven;
use crate::analyze::plan::study::Point;
use crate::cli::analyze::blocks::Blocks;
use crate::cli::analyze::endurance::wear_cells;
use crate::units;

/// About how many of the candidates are shown.
const ROWS: usize = 12;

/// The curve, a line for each capacity.
pub fn csv(plan: &Plan) -> Vec<u8> {
    let through: String = plan.admits.iter().map(|admit| format!(",writes_through_{admit}")).collect();
    let mut text =
        format!("capacity_blocks,prefix_blocks,any_blocks,prefix_tokens,prefix_shares,writes_exclusive{through}\n");
    for p in &plan.curve {
        let (hits, capacity, exclusive) = (&p.hits, p.capacity, p.writes_exclusive);
        let _ = write!(text, "{capacity},{},{},{}", hits.prefix_blocks, hits.any_blocks, hits.prefix_tokens);
        let _ = write!(text, ",{},{exclusive}", hits.prefix_shares);
        p.writes_through.iter().for_each(|writes| text.push_str(&format!(",{writes}")));
        text.push('\n');
    }
    text.into_bytes()
}

/// The choice first, then what it was chosen from and what was assumed.
pub fn table(blocks: &Blocks, plan: &Plan) -> String {
    let mut text = blocks.line() + "\n\n";
    let chosen = &plan.chosen;
    let _ = writeln!(
        text,
        "{} of DRAM ({}) and {} of NVMe ({})",
        units::bytes(chosen.dram_bytes),
        units::plural(chosen.dram_blocks, "block"),
        units::bytes(chosen.nvme_bytes),
        units::plural(chosen.nvme_blocks, "block")
    );
    let of_ceiling = if plan.ceiling > 0.0 { 100.0 * chosen.hit_ratio / plan.ceiling } else { 0.0 };
    let _ = writeln!(
        text,
        "hits       {:.4} by {}, {:.4} of them in DRAM; a cache without end has {:.4} ({of_ceiling:.0} % reached)",
        chosen.hit_ratio, plan.setting.definition, chosen.dram_hit_ratio, plan.ceiling
    );
    let [day, dwpd, years] = wear_cells(&chosen.wear);
    let drives = units::plural(chosen.drives.into(), "drive");
    let _ = writeln!(text, "endurance  {day} of host writes a day to {drives}, DWPD {dwpd}, years {years}");
    if let Some(ttft) = chosen.ttft {
        let at = [("mean", ttft.mean_s), ("p50", ttft.p50_s), ("p95", ttft.p95_s), ("p99", ttft.p99_s)];
        let words = at.map(|(name, seconds)| format!("{name} {}", units::ns(seconds * 1e9)));
        let _ = writeln!(text, "TTFT       {} (no queues)", words.join(", "));
    }
    push_cost(&mut text, chosen);
    push_candidates(&mut text, plan);
    text.push('\n');
    plan.break_even.iter().for_each(|tier| push_break_even(&mut text, tier));
    if !plan.break_even.is_empty() {
        text.push('\n');
    }
    text.push_str("assumed\n");
    for assumption in &plan.assumptions {
        let _ = writeln!(text, "- {assumption}");
    }
    let _ = writeln!(text, "\nthis point again\n{}", plan.command);
    text
}

fn push_cost(text: &mut String, point: &Point) {
    let cost = &point.cost_per_million;
    let parts = [("DRAM", cost.dram), ("NVMe", cost.nvme), ("GPU", cost.gpu)];
    let known: Vec<String> =
        parts.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value:.4}"))).collect();
    if known.is_empty() {
        return;
    }
    let total = match cost.total {
        Some(total) => format!("{total:.4}"),
        None => "not all priced".to_owned(),
    };
    let without = cost.without_cache.map_or(String::new(), |without| format!("; without a cache {without:.4}"));
    let _ = writeln!(text, "cost       {total} per million prompt tokens ({}){without}", known.join(" + "));
}

fn push_candidates(text: &mut String, plan: &Plan) {
    if plan.candidates.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n{:>10}  {:>10}  {:>6}  {:>6}  {:>9}  {:>6}  {:>6}  {:>9}  {:>9}",
        "DRAM", "NVMe", "hit", "DRAM's", "per day", "DWPD", "years", "TTFT p95", "cost/M"
    );
    let every = plan.candidates.len().div_ceil(ROWS);
    let shown = plan.candidates.iter().enumerate();
    let shown = shown.filter(|(number, point)| number % every == 0 || **point == plan.chosen);
    for (_, point) in shown {
        let [day, dwpd, years] = wear_cells(&point.wear);
        let ttft = point.ttft.map_or("-".to_owned(), |ttft| units::ns(ttft.p95_s * 1e9));
        let cost = point.cost_per_million.total.map_or("-".to_owned(), |total| format!("{total:.4}"));
        let mark = if *point == plan.chosen { " <" } else { "" };
        let _ = writeln!(
            text,
            "{:>10}  {:>10}  {:.4}  {:.4}  {day:>9}  {dwpd:>6}  {years:>6}  {ttft:>9}  {cost:>9}{mark}",
            units::bytes(point.dram_bytes),
            units::bytes(point.nvme_bytes),
            point.hit_ratio,
            point.dram_hit_ratio
        );
    }
}

fn push_break_even(text: &mut String, tier: &BreakEven) {
    let bandwidth = tier.bandwidth_bytes_per_s / 1e9;
    let _ = write!(text, "{}: loading beats computing above {} GB/s", tier.tier, units::three_digits(bandwidth));
    if let Some(load) = tier.load_s_per_token {
        let _ = write!(
            text,
            "; a token takes {} to load, {} to compute",
            units::ns(load * 1e9),
            units::ns(tier.prefill_s_per_token * 1e9)
        );
        let _ = match tier.from_tokens {
            Some(tokens) => write!(text, "; worth it from {tokens:.0} tokens on"),
            None => write!(text, "; NEVER worth it: recompute"),
        };
    }
    if let Some(seconds) = tier.worth_keeping_s {
        let _ = write!(text, "; a block pays its room for {} until its next use", units::ns(seconds * 1e9));
    }
    text.push('\n');
}
