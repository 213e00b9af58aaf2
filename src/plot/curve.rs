//! Hit ratio by capacity: the curves of several policies and files in one picture.

use std::str::FromStr;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::measure::Analysis;
use crate::measure::analysis::{list, number, text};
use crate::units;

use super::axis;
use super::picture::{Key, Layout, Panel, Picture, Series, shortened, style};

/// What a capacity is said in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Token blocks.
    #[default]
    Blocks,
    /// Tokens.
    Tokens,
    /// Bytes of a model's cache.
    Gib,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "blocks" => Ok(Self::Blocks),
            "tokens" => Ok(Self::Tokens),
            "gib" => Ok(Self::Gib),
            _ => Err(format!("`{text}` is no scale; use blocks, tokens or gib")),
        }
    }
}

impl Scale {
    fn label(self) -> &'static str {
        match self {
            Scale::Blocks => "capacity in token blocks (log scale)",
            Scale::Tokens => "capacity in tokens (log scale)",
            Scale::Gib => "capacity in bytes of the model's cache (log scale)",
        }
    }

    fn of(self, point: &Value) -> Option<f64> {
        let bytes = text(point, "unit") == Some("bytes");
        match self {
            Scale::Blocks => number(point, "capacity").filter(|_| !bytes),
            Scale::Tokens => number(point, "capacity_tokens"),
            Scale::Gib => number(point, "capacity_bytes").or_else(|| number(point, "capacity").filter(|_| bytes)),
        }
    }
}

/// The most curves of a picture: no eye tells more apart.
const MAX_CURVES: usize = 28;

/// Curves of one or more analyses, each with the name of its file.
///
/// # Errors
/// When no curve has points in that scale, or there are too many curves.
pub fn picture(analyses: &[(&str, &Analysis)], scale: Scale) -> Result<Picture> {
    let several = analyses.len() > 1;
    let mut series = Vec::new();
    let mut legend = Vec::new();
    for (file, analysis) in analyses {
        for policy in analysis.list("policies") {
            let points = points(policy, scale);
            if points.is_empty() {
                continue;
            }
            let (colour, mark) = style(series.len());
            let name = text(policy, "policy").unwrap_or("unnamed");
            let of = if several { format!(" · {}", shortened(&of_file(analysis, file), 22)) } else { String::new() };
            legend.push(Key { text: format!("{name}{of}"), swatch: Some((colour, mark)) });
            series.push(Series { colour, mark, points });
        }
    }
    let first = analyses.first().map_or("the input", |(file, _)| file);
    if series.is_empty() {
        let way_out = match scale {
            Scale::Gib => "analyze the curve with --model, which says the bytes of a token block",
            _ => "`kvtrace analyze curve … -o curve.json` makes one",
        };
        return Err(Error::usage(format!("{first} has no curve with capacities in {}; {way_out}", scale.word())));
    }
    if series.len() > MAX_CURVES {
        return Err(Error::usage(format!(
            "{} curves cannot be told apart in one picture; name files with {MAX_CURVES} at most",
            series.len()
        )));
    }
    Ok(Picture {
        kind: "curve",
        title: "Hit ratio by capacity".to_owned(),
        subtitle: subtitle(analyses),
        layout: Layout::Stack,
        panels: vec![panel(series, legend, scale)],
    })
}

impl Scale {
    fn word(self) -> &'static str {
        match self {
            Scale::Blocks => "token blocks",
            Scale::Tokens => "tokens",
            Scale::Gib => "bytes",
        }
    }
}

/// What was analysed, or the analysis's own file.
fn of_file(analysis: &Analysis, file: &str) -> String {
    match analysis.inputs().as_slice() {
        [one] => one.clone(),
        _ => file.to_owned(),
    }
}

/// Names of files, as many as there is room for.
pub fn files(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => shortened(one, 70),
        [one, other] => format!("{}, {}", shortened(one, 40), shortened(other, 40)),
        [one, other, rest @ ..] => {
            format!("{}, {} and {} more", shortened(one, 36), shortened(other, 36), rest.len())
        }
    }
}

