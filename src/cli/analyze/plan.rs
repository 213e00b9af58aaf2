//! `kvtrace analyze plan`: what was typed, and what is made of it.

mod table;

use std::path::PathBuf;

use serde::Serialize;

use crate::analyze::ANALYSIS_SCHEMA;
use crate::analyze::curve::Semantics;
use crate::analyze::endurance::writes::Writing;
use crate::analyze::plan::cost::Prices;
use crate::analyze::plan::latency::TtftTarget;
use crate::analyze::plan::search::{Searched, search};
use crate::analyze::plan::study::{Point, Study};
use crate::analyze::plan::{Definition, Plan, Setting, Targets, Totals, break_even, curve_points};
use crate::error::{Error, Result};
use crate::serve::Timing;
use crate::stop::Stop;

use super::blocks::{BlockArgs, BlockFacts, Blocks, Capacity};
use super::drives::{DriveArgs, shell_line, size_word};
use super::{check_output, written};
use crate::cli::Global;
use crate::cli::terminal::Terminal;

/// What was typed after `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    blocks: BlockArgs,
    #[command(flatten)]
    drives: DriveArgs,
    /// A hit ratio to reach, from 0 to 1, of both tiers together by --definition
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    target_hit: Option<f64>,
    /// A time to the first token to stay below, as 2s@p95 (or @mean, @p50, @p90, @p99)
    #[arg(long, value_name = "TIME@FIGURE")]
    target_ttft: Option<TtftTarget>,
    /// Years that the drives are to last by their --tbw
    #[arg(long, value_name = "YEARS", value_parser = positive)]
    target_years: Option<f64>,
    /// DRAM, instead of looking for it: token blocks, or bytes; 0 for none
    #[arg(long, value_name = "CAPACITY")]
    dram: Option<Capacity>,
    /// NVMe, with --dram, instead of looking for any: token blocks, or bytes; 0 for none
    #[arg(long, value_name = "CAPACITY", conflicts_with_all = ["target_hit", "target_ttft", "target_years"])]
    nvme: Option<Capacity>,
    /// Which hits are meant: token_block.prefix, token_block.any, token.prefix, request_mean.prefix
    #[arg(long, value_name = "NAME", default_value_t = Definition::TokenBlockPrefix)]
    definition: Definition,
    /// When a block is written to NVMe: whenever DRAM evicts it (exclusive tiers: their sum counts),
    /// or when it is computed (through: both hold it)
    #[arg(long, value_name = "WHEN", default_value = "exclusive")]
    writes: Writing,
    /// With --writes through: write a block when it is touched for the N-th time, and no earlier
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    admit: u32,
    /// The order in which a prompt's blocks are used (any is the order of prefix)
    #[arg(long, value_enum, default_value_t = Semantics::Prefix)]
    semantics: Semantics,
    /// How fast tiers 1 and 2 are read, as in record: nvme-gen4, 1=ddr5,2=7GB/s+80us; for times
    #[arg(long, value_name = "TIMING")]
    tier_timing: Option<Timing>,
    /// Tokens of prompts that the GPUs compute in a second; for times and costs
    #[arg(long, value_name = "N", value_parser = positive)]
    prefill_tokens_per_s: Option<f64>,
    /// Prices in one currency: of a GiB of DRAM, a TB of NVMe, an hour of the GPUs:
    /// dram=4,nvme=80,gpu-hour=2.5
    #[arg(long, value_name = "PRICES")]
    price: Option<Prices>,
    /// Years over which DRAM and NVMe are written off
    #[arg(long, value_name = "YEARS", default_value_t = Prices::default().years, value_parser = positive)]
    price_years: f64,
    /// Write the result to a file: .json, .csv or .parquet
    #[arg(long, short)]
    output: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| format!("`{text}` is not a number above 0"))
}

fn ratio(text: &str) -> Result<f64, String> {
    positive(text).ok().filter(|value| *value <= 1.0).ok_or_else(|| format!("`{text}` is not a ratio above 0 up to 1"))
}

#[derive(Serialize)]
struct Planned<'a> {
    schema: &'static str,
    kind: &'static str,
    tool: &'static str,
    #[serde(flatten)]
    facts: &'a BlockFacts,
    #[serde(flatten)]
    plan: &'a Plan,
}

