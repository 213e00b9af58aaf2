//! How many blocks are in use at a time, by the length of the window.

use crate::error::{Error, Result};
use crate::measure::Analysis;
use crate::measure::analysis::number;
use crate::units;

use super::axis;
use super::curve::files;
use super::picture::{Key, Layout, Mark, Panel, Picture, Series, shortened, style};

/// The largest and the mean working set of each window.
///
/// # Errors
/// When no analysis has windows.
pub fn picture(analyses: &[(&str, &Analysis)]) -> Result<Picture> {
    let (mut series, mut legend) = (Vec::new(), Vec::new());
    let mut all: Vec<(f64, f64)> = Vec::new();
    for (file, analysis) in analyses {
        let colour = style(legend.len() / 2).0;
        for (name, field, mark) in [("most", "max_blocks", Mark::Line), ("mean", "mean_blocks", Mark::Dashes)] {
            let point = |window| Some((number(window, "window_s")? * 1e9, number(window, field)?));
            let points: Vec<(f64, f64)> = analysis
                .entries_with("window_s")
                .iter()
                .filter_map(point)
                .filter(|p| p.0 >= 1.0 && p.1 > 0.0)
                .collect();
            if points.is_empty() {
                continue;
            }
            all.extend(&points);
            let text = if analyses.len() == 1 { name.to_owned() } else { format!("{name}, {}", shortened(file, 24)) };
            legend.push(Key { text, swatch: Some((colour, mark)) });
            let points: Vec<_> = points.iter().map(|(window, blocks)| (window.log10(), blocks.log10())).collect();
            series.push(Series { colour, mark, points: points.clone() });
            series.push(Series { colour, mark: Mark::Points, points });
        }
        if let (1, Some(live)) = (analyses.len(), analysis.field("live").and_then(|live| number(live, "peak_blocks"))) {
            legend.push(Key { text: format!("live at a time: {}", units::count(live as u64)), swatch: None });
        }
    }
    if series.is_empty() {
        let first = analyses.first().map_or("the input", |(file, _)| file);
        return Err(Error::usage(format!(
            "{first} has no working set; `kvtrace analyze reuse` or working-set has one"
        )));
    }
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let values = all.iter().map(of);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(1.0, f64::max))
    };
    let ((first, last), (low, high)) = (ends(|p| p.0), ends(|p| p.1));
    let names: Vec<&str> = analyses.iter().map(|(file, _)| *file).collect();
    Ok(Picture {
        kind: "working-set",
        title: "How many blocks are in use at a time".to_owned(),
        subtitle: files(&names),
        layout: Layout::Stack,
        panels: vec![Panel {
            title: "different blocks in a window".to_owned(),
            height: 240,
            x: axis::log_time("length of the window (log scale)", first, last),
            y: axis::log_count("token blocks (log scale)", low, high),
            series,
            legend,
        }],
    })
}
