//! Drawing a [`Picture`] on any backend of plotters. Everything is measured in pixels at scale 1
//! and multiplied by the scale, so that SVG and PNG look the same.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::image::FONT;
use super::layout::{Frame, Plan, WIDTH};
use super::picture::{Axis, Colour, Key, Mark, Picture, Series, shortened};

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

/// The most characters of one line of text: more could not be read at this width.
const MAX_CHARS: usize = 240;
/// Between the words of two marks of an axis.
const WORD_GAP: f64 = 7.0;
/// Height of a line of words at an axis.
const WORD_HEIGHT: f64 = 13.0;
/// The width of a line of the legend that shows how a series is drawn: beside an area, and above it.
const SWATCH: f64 = 22.0;
const NARROW_SWATCH: f64 = 18.0;

/// Draws the picture.
pub fn draw<DB: DrawingBackend>(picture: &Picture, area: &Area<DB>, scale: Scale) -> Drawn<DB> {
    area.fill(&rgb(Colour::Paper))?;
    let canvas = Canvas { area, scale: scale.factor, sink: scale.sink };
    let width = f64::from(WIDTH) - 24.0;
    canvas.text(&canvas.fit(&picture.title, 17.0, width)?, (12.0, 20.0), 17.0, Colour::Ink, HPos::Left)?;
    canvas.text(&canvas.fit(&picture.subtitle, 12.0, width)?, (12.0, 43.0), 12.0, Colour::Faded, HPos::Left)?;
    let plan = Plan::of(picture);
    let words = picture.panels.iter().flat_map(|panel| &panel.y.ticks);
    let widest = words.map(|tick| canvas.width(&tick.label, 11.0)).try_fold(0.0, |a, b| b.map(|b| f64::max(a, b)))?;
    for frame in plan.frames(picture, widest) {
        canvas.panel(&frame)?;
    }
    area.present()
}