pub fn run(args: &Args, global: Global, stop: &Stop) -> Result<()> {
    check_output(&args.output)?;
    args.check()?;
    let blocks = args.blocks.read(stop, &Terminal::new(global))?;
    let (totals, setting) = (Totals::of(&blocks.references, blocks.facts.block_tokens), args.setting(&blocks)?);
    let study = Study::new(&blocks.references, totals, setting, args.semantics);
    let (chosen, candidates, search) = args.choose(&study, &blocks, stop)?;
    let (curve, admissions) = curve_points::curves(&study, args.semantics, &chosen, stop)?;
    let plan = Plan {
        totals,
        targets: args.targets(),
        ceiling: args.definition.ratio(&study.hits.ceiling(), &totals),
        break_even: break_even::of(&study.setting, &totals, chosen.wear.years),
        assumptions: assumptions(&study, &chosen, search.as_ref(), args.dram.is_some()),
        source: args.blocks.words(),
        command: command(&args.blocks.words(), &study.setting, &chosen),
        setting: study.setting.clone(),
        chosen,
        candidates,
        search,
        admits: curve_points::admissions(args.admit),
        curve,
        admissions,
    };
    let (schema, tool, facts) = (ANALYSIS_SCHEMA, crate::TOOL, &blocks.facts);
    let planned = Planned { schema, kind: "plan", tool, facts, plan: &plan };
    written(&args.output, &planned, || table::csv(&plan), || table::table(&blocks, &plan), global)
}

impl Args {
    fn check(&self) -> Result<()> {
        if self.targets().is_empty() && self.nvme.is_none() {
            return Err(Error::usage(
                "nothing to plan for: name a target (--target-hit 0.3, --target-ttft 2s@p95), or a point (--dram 256GiB \
                 --nvme 7TB)",
            ));
        }
        if self.targets().hit_ratio.is_none() && self.target_ttft.is_none() && self.target_years.is_some() {
            return Err(Error::usage(
                "--target-years alone is met by no NVMe at all; add --target-hit or --target-ttft",
            ));
        }
        if self.target_ttft.is_some() && (self.prefill_tokens_per_s.is_none() || self.tier_timing.is_none()) {
            return Err(Error::usage(
                "--target-ttft needs --prefill-tokens-per-s (of the GPUs) and --tier-timing (such as nvme-gen4)",
            ));
        }
        if self.target_years.is_some() && self.drives.tbw.is_none() {
            return Err(Error::usage("--target-years needs --tbw, what a drive is rated for"));
        }
        match (self.writes, self.admit) {
            (Writing::Back, _) => Err(Error::usage(
                "--writes back has no curve of its own; plan with exclusive or through, and see `analyze endurance \
                 --writes back`",
            )),
            (Writing::Exclusive, 2..) => Err(Error::usage("--admit above 1 needs --writes through")),
            _ => Ok(()),
        }
    }

    fn targets(&self) -> Targets {
        Targets { hit_ratio: self.target_hit, ttft: self.target_ttft, years: self.target_years }
    }

    fn setting(&self, blocks: &Blocks) -> Result<Setting> {
        let (Some(model), Some(bytes_per_token)) = (&self.blocks.model, blocks.facts.bytes_per_token) else {
            return Err(Error::usage("a plan is of bytes; add --model llama3.1-8b, or bytes:N for N bytes a token"));
        };
        let tiers = self.tier_timing.as_ref().map(|timing| timing.tiers.ok_or(()));
        let tiers = tiers.transpose().map_err(|()| Error::usage("--tier-timing none: loading takes some time"))?;
        Ok(Setting {
            model: model.clone(),
            bytes_per_token,
            semantics: self.semantics.word().to_owned(),
            definition: self.definition,
            writes: self.writes,
            admit: self.admit,
            load: self.drives.load(blocks.facts.span_s),
            drives: self.drives.drives,
            drive_capacity_bytes: self.drives.drive_capacity.map(|size| size.0),
            tbw_bytes: self.drives.tbw.map(|size| size.0),
            waf: self.drives.waf,
            prefill_tokens_per_s: self.prefill_tokens_per_s,
            tiers: tiers.map(|tiers| [tiers[1].into(), tiers[2].into()]),
            tier_timing: self.tier_timing.as_ref().map(|timing| timing.name.clone()),
            prices: Prices { years: self.price_years, ..self.price.unwrap_or_default() },
        })
    }

