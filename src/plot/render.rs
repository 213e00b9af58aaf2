//! Drawing a [`Picture`] on any backend of plotters. Everything is measured in pixels at scale 1
//! and multiplied by the scale, so that SVG and PNG look the same.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::image::FONT;
use super::picture::{Axis, Colour, Mark, Panel, Picture, Series};

/// Width of a picture at scale 1.
pub const WIDTH: u32 = 960;

const LEFT: f64 = 84.0;
const LEGEND: f64 = 236.0;
const HEAD: f64 = 62.0;
const PANEL_TITLE: f64 = 26.0;
const PANEL_FOOT: f64 = 52.0;
const FOOT: f64 = 6.0;

/// Height of a picture at scale 1.
pub fn height(picture: &Picture) -> u32 {
    let panels: f64 = picture.panels.iter().map(|panel| f64::from(panel.height) + PANEL_TITLE + PANEL_FOOT).sum();
    (HEAD + panels + FOOT) as u32
}

type Area<DB> = DrawingArea<DB, plotters::coord::Shift>;
type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// How the layout becomes pixels of a backend.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Pixels of the backend for each of the layout.
    pub factor: f64,
    /// How far text is moved down, as a share of its size.
    pub sink: f64,
}

/// A drawing area with its scale.
struct Canvas<'a, DB: DrawingBackend> {
    area: &'a Area<DB>,
    scale: f64,
    sink: f64,
}

/// Draws the picture.
pub fn draw<DB: DrawingBackend>(picture: &Picture, area: &Area<DB>, scale: Scale) -> Drawn<DB> {
    area.fill(&rgb(Colour::Paper))?;
    let canvas = Canvas { area, scale: scale.factor, sink: scale.sink };
    let width = f64::from(WIDTH) - 24.0;
    canvas.text(&canvas.fit(&picture.title, 17.0, width)?, (12.0, 20.0), 17.0, Colour::Ink, HPos::Left)?;
    canvas.text(&canvas.fit(&picture.subtitle, 12.0, width)?, (12.0, 43.0), 12.0, Colour::Faded, HPos::Left)?;
    let mut top = HEAD;
    for panel in &picture.panels {
        canvas.panel(panel, top)?;
        top += PANEL_TITLE + f64::from(panel.height) + PANEL_FOOT;
    }
    area.present()
}

fn rgb(colour: Colour) -> RGBColor {
    let [r, g, b] = colour.light();
    RGBColor(r, g, b)
}

