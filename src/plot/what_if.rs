//! The what-if part: a plan whose DRAM, NVMe, drives, model and prices can be moved, in the page
//! itself. Without a script it is a table.

use serde::{Deserialize, Serialize};

use crate::analyze::endurance::{Drives, decimal};
use crate::analyze::plan::curve_points::{CurvePoint, Hits};
use crate::analyze::plan::{Definition, Plan, Setting, Totals};
use crate::error::{Error, Result};
use crate::measure::Input;
use crate::model::{self, Model};
use crate::units;

use super::html::{escape, facts, list, paragraph, section, table};

const SCRIPT: &str = include_str!("what_if.js");
const STYLE: &str = include_str!("what_if.css");
const CONTROLS: &str = include_str!("what_if_controls.html");
/// About how many lines of the curve the table has.
const ROWS: usize = 24;

/// A saved plan.
#[derive(Clone, Debug, Deserialize)]
pub struct PlanFile {
    kind: String,
    tool: String,
    inputs: Vec<PlanInput>,
    span_s: f64,
    #[serde(flatten)]
    plan: Plan,
}

#[derive(Clone, Debug, Deserialize)]
struct PlanInput {
    file: String,
    sha256: String,
}

/// What the script works with: columns by capacity, in token blocks.
#[derive(Serialize)]
struct Data<'a> {
    totals: &'a Totals,
    setting: &'a Setting,
    source: &'a [String],
    /// Of which hits are a part.
    hits_of: u64,
    models: Vec<(String, u64)>,
    chosen: [u64; 2],
    admits: &'a [u32],
    capacity: Vec<u32>,
    hits: Vec<f64>,
    tokens: Vec<u64>,
    through: Vec<Vec<u64>>,
    exclusive: Vec<u64>,
    filtered: Vec<Filtered>,
}

#[derive(Serialize)]
struct Filtered {
    admit: u32,
    dram: u32,
    nvme: Vec<u32>,
    hits: Vec<f64>,
    tokens: Vec<u64>,
    writes: Vec<u64>,
}

impl PlanFile {
    /// What a page of it alone is called.
    pub fn title(&self) -> String {
        let name = |input: &PlanInput| input.file.rsplit('/').next().unwrap_or_default().to_owned();
        let names = match &self.inputs[..] {
            [first, _, ..] => format!("{} and {} more", name(first), self.inputs.len() - 1),
            one => one.iter().map(name).collect(),
        };
        format!("What if: DRAM and NVMe for {names}")
    }

    /// How much it is made of, and where it comes from.
    pub fn below(&self, file: &str) -> String {
        let span = units::ns(self.span_s * 1e9);
        format!("{file} · {} in {span}", units::plural(self.plan.totals.requests, "request"))
    }

    /// The plan that a file holds.
    ///
    /// # Errors
    /// When something of it is missing.
    pub fn of(input: &Input) -> Result<Self> {
        let file: Self = serde_json::from_str(&input.text).map_err(|e| {
            Error::usage(format!("{}: {e}; write it again with this kvtrace's analyze plan", input.name))
        })?;
        match file.kind.as_str() {
            "plan" if !file.plan.curve.is_empty() => Ok(file),
            _ => Err(Error::usage(format!("{} holds no plan with a curve", input.name))),
        }
    }
}

fn made_of(file: &PlanFile) -> Vec<(String, String)> {
    let inputs = file.inputs.iter().map(|input| (input.file.clone(), format!("sha256 {}", input.sha256)));
    inputs.chain([("written by".to_owned(), file.tool.clone())]).collect()
}

/// The part of a page below its opening: the controls, the table.
pub fn part(file: &PlanFile) -> String {
    let plan = &file.plan;
    let data =
        serde_json::to_string(&data(plan)).unwrap_or_default().replace("</", "<\\/").replace("<!--", "<\\u0021--");
    let moving = format!(
        "<style>\n{STYLE}</style>\n{CONTROLS}<script type=\"application/json\" id=\"what-if-data\">{data}</script>\n\
         <script>\n{SCRIPT}</script>\n"
    );
    [
        section("What if", &moving),
        section("Hits and writes by capacity", &curve_table(plan)),
        section("Store or recompute", &break_even_table(plan)),
        section("What is assumed", &list(&plan.assumptions)),
        section("What the plan is made of", &facts(&made_of(file))),
    ]
    .concat()
}

/// What the plan found, and what to know of it first.
pub fn opening(file: &PlanFile, named: &str) -> String {
    let plan = &file.plan;
    let (chosen, prices) = (&plan.chosen, &plan.setting.prices);
    let day = chosen.wear.host_writes_per_day_bytes.map(decimal).filter(|_| chosen.nvme_blocks > 0);
    let writes = day.map_or(String::new(), |day| format!(" Host writes to NVMe: {day} a day."));
    let cost = chosen.cost_per_million.total;
    let cost = cost.map_or(String::new(), |cost| format!(" A million prompt tokens cost {cost:.4}."));
    let mut notes = vec![plan.setting.load.words()];
    if let Some(years) = chosen.wear.years.filter(|years| *years < prices.years) {
        let years = units::three_digits(years);
        notes.push(format!("the rating of the drives is used up in {years} years, before they are written off"));
    }
    format!(
        "<div class=\"verdict\"><strong>{}{} of DRAM and {} of NVMe hit {:.2} %</strong>\n<p>by {}, of {:.2} % that a \
         cache without end hits.{}{}</p></div>\n<div class=\"verdict note\"><strong>{}Note</strong>\n{}</div>\n",
        escape(named),
        escape(&units::bytes(chosen.dram_bytes)),
        escape(&units::bytes(chosen.nvme_bytes)),
        100.0 * chosen.hit_ratio,
        plan.setting.definition,
        100.0 * plan.ceiling,
        escape(&writes),
        escape(&cost),
        escape(named),
        list(&notes)
    )
}

