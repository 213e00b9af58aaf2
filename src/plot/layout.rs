//! Where everything of a picture lies, in pixels at scale 1.

use super::picture::{Layout, Panel, Picture};

/// Width of a picture at scale 1.
pub const WIDTH: u32 = 960;

/// Room for the name of the vertical axis, upright.
const NAME: f64 = 28.0;
/// Room for the words of the vertical axis: at least, and at most.
const WORDS: (f64, f64) = (56.0, 300.0);
/// The legend beside an area.
const LEGEND: f64 = 236.0;
/// The title and what is below it.
const HEAD: f64 = 62.0;
const PANEL_TITLE: f64 = 26.0;
/// The line of a legend above an area.
const LEGEND_LINE: f64 = 26.0;
/// The words and the name of the horizontal axis.
const PANEL_FOOT: f64 = 52.0;
const FOOT: f64 = 6.0;
/// A line of the legend.
const KEY: f64 = 18.0;
/// Between two columns.
const GUTTER: f64 = 18.0;

/// Where the axes of a panel lie, in pixels at scale 1.
pub struct Frame<'a> {
    /// What is drawn there.
    pub panel: &'a Panel,
    /// The area.
    pub left: f64,
    /// Its other side.
    pub right: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its lower edge.
    pub bottom: f64,
    /// The middle of the title's line.
    pub title_y: f64,
    /// How far the title may reach.
    pub title_right: f64,
    /// How far to the left words of axes may begin.
    pub word_left: f64,
    /// How far to the right words of the horizontal axis may reach.
    pub word_right: f64,
    /// Where the legend begins; none has it above the area.
    pub legend_x: Option<f64>,
}

impl Frame<'_> {
    /// Where a value of the horizontal axis lies.
    pub fn x(&self, value: f64) -> f64 {
        let axis = &self.panel.x;
        self.left + (value - axis.low) / (axis.high - axis.low) * (self.right - self.left)
    }

    /// Where a value of the vertical axis lies.
    pub fn y(&self, value: f64) -> f64 {
        let axis = &self.panel.y;
        self.bottom - (value - axis.low) / (axis.high - axis.low) * (self.bottom - self.top)
    }

    /// Where a point lies, or the place in the area that is closest to it.
    pub fn inside(&self, point: (f64, f64)) -> (f64, f64) {
        (self.x(point.0).clamp(self.left, self.right), self.y(point.1).clamp(self.top, self.bottom))
    }
}

/// The heights of the rows of a picture.
pub struct Plan {
    /// The height of each row's areas.
    rows: Vec<f64>,
    /// What is above an area.
    above: f64,
    /// Panels in a row.
    columns: usize,
}

impl Plan {
    /// That of a picture. Areas grow to what their legends need.
    pub fn of(picture: &Picture) -> Self {
        let (columns, above) = match picture.layout {
            Layout::Stack => (1, PANEL_TITLE),
            Layout::Pairs => (2, PANEL_TITLE + LEGEND_LINE),
        };
        let height = |panel: &Panel| {
            let beside = if columns == 1 { panel.legend.len() as f64 * KEY - PANEL_FOOT + 12.0 } else { 0.0 };
            f64::from(panel.height).max(beside)
        };
        let rows = picture.panels.chunks(columns).map(|row| row.iter().map(height).fold(0.0, f64::max)).collect();
        Self { rows, above, columns }
    }

    /// The height of the picture.
    pub fn height(&self) -> u32 {
        (HEAD + self.rows.iter().map(|row| row + self.above + PANEL_FOOT).sum::<f64>() + FOOT) as u32
    }

    /// Where each panel lies, when the words of the vertical axes are so wide at most.
    pub fn frames<'a>(&self, picture: &'a Picture, widest: f64) -> Vec<Frame<'a>> {
        let words = (widest + 8.0).clamp(WORDS.0, WORDS.1);
        let column = (f64::from(WIDTH) - GUTTER * (self.columns - 1) as f64) / self.columns as f64;
        let mut top = HEAD;
        let mut frames = Vec::new();
        for (panels, height) in picture.panels.chunks(self.columns).zip(&self.rows) {
            for (place, panel) in panels.iter().enumerate() {
                let origin = place as f64 * (column + GUTTER);
                let left = origin + NAME + words;
                let end = origin + column;
                let right = if self.columns == 1 { end - LEGEND } else { end - 16.0 };
                frames.push(Frame {
                    panel,
                    left,
                    right,
                    top: top + self.above,
                    bottom: top + self.above + height,
                    title_y: top + 13.0,
                    title_right: end - 12.0,
                    word_left: origin + NAME,
                    word_right: if self.columns == 1 { right + 12.0 } else { end - 2.0 },
                    legend_x: (self.columns == 1).then_some(right + 16.0),
                });
            }
            top += self.above + height + PANEL_FOOT;
        }
        frames
    }
}
