//! A picture as data: panels of series over axes. Axes are linear in what they are given; a
//! logarithmic axis is given logarithms and ticks that say so.

/// A picture, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The kind's word, for the metadata.
    pub kind: &'static str,
    /// What is shown.
    pub title: String,
    /// Of which file, and what a reader must know.
    pub subtitle: String,
    /// How the panels are laid out.
    pub layout: Layout,
    /// From the top down; in columns, from left to right first.
    pub panels: Vec<Panel>,
}

/// How the panels of a picture are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One below the other, each with its legend beside it.
    #[default]
    Stack,
    /// Two beside each other, each with its legend in a line above it.
    Pairs,
}

/// One set of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What is shown here.
    pub title: String,
    /// Height of the plotted area in pixels at scale 1.
    pub height: u32,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, from the back to the front.
    pub series: Vec<Series>,
    /// The legend beside the area, from the top down.
    pub legend: Vec<Key>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The quantity and its unit.
    pub label: String,
    /// The value at the left or bottom end.
    pub low: f64,
    /// The value at the other end.
    pub high: f64,
    /// Marks, ascending.
    pub ticks: Vec<Tick>,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// What it says; empty for a mark without words.
    pub label: String,
}

/// Something drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its colour.
    pub colour: Colour,
    /// How.
    pub mark: Mark,
    /// Where, in the axes' values.
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A line.
    Line,
    /// A broken line.
    Dashes,
    /// A line of dots.
    Dots,
    /// Dashes and dots in turn.
    DashDots,
    /// Bars from 0, this wide in the axis's values.
    Bars(f64),
    /// Rectangles around each point, this wide and high in the axes' values.
    Cells(f64, f64),
    /// A disc at each point.
    Points,
}

/// A line of the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// What it explains.
    pub text: String,
    /// Its swatch; none for a line of text alone.
    pub swatch: Option<(Colour, Mark)>,
}

/// The colours of a picture: those of Okabe and Ito ("Color Universal Design", 2008), which
/// people with any kind of colour vision tell apart, the ink and paper around them, and a scale
/// from faint to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Reads.
    Blue,
    /// Writes.
    Vermillion,
    /// Prefill reads.
    Sky,
    /// Evict reads.
    Green,
    /// Decode writes.
    Purple,
    /// Evict writes.
    Orange,
    /// Words and axes.
    Ink,
    /// Lesser words.
    Faded,
    /// Grid lines.
    Grid,
    /// The background.
    Paper,
    /// How much of something there is, from 0 to [`Colour::SHADES`] - 1.
    Shade(u8),
}

impl Colour {
    /// Steps of the scale from faint to strong.
    pub const SHADES: u8 = 8;

    /// All of them.
    pub const ALL: [Colour; 18] = [
        Colour::Blue,
        Colour::Vermillion,
        Colour::Sky,
        Colour::Green,
        Colour::Purple,
        Colour::Orange,
        Colour::Ink,
        Colour::Faded,
        Colour::Grid,
        Colour::Paper,
        Colour::Shade(0),
        Colour::Shade(1),
        Colour::Shade(2),
        Colour::Shade(3),
        Colour::Shade(4),
        Colour::Shade(5),
        Colour::Shade(6),
        Colour::Shade(7),
    ];

    /// Red, green and blue on light paper.
    pub fn light(self) -> [u8; 3] {
        match self {
            Colour::Blue => [0x00, 0x72, 0xB2],
            Colour::Vermillion => [0xD5, 0x5E, 0x00],
            Colour::Sky => [0x56, 0xB4, 0xE9],
            Colour::Green => [0x00, 0x9E, 0x73],
            Colour::Purple => [0xCC, 0x79, 0xA7],
            Colour::Orange => [0xE6, 0x9F, 0x00],
            Colour::Ink => [0x1F, 0x23, 0x28],
            Colour::Faded => [0x59, 0x63, 0x6E],
            Colour::Grid => [0xE1, 0xE4, 0xE8],
            Colour::Paper => [0xFF, 0xFF, 0xFF],
            Colour::Shade(step) => between([0xD2, 0xE5, 0xF5], [0x04, 0x27, 0x5C], step),
        }
    }

    /// Red, green and blue on dark paper.
    pub fn dark(self) -> [u8; 3] {
        match self {
            Colour::Blue => [0x3D, 0x9B, 0xE0],
            Colour::Vermillion => [0xF0, 0x7C, 0x28],
            Colour::Sky => [0x8C, 0xD0, 0xF5],
            Colour::Green => [0x2B, 0xC4, 0x98],
            Colour::Purple => [0xE0, 0x9A, 0xC2],
            Colour::Orange => [0xF2, 0xBC, 0x40],
            Colour::Ink => [0xE6, 0xED, 0xF3],
            Colour::Faded => [0x9A, 0xA4, 0xAF],
            Colour::Grid => [0x33, 0x3A, 0x43],
            Colour::Paper => [0x16, 0x1B, 0x22],
            Colour::Shade(step) => between([0x22, 0x38, 0x52], [0xC8, 0xE8, 0xFF], step),
        }
    }
}

/// The colour at a step of the scale between two.
fn between(faint: [u8; 3], strong: [u8; 3], step: u8) -> [u8; 3] {
    let last = u16::from(Colour::SHADES - 1);
    let step = u16::from(step).min(last);
    std::array::from_fn(|i| ((u16::from(faint[i]) * (last - step) + u16::from(strong[i]) * step) / last) as u8)
}

/// How the series at a place in a list is drawn: seven colours and four kinds of line, each in turn,
/// so that 28 are told apart, on paper without colours too, and one that lies on another lets it
/// show.
pub fn style(place: usize) -> (Colour, Mark) {
    let colours =
        [Colour::Blue, Colour::Vermillion, Colour::Green, Colour::Purple, Colour::Orange, Colour::Sky, Colour::Ink];
    let marks = [Mark::Line, Mark::Dashes, Mark::DashDots, Mark::Dots];
    (colours[place % colours.len()], marks[place % marks.len()])
}

/// A text of at most `most` characters: what is too long loses its middle, since names tell
/// themselves apart at both ends.
pub fn shortened(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most || most < 2 {
        return text.to_owned();
    }
    let head = most / 2;
    let tail = most - head - 1;
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_colours_are_the_same() {
        for of in [Colour::light, Colour::dark] {
            assert_eq!(Colour::ALL.map(of).into_iter().collect::<BTreeSet<_>>().len(), Colour::ALL.len());
        }
    }

    #[test]
    fn twenty_eight_series_differ() {
        let styles: BTreeSet<String> = (0..28).map(|i| format!("{:?}", style(i))).collect();
        assert_eq!(styles.len(), 28);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("conversation_trace.jsonl", 11), "conve…jsonl");
        assert_eq!(shortened("a.json", 11), "a.json");
    }
}
