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
    /// From the top down.
    pub panels: Vec<Panel>,
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
    /// Bars from 0, this wide in the axis's values.
    Bars(f64),
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
/// people with any kind of colour vision tell apart, and the ink and paper around them.
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
}

impl Colour {
    /// All of them.
    pub const ALL: [Colour; 10] = [
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
        }
    }
}