fn rgb(colour: Colour) -> RGBColor {
    let [r, g, b] = colour.light();
    RGBColor(r, g, b)
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

    /// How wide a text is drawn, in pixels at scale 1.
    fn width(&self, text: &str, size: f64) -> Result<f64, DrawingAreaErrorKind<DB::ErrorType>> {
        let style = self.font(size).color(&rgb(Colour::Ink));
        Ok(f64::from(self.area.estimate_text_size(text, &style)?.0) / self.scale)
    }

    /// The text, or as much of its two ends as fits with an ellipsis between.
    fn fit(&self, text: &str, size: f64, width: f64) -> Result<String, DrawingAreaErrorKind<DB::ErrorType>> {
        let text = shortened(text, MAX_CHARS);
        let mut shown = text.clone();
        let mut most = text.chars().count();
        loop {
            let drawn = self.width(&shown, size)?;
            if drawn <= width || most <= 2 {
                return Ok(shown);
            }
            // Close to what fits in one step, then character by character.
            most = ((most as f64 * width / drawn).ceil() as usize).clamp(2, most - 1);
            shown = shortened(&text, most);
        }
    }

    fn line(&self, points: &[(f64, f64)], colour: Colour, width: f64) -> Drawn<DB> {
        if points.len() < 2 {
            return Ok(());
        }
        let style = rgb(colour).stroke_width((width * self.scale).round().max(1.0) as u32);
        let path: Vec<_> = points.iter().map(|&point| self.at(point)).collect();
        self.area.draw(&PathElement::new(path, style))
    }

    fn bar(&self, corner: (f64, f64), other: (f64, f64), colour: Colour) -> Drawn<DB> {
        self.area.draw(&Rectangle::new([self.at(corner), self.at(other)], rgb(colour).filled()))
    }

    fn disc(&self, at: (f64, f64), radius: f64, colour: Colour) -> Drawn<DB> {
        self.area.draw(&Circle::new(self.at(at), (radius * self.scale).round() as i32, rgb(colour).filled()))
    }

    fn panel(&self, frame: &Frame) -> Drawn<DB> {
        let panel = frame.panel;
        let title = self.fit(&panel.title, 13.0, frame.title_right - frame.left)?;
        self.text(&title, (frame.left, frame.title_y), 13.0, Colour::Ink, HPos::Left)?;
        self.axes(frame)?;
        for series in &panel.series {
            self.series(frame, series)?;
        }
        self.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], Colour::Faded, 1.0)?;
        self.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], Colour::Faded, 1.0)?;
        match frame.legend_x {
            Some(left) => self.legend_beside(frame, left),
            None => self.legend_above(frame),
        }
    }

    fn axes(&self, frame: &Frame) -> Drawn<DB> {
        let (x, y) = (&frame.panel.x, &frame.panel.y);
        let mut free = frame.word_left;
        for tick in &x.ticks {
            let at = frame.x(tick.at);
            self.line(&[(at, frame.top), (at, frame.bottom)], Colour::Grid, 0.5)?;
            let width = self.width(&tick.label, 11.0)?;
            let left = (at - width / 2.0).min(frame.word_right - width);
            if !tick.label.is_empty() && left >= free {
                self.text(&tick.label, (left, frame.bottom + 13.0), 11.0, Colour::Faded, HPos::Left)?;
                free = left + width + WORD_GAP;
            }
        }
        let mut ceiling = f64::INFINITY;
        for tick in &y.ticks {
            let at = frame.y(tick.at);
            self.line(&[(frame.left, at), (frame.right, at)], Colour::Grid, 0.5)?;
            if !tick.label.is_empty() && (at - ceiling).abs() >= WORD_HEIGHT {
                let label = self.fit(&tick.label, 11.0, frame.left - frame.word_left - 8.0)?;
                self.text(&label, (frame.left - 8.0, at), 11.0, Colour::Faded, HPos::Right)?;
                ceiling = at;
            }
        }
        let middle = (frame.left + frame.right) / 2.0;
        let label = self.fit(&x.label, 12.0, frame.word_right - frame.left)?;
        self.text(&label, (middle, frame.bottom + 32.0), 12.0, Colour::Ink, HPos::Center)?;
        self.upright(y, frame)
    }

    /// The name of the vertical axis, read from the bottom up.
    fn upright(&self, axis: &Axis, frame: &Frame) -> Drawn<DB> {
        let label = self.fit(&axis.label, 12.0, frame.bottom - frame.top + 30.0)?;
        let style = self
            .font(12.0)
            .transform(FontTransform::Rotate270)
            .color(&rgb(Colour::Ink))
            .pos(Pos::new(HPos::Center, VPos::Center));
        let at = (frame.word_left - 12.0 + self.sink * 12.0, (frame.top + frame.bottom) / 2.0);
        self.area.draw(&Text::new(label, self.at(at), style))
    }

    fn series(&self, frame: &Frame, series: &Series) -> Drawn<DB> {
        let sound: Vec<_> =
            series.points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
        let points: Vec<_> = sound.iter().map(|&point| frame.inside(point)).collect();
        match series.mark {
            Mark::Bars(width) => {
                for (&(at, _), &(_, top)) in sound.iter().zip(&points) {
                    let (left, right) = (frame.x(at - width / 2.0), frame.x(at + width / 2.0));
                    // A bar that is there is seen, however low it is and however many there are.
                    let left = left.clamp(frame.left, frame.right - 1.0);
                    let right = right.clamp(left + 1.0, frame.right.max(left + 1.0));
                    self.bar((left, top.min(frame.bottom - 1.0)), (right, frame.bottom), series.colour)?;
                }
                Ok(())
            }
            Mark::Cells(width, height) => {
                for &(x, y) in &sound {
                    let (left, top) = frame.inside((x - width / 2.0, y + height / 2.0));
                    let (right, bottom) = frame.inside((x + width / 2.0, y - height / 2.0));
                    self.bar((left, top), (right.max(left + 0.5), bottom.max(top + 0.5)), series.colour)?;
                }
                Ok(())
            }
            Mark::Points => points.iter().try_for_each(|&point| self.disc(point, 3.5, series.colour)),
            stroke => self.stroke(&points, stroke, series.colour, 1.75),
        }
    }

    /// A line, whole or broken. One of a single point is a dot: what is there is seen.
    fn stroke(&self, points: &[(f64, f64)], mark: Mark, colour: Colour, width: f64) -> Drawn<DB> {
        if let [only] = points {
            return self.disc(*only, 2.5, colour);
        }
        let pattern: &[f64] = match mark {
            Mark::Dashes => &[6.0, 4.0],
            Mark::Dots => &[1.5, 3.5],
            Mark::DashDots => &[8.0, 3.0, 1.5, 3.0],
            _ => return self.line(points, colour, width),
        };
        self.broken(points, pattern, colour, width)
    }

    /// A line of strokes and gaps of the given lengths in turn, measured along it.
    fn broken(&self, points: &[(f64, f64)], pattern: &[f64], colour: Colour, width: f64) -> Drawn<DB> {
        let (mut turn, mut left, mut stroke) = (0, pattern[0], Vec::from_iter(points.first().copied()));
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
                if turn % 2 == 0 {
                    self.line(&stroke, colour, width)?;
                }
                turn = (turn + 1) % pattern.len();
                left = pattern[turn];
                stroke = vec![from];
            }
        }
        if turn % 2 == 0 { self.line(&stroke, colour, width) } else { Ok(()) }
    }

    fn legend_beside(&self, frame: &Frame, left: f64) -> Drawn<DB> {
        for (i, key) in frame.panel.legend.iter().enumerate() {
            let y = frame.top + 8.0 + 18.0 * i as f64;
            let text = self.swatch(key, (left, y), SWATCH)?;
            let shown = self.fit(&key.text, 11.5, f64::from(WIDTH) - text - 6.0)?;
            self.text(&shown, (text, y), 11.5, Colour::Ink, HPos::Left)?;
        }
        Ok(())
    }

    /// The legend in the line above the area, as much of it as there is room for.
    fn legend_above(&self, frame: &Frame) -> Drawn<DB> {
        let (mut x, y) = (frame.word_left - 20.0, frame.top - 15.0);
        for key in &frame.panel.legend {
            let room = frame.title_right - x - NARROW_SWATCH - 8.0;
            if room < 40.0 {
                break;
            }
            let shown = self.fit(&key.text, 10.5, room)?;
            let text = self.swatch(key, (x, y), NARROW_SWATCH)?;
            self.text(&shown, (text, y), 10.5, Colour::Ink, HPos::Left)?;
            x = text + self.width(&shown, 10.5)? + 12.0;
        }
        Ok(())
    }

    /// Draws what a key explains; where its text begins.
    fn swatch(&self, key: &Key, (left, y): (f64, f64), width: f64) -> Result<f64, DrawingAreaErrorKind<DB::ErrorType>> {
        let Some((colour, mark)) = key.swatch else { return Ok(left) };
        match mark {
            Mark::Bars(_) | Mark::Cells(..) => {
                self.bar((left + width - 18.0, y - 5.0), (left + width - 4.0, y + 5.0), colour)?;
            }
            Mark::Points => self.disc((left + width / 2.0, y), 3.5, colour)?,
            stroke => self.stroke(&[(left, y), (left + width, y)], stroke, colour, 2.5)?,
        }
        Ok(left + width + 8.0)
    }
}

#[cfg(test)]
mod tests;
