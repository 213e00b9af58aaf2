//! Every text of a picture has a place of its own inside it, whatever is drawn.

use plotters::style::IntoFont;
use proptest::prelude::*;

use crate::plot::axis;
use crate::plot::image::{FONT, svg};
use crate::plot::layout::{Plan, WIDTH};
use crate::plot::picture::{Axis, Colour, Key, Layout, Mark, Panel, Picture, Series, style};

/// Pixels of an SVG's coordinates for each of the layout, as `image` has it.
const SCALE: f64 = 2.0;

/// A text and the box that it takes: left, top, right, bottom.
type Placed = (String, [f64; 4]);

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let from = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[from..].split('"').next()
}

/// The texts of an SVG with their boxes, in pixels of the layout.
fn texts(svg: &str) -> Vec<Placed> {
    let place = |piece: &str| {
        let (tag, rest) = piece.split_once('>')?;
        let words = rest.split("</text").next()?.trim();
        let words = words.replace("&apos;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        let words = words.replace("&amp;", "&");
        let number = |name: &str| attribute(tag, name)?.parse::<f64>().ok();
        let (x, y, size) = (number("x")?, number("y")?, number("font-size")?);
        let width = f64::from((FONT, size * 1.24).into_font().box_size(&words).ok()?.0);
        let (before, after) = match attribute(tag, "text-anchor")? {
            "start" => (0.0, width),
            "end" => (width, 0.0),
            _ => (width / 2.0, width / 2.0),
        };
        // Of a line, letters without ascenders and descenders are the middle; half its size holds both.
        let half = size * 0.5;
        let corners = match attribute(tag, "transform") {
            Some(_) => [x - half, y - after, x + half, y + before],
            None => [x - before, y - half, x + after, y + half],
        };
        Some((words, corners.map(|value| value / SCALE)))
    };
    svg.split("<text").skip(1).filter_map(place).collect()
}

fn check(picture: &Picture) -> Result<(), TestCaseError> {
    let drawn = svg(picture).unwrap();
    prop_assert!(!["=\"NaN", "=\"inf", "=\"-inf"].iter().any(|bad| drawn.contains(bad)));
    let (width, height) = (f64::from(WIDTH), f64::from(Plan::of(picture).height()));
    let texts = texts(&drawn);
    prop_assert_eq!(texts.len(), drawn.matches("<text").count());
    let texts: Vec<_> = texts.into_iter().filter(|(words, _)| !words.is_empty()).collect();
    for (place, (words, [left, top, right, bottom])) in texts.iter().enumerate() {
        let inside = *left >= -0.5 && *top >= -0.5 && *right <= width + 0.5 && *bottom <= height + 0.5;
        prop_assert!(inside, "`{}` at {:?} is cut", words, [left, top, right, bottom]);
        for (other, [l, t, r, b]) in &texts[place + 1..] {
            // Two rounded boxes may touch.
            let apart = *right <= l + 1.0 || r - 1.0 <= *left || *bottom <= t + 1.0 || b - 1.0 <= *top;
            let boxes = ([left, top, right, bottom], [l, t, r, b]);
            prop_assert!(apart, "`{}` lies on `{}`: {:?}", words, other, boxes);
        }
    }
    Ok(())
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::sample::select(vec![0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e308]),
        0.0..1e3f64,
        1.0..1e15f64,
        prop::num::f64::ANY,
    ]
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,20}", "[A-Za-z0-9_./-]{60,300}", "\\PC{0,60}", Just("<&>\"'".to_owned())]
}

fn any_axis() -> impl Strategy<Value = Axis> {
    (0..8, words(), value(), value(), prop::collection::vec(words(), 0..40)).prop_map(|(kind, label, a, b, names)| {
        match kind {
            0 => axis::log_time(&label, a, b),
            1 => axis::log_size(&label, a, b),
            2 => axis::log_count(&label, a, b),
            3 => axis::from_zero(&label, a, 120),
            4 => axis::from_zero_to(&label, a),
            5 => axis::linear(&label, a, b, 7.0),
            6 => axis::categories(&label, &names),
            _ => axis::percentiles(&label, a.abs() as u64),
        }
    })
}

fn upright() -> impl Strategy<Value = Axis> {
    (any_axis(), prop::collection::vec(words(), 1..20), any::<bool>())
        .prop_map(|(axis, names, rows)| if rows { axis::rows("", &names) } else { axis })
}

fn any_panel() -> impl Strategy<Value = Panel> {
    let series = (0..28usize, prop::collection::vec((value(), value()), 0..6), 0..4);
    let axes = (any_axis(), upright());
    (words(), axes, prop::collection::vec(series, 0..22), prop::collection::vec(words(), 0..22)).prop_map(
        |(title, (x, y), series, keys)| {
            let mark = |place: usize, kind: i32| match kind {
                0 => Mark::Bars(0.4),
                1 => Mark::Cells(1.0, 2.0),
                2 => Mark::Points,
                _ => style(place).1,
            };
            let drawn = series.into_iter().map(|(place, points, kind)| Series {
                colour: style(place).0,
                mark: mark(place, kind),
                points,
            });
            let key = |(place, text)| Key { text, swatch: Some(style(place)) };
            // Rows are 22 pixels high, as `rows` has them.
            let height = 24 + 22 * y.ticks.len().min(30) as u32;
            let legend = keys.into_iter().enumerate().map(key).collect();
            Panel { title, height, x, y, series: drawn.collect(), legend }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_is_cut_or_lies_on_another(
        title in words(),
        subtitle in words(),
        pairs in any::<bool>(),
        panels in prop::collection::vec(any_panel(), 1..4),
    ) {
        let layout = if pairs { Layout::Pairs } else { Layout::Stack };
        check(&Picture { kind: "test", title, subtitle, layout, panels })?;
    }
}

#[test]
fn the_check_sees_what_overlaps() {
    let lines = "<text x=\"24\" y=\"40\" text-anchor=\"start\" font-size=\"30\">\nwords\n</text>\
                 <text x=\"60\" y=\"44\" text-anchor=\"start\" font-size=\"30\">\nothers\n</text>";
    let [(_, first), (_, second)] = &texts(lines)[..] else { panic!("two texts") };
    assert!(first[2] > second[0] && first[3] > second[1], "{first:?} {second:?}");
}

#[test]
fn a_single_point_of_any_mark_leaves_ink() {
    for mark in
        [Mark::Line, Mark::Dashes, Mark::Dots, Mark::DashDots, Mark::Bars(1e-9), Mark::Points, Mark::Cells(1e-9, 1e-9)]
    {
        let series = vec![Series { colour: Colour::Purple, mark, points: vec![(1.0, 1.0)] }];
        let (x, y) = (axis::from_zero_to("", 2.0), axis::from_zero("", 2.0, 100));
        let panels = vec![Panel { title: String::new(), height: 100, x, y, series, legend: Vec::new() }];
        let picture =
            Picture { kind: "test", title: String::new(), subtitle: String::new(), layout: Layout::Stack, panels };
        assert!(svg(&picture).unwrap().contains("#CC79A7"), "{mark:?}");
    }
}