fn subtitle(analyses: &[(&str, &Analysis)]) -> String {
    let names: Vec<&str> = analyses.iter().map(|(file, _)| *file).collect();
    let mut all = files(&names);
    let mut semantics: Vec<&str> = analyses
        .iter()
        .flat_map(|(_, analysis)| analysis.list("policies"))
        .filter_map(|policy| text(policy, "semantics"))
        .collect();
    semantics.sort_unstable();
    semantics.dedup();
    if !semantics.is_empty() {
        all.push_str(&format!(" · semantics {}", semantics.join(", ")));
    }
    if let [(_, analysis)] = analyses {
        let (inputs, blocks) = (analysis.inputs(), analysis.number("blocks"));
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        if !inputs.is_empty() {
            all.push_str(&format!(" · of {}", files(&inputs)));
        }
        if let Some(blocks) = blocks {
            all.push_str(&format!(" · {} references", units::count(blocks as u64)));
        }
    }
    all
}

/// Capacity (its logarithm) and ratio, ascending; what is no number is left out.
fn points(policy: &Value, scale: Scale) -> Vec<(f64, f64)> {
    let point = |point: &Value| {
        let (capacity, ratio) = (scale.of(point)?, number(point, "hit_ratio")?);
        (capacity > 0.0 && (0.0..=1.0).contains(&ratio)).then(|| (capacity.log10(), ratio))
    };
    let mut points: Vec<_> = list(policy, "points").iter().filter_map(point).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn panel(series: Vec<Series>, legend: Vec<Key>, scale: Scale) -> Panel {
    let all = || series.iter().flat_map(|series| &series.points);
    let low = 10f64.powf(all().map(|point| point.0).fold(f64::INFINITY, f64::min));
    let high = 10f64.powf(all().map(|point| point.0).fold(0.0, f64::max));
    let highest = all().map(|point| point.1).fold(0.0, f64::max);
    let x = match scale {
        Scale::Gib => axis::log_size(scale.label(), low, high),
        _ => axis::log_count(scale.label(), low, high),
    };
    let percent =
        |series: Series| Series { points: series.points.into_iter().map(|(x, y)| (x, y * 100.0)).collect(), ..series };
    Panel {
        title: "share of references that hit".to_owned(),
        height: 340,
        x,
        y: axis::from_zero("hit ratio (%)", highest * 100.0, 340),
        series: series.into_iter().map(percent).collect(),
        legend,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn analysis(policies: &[&str]) -> Analysis {
        let points = json!([
            {"capacity": 1, "unit": "blocks", "capacity_tokens": 512, "capacity_bytes": null, "hit_ratio": 0.01},
            {"capacity": 0, "unit": "blocks", "capacity_tokens": 0, "capacity_bytes": null, "hit_ratio": 0.0},
            {"capacity": 100, "unit": "blocks", "capacity_tokens": 51200, "capacity_bytes": null, "hit_ratio": 0.4},
            {"capacity": 1000, "unit": "blocks", "hit_ratio": null},
        ]);
        let policies: Vec<_> =
            policies.iter().map(|p| json!({"policy": p, "semantics": "prefix", "points": points})).collect();
        Analysis::of(json!({"kind": "curve", "inputs": [{"file": "d/t.jsonl"}], "policies": policies})).unwrap()
    }

    #[test]
    fn points_that_are_none_are_left_out() {
        let one = analysis(&["lru", "arc"]);
        let picture = picture(&[("c.json", &one)], Scale::Blocks).unwrap();
        assert_eq!(picture.panels[0].series[1].points, [(0.0, 1.0), (2.0, 40.0)]);
        assert_eq!(picture.panels[0].legend[0].text, "lru");
        assert!(picture.subtitle.contains("of t.jsonl"), "{}", picture.subtitle);
    }

    #[test]
    fn bytes_need_a_model_and_too_many_curves_are_refused() {
        let one = analysis(&["lru"]);
        assert!(picture(&[("c.json", &one)], Scale::Gib).unwrap_err().to_string().contains("--model"));
        let many = vec![("c.json", &one); 29];
        assert!(picture(&many, Scale::Tokens).unwrap_err().to_string().contains("29 curves"));
        assert_eq!(picture(&many[..28], Scale::Tokens).unwrap().panels[0].legend.len(), 28);
    }
}