/// Where the axes of a panel lie, in pixels at scale 1.
struct Frame<'a> {
    panel: &'a Panel,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        let axis = &self.panel.x;
        self.left + (value - axis.low) / (axis.high - axis.low) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        let axis = &self.panel.y;
        self.bottom - (value - axis.low) / (axis.high - axis.low) * (self.bottom - self.top)
    }

    fn inside(&self, point: (f64, f64)) -> (f64, f64) {
        (self.x(point.0).clamp(self.left, self.right), self.y(point.1).clamp(self.top, self.bottom))
    }
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    fn at(&self, point: (f64, f64)) -> (i32, i32) {
        ((point.0 * self.scale).round() as i32, (point.1 * self.scale).round() as i32)
    }

    fn font(&self, size: f64) -> FontDesc<'static> {
        (FONT, size * self.scale * 1.24).into_font()
    }

    fn text(&self, text: &str, at: (f64, f64), size: f64, colour: Colour, side: HPos) -> Drawn<DB> {
        let style = self.font(size).color(&rgb(colour)).pos(Pos::new(side, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), self.at((at.0, at.1 + self.sink * size)), style))
    }

    /// The text, or as much of it as fits with an ellipsis.
    fn fit(&self, text: &str, size: f64, width: f64) -> Result<String, DrawingAreaErrorKind<DB::ErrorType>> {
        let style = self.font(size).color(&rgb(Colour::Ink));
        let mut chars: Vec<char> = text.chars().collect();
        let mut shown = text.to_owned();
        while f64::from(self.area.estimate_text_size(&shown, &style)?.0) > width * self.scale && chars.len() > 1 {
            chars.pop();
            shown = format!("{}…", chars.iter().collect::<String>());
        }
        Ok(shown)
    }

    fn line(&self, points: &[(f64, f64)], colour: Colour, width: f64) -> Drawn<DB> {
        let style = rgb(colour).stroke_width((width * self.scale).round().max(1.0) as u32);
        let path: Vec<_> = points.iter().map(|&point| self.at(point)).collect();
        self.area.draw(&PathElement::new(path, style))
    }

    fn bar(&self, corner: (f64, f64), other: (f64, f64), colour: Colour) -> Drawn<DB> {
        self.area.draw(&Rectangle::new([self.at(corner), self.at(other)], rgb(colour).filled()))
    }

    fn panel(&self, panel: &Panel, top: f64) -> Drawn<DB> {
        let top = top + PANEL_TITLE;
        let frame =
            Frame { panel, left: LEFT, right: f64::from(WIDTH) - LEGEND, top, bottom: top + f64::from(panel.height) };
        let title = self.fit(&panel.title, 13.0, f64::from(WIDTH) - LEFT - 12.0)?;
        self.text(&title, (LEFT, top - 13.0), 13.0, Colour::Ink, HPos::Left)?;
        self.axes(&frame)?;
        for series in &panel.series {
            self.series(&frame, series)?;
        }
        self.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], Colour::Faded, 1.0)?;
        self.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], Colour::Faded, 1.0)?;
        self.legend(&frame)
    }

    fn axes(&self, frame: &Frame) -> Drawn<DB> {
        let Panel { x, y, .. } = frame.panel;
        for tick in &x.ticks {
            let at = frame.x(tick.at);
            self.line(&[(at, frame.top), (at, frame.bottom)], Colour::Grid, 0.5)?;
            self.text(&tick.label, (at, frame.bottom + 13.0), 11.0, Colour::Faded, HPos::Center)?;
        }
        for tick in &y.ticks {
            let at = frame.y(tick.at);
            self.line(&[(frame.left, at), (frame.right, at)], Colour::Grid, 0.5)?;
            self.text(&tick.label, (frame.left - 8.0, at), 11.0, Colour::Faded, HPos::Right)?;
        }
        let middle = (frame.left + frame.right) / 2.0;
        self.text(&x.label, (middle, frame.bottom + 32.0), 12.0, Colour::Ink, HPos::Center)?;
        self.upright(y, frame)
    }

    /// The name of the vertical axis, read from the bottom up.
    fn upright(&self, axis: &Axis, frame: &Frame) -> Drawn<DB> {
        let label = self.fit(&axis.label, 12.0, frame.bottom - frame.top + PANEL_FOOT)?;
        let style = self
            .font(12.0)
            .transform(FontTransform::Rotate270)
            .color(&rgb(Colour::Ink))
            .pos(Pos::new(HPos::Center, VPos::Center));
        self.area.draw(&Text::new(label, self.at((16.0 + self.sink * 12.0, (frame.top + frame.bottom) / 2.0)), style))
    }

    fn series(&self, frame: &Frame, series: &Series) -> Drawn<DB> {
        let points: Vec<_> = series.points.iter().map(|&point| frame.inside(point)).collect();
        match series.mark {
            Mark::Line => self.line(&points, series.colour, 1.75),
            Mark::Dashes => self.dashes(&points, series.colour),
            Mark::Bars(width) => {
                for (&(at, _), &(_, top)) in series.points.iter().zip(&points) {
                    let (left, right) = (frame.x(at - width / 2.0), frame.x(at + width / 2.0));
                    // A bar that is there is seen, however low it is and however many there are.
                    let (left, right) = (left.max(frame.left), right.max(left + 1.0).min(frame.right));
                    self.bar((left, top.min(frame.bottom - 1.0)), (right, frame.bottom), series.colour)?;
                }
                Ok(())
            }
        }
    }

    /// A line of dashes of 6 pixels with gaps of 4, measured along it.
    fn dashes(&self, points: &[(f64, f64)], colour: Colour) -> Drawn<DB> {
        let (dash, gap) = (6.0, 4.0);
        let (mut drawn, mut left, mut stroke) = (true, dash, Vec::from_iter(points.first().copied()));
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            loop {
                let length = (to.0 - from.0).hypot(to.1 - from.1);
                if length <= left {
                    left -= length;
                    stroke.push(to);
                    break;
                }
                let part = left / length;
                from = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
                stroke.push(from);
                if drawn {
                    self.line(&stroke, colour, 1.75)?;
                }
                drawn = !drawn;
                left = if drawn { dash } else { gap };
                stroke = vec![from];
            }
        }
        if drawn && stroke.len() > 1 { self.line(&stroke, colour, 1.75) } else { Ok(()) }
    }

    fn legend(&self, frame: &Frame) -> Drawn<DB> {
        let left = frame.right + 16.0;
        for (i, key) in frame.panel.legend.iter().enumerate() {
            let y = frame.top + 8.0 + 18.0 * i as f64;
            let text = match key.swatch {
                None => left,
                Some((colour, Mark::Bars(_))) => {
                    self.bar((left + 4.0, y - 5.0), (left + 18.0, y + 5.0), colour)?;
                    left + 30.0
                }
                Some((colour, mark)) => {
                    let swatch = [(left, y), (left + 22.0, y)];
                    match mark {
                        Mark::Dashes => self.dashes(&swatch, colour)?,
                        _ => self.line(&swatch, colour, 2.5)?,
                    }
                    left + 30.0
                }
            };
            let shown = self.fit(&key.text, 11.5, f64::from(WIDTH) - text - 6.0)?;
            self.text(&shown, (text, y), 11.5, Colour::Ink, HPos::Left)?;
        }
        Ok(())
    }
}