fn hits(definition: Definition, hits: &Hits) -> f64 {
    match definition {
        Definition::TokenBlockPrefix => hits.prefix_blocks as f64,
        Definition::TokenBlockAny => hits.any_blocks as f64,
        Definition::TokenPrefix => hits.prefix_tokens as f64,
        Definition::RequestMeanPrefix => hits.prefix_shares,
    }
}

fn hits_of(plan: &Plan) -> u64 {
    match plan.setting.definition {
        Definition::TokenBlockPrefix | Definition::TokenBlockAny => plan.totals.blocks,
        Definition::TokenPrefix => plan.totals.tokens,
        Definition::RequestMeanPrefix => plan.totals.requests,
    }
}

fn data(plan: &Plan) -> Data<'_> {
    let of = |found: &Hits| hits(plan.setting.definition, found);
    let column = |pick: fn(&CurvePoint) -> u64| plan.curve.iter().map(pick).collect::<Vec<_>>();
    let bytes = |name: &str| Model::resolve(name, None).ok().map(|model| model.bytes_per_token());
    let mut models: Vec<(String, u64)> =
        model::names().filter_map(|name| Some((name.to_owned(), bytes(name)?))).collect();
    if !models.iter().any(|(name, _)| *name == plan.setting.model) {
        models.insert(0, (plan.setting.model.clone(), plan.setting.bytes_per_token));
    }
    Data {
        totals: &plan.totals,
        setting: &plan.setting,
        source: &plan.source,
        hits_of: hits_of(plan),
        models,
        chosen: [plan.chosen.dram_blocks, plan.chosen.nvme_blocks],
        admits: &plan.admits,
        capacity: plan.curve.iter().map(|point| point.capacity).collect(),
        hits: plan.curve.iter().map(|point| of(&point.hits)).collect(),
        tokens: column(|point| point.hits.prefix_tokens),
        through: (0..plan.admits.len())
            .map(|n| plan.curve.iter().map(|p| p.writes_through.get(n).copied().unwrap_or_default()).collect())
            .collect(),
        exclusive: column(|point| point.writes_exclusive),
        filtered: plan
            .admissions
            .iter()
            .map(|curve| Filtered {
                admit: curve.admit,
                dram: curve.dram,
                nvme: curve.nvme.clone(),
                hits: curve.hits.iter().map(of).collect(),
                tokens: curve.hits.iter().map(|found| found.prefix_tokens).collect(),
                writes: curve.writes.clone(),
            })
            .collect(),
    }
}

/// The curve at some capacities, with writes by the day of each filter and of exclusive tiers.
fn curve_table(plan: &Plan) -> String {
    let (setting, block) = (&plan.setting, plan.setting.block_bytes(&plan.totals));
    let mut head = vec!["capacity".to_owned(), "blocks".into(), "hit ratio".into()];
    head.extend(plan.admits.iter().map(|admit| match admit {
        1 => "through".to_owned(),
        admit => format!("touch {admit} on"),
    }));
    head.extend(["exclusive".to_owned(), "years".into()]);
    let every = plan.curve.len().div_ceil(ROWS).max(1);
    let day = |blocks: u64| setting.load.per_day(blocks as f64 * block as f64).map_or("-".to_owned(), decimal);
    let shown = plan.curve.iter().enumerate().filter(|(n, point)| {
        let here = u64::from(point.capacity) == plan.chosen.dram_blocks + plan.chosen.nvme_blocks;
        point.capacity > 0 && (n % every == 0 || here || n + 1 == plan.curve.len())
    });
    let rows: Vec<Vec<String>> = shown
        .map(|(_, point)| {
            let bytes = block.saturating_mul(point.capacity.into());
            let ratio = hits(setting.definition, &point.hits) / hits_of(plan).max(1) as f64;
            let mut row = vec![units::bytes(bytes), units::count(point.capacity.into()), format!("{ratio:.4}")];
            row.extend(point.writes_through.iter().map(|writes| day(*writes)));
            row.push(day(point.writes_exclusive));
            let written = block as f64 * point.writes_through.first().copied().unwrap_or_default() as f64;
            let years = setting.drives_for(bytes).and_then(|drives: Drives| drives.wear(written, &setting.load).years);
            row.push(years.map_or("-".to_owned(), units::three_digits));
            row
        })
        .collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let words = "Hits of one LRU cache, and host writes to NVMe in a day: of NVMe of that capacity, written through (all \
                 blocks, or from their second touch on, and so forth), with the years by its rating when all are; and \
                 of exclusive tiers behind DRAM of that capacity.";
    paragraph(words) + &table(&head, 1, &rows)
}

fn break_even_table(plan: &Plan) -> String {
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| units::ns(seconds * 1e9));
    let rows: Vec<Vec<String>> = plan
        .break_even
        .iter()
        .map(|tier| {
            let from = match (tier.from_tokens, tier.load_s_per_token) {
                (Some(tokens), _) => format!("{} tokens", tokens.ceil()),
                (None, Some(_)) => "never".to_owned(),
                (None, None) => "-".to_owned(),
            };
            vec![
                tier.tier.clone(),
                time(tier.load_s_per_token),
                time(Some(tier.prefill_s_per_token)),
                format!("{} GB/s", units::three_digits(tier.bandwidth_bytes_per_s / 1e9)),
                from,
                time(tier.worth_keeping_s),
            ]
        })
        .collect();
    let head =
        ["tier", "loading a token", "computing it", "equal at", "loading pays from", "a block pays its room for"];
    table(&head, 1, &rows)
}