    fn choose(&self, study: &Study, blocks: &Blocks, stop: &Stop) -> Result<(Point, Vec<Point>, Option<Searched>)> {
        let size = |flag: &str, capacity: Capacity| match capacity {
            Capacity::Blocks(0) | Capacity::Bytes(0) => Ok(0),
            other => blocks.capacity(flag, other),
        };
        let dram = self.dram.map(|dram| size("--dram", dram)).transpose()?;
        let Some(nvme) = self.nvme.map(|nvme| size("--nvme", nvme)).transpose()? else {
            let found = search(study, &self.targets(), dram, stop)?;
            return Ok((found.chosen, found.candidates, Some(found.searched)));
        };
        let point = study.point(dram.unwrap_or(0), nvme);
        if !point.fits {
            return Err(Error::usage(format!("--nvme does not fit {} drives of that capacity", point.drives)));
        }
        Ok((point, Vec::new(), None))
    }
}

/// What is assumed, one sentence each.
fn assumptions(study: &Study, chosen: &Point, search: Option<&Searched>, dram_given: bool) -> Vec<String> {
    let setting = &study.setting;
    let mut all = vec![setting.load.words()];
    all.extend(setting.drives_for(chosen.nvme_bytes).map(|drives| drives.words()));
    all.push(match setting.writes {
        Writing::Exclusive => "tiers are exclusive and LRU: what DRAM evicts is written to NVMe, what is found there \
                               moves up; both hold what one LRU cache of their sum holds"
            .to_owned(),
        _ => format!(
            "tiers are inclusive and LRU: a block is written to NVMe when it is computed, from its touch {} on",
            setting.admit
        ),
    });
    all.push("blocks are stored and written in full; the caches start empty".to_owned());
    if setting.prefill_tokens_per_s.is_some() {
        all.push(
            "computing takes the same time for every token: attention's share, which grows with the context, is not \
             modelled; no queues, loading and computing one after the other"
                .to_owned(),
        );
    }
    all.extend(cost_assumption(setting));
    all.extend(search.map(|search| search.words(dram_given)));
    all
}

fn cost_assumption(setting: &Setting) -> Option<String> {
    let prices = &setting.prices;
    let any = [prices.gpu_hour, prices.dram_per_gib, prices.nvme_per_tb].iter().any(Option::is_some);
    let what = if setting.drive_capacity_bytes.is_some() { "whole drives" } else { "the bytes used" };
    any.then(|| {
        format!(
            "DRAM is written off over {} years, NVMe ({what}) over these or the life of its rating, whichever is shorter; \
             GPU hours are paid for what is computed, at full use",
            prices.years
        )
    })
}

/// The command that gives a point.
fn command(source: &[String], setting: &Setting, point: &Point) -> String {
    let mut words = vec!["kvtrace".to_owned(), "analyze".into(), "plan".into()];
    words.extend_from_slice(source);
    let mut flag = |name: &str, value: Option<String>| {
        words.extend(value.into_iter().flat_map(|value| [format!("--{name}"), value]));
    };
    let number = |value: f64| Some(value.to_string());
    flag("model", Some(setting.model.clone()));
    flag("dram", Some(point.dram_blocks.to_string()));
    flag("nvme", Some(point.nvme_blocks.to_string()));
    flag("writes", Some(setting.writes.word().to_owned()));
    flag("admit", (setting.admit > 1).then(|| setting.admit.to_string()));
    flag("semantics", (setting.semantics != "prefix").then(|| setting.semantics.clone()));
    flag("definition", (setting.definition != Definition::default()).then(|| setting.definition.to_string()));
    flag("drives", setting.drives.map(|drives| drives.to_string()));
    flag("drive-capacity", setting.drive_capacity_bytes.map(size_word));
    flag("tbw", setting.tbw_bytes.map(size_word));
    flag("waf", number(setting.waf).filter(|_| setting.waf != 1.0));
    flag("rate-scale", number(setting.load.rate_scale).filter(|_| setting.load.rate_scale != 1.0));
    flag("tier-timing", setting.tier_timing.clone());
    flag("prefill-tokens-per-s", setting.prefill_tokens_per_s.and_then(number));
    let prices = &setting.prices;
    let named = [("dram", prices.dram_per_gib), ("nvme", prices.nvme_per_tb), ("gpu-hour", prices.gpu_hour)];
    let named: Vec<String> =
        named.into_iter().filter_map(|(name, price)| price.map(|price| format!("{name}={price}"))).collect();
    flag("price", (!named.is_empty()).then(|| named.join(",")));
    flag("price-years", number(prices.years).filter(|_| prices.years != Prices::default().years));
    shell_line(&words)
}
