//! Pictures as SVG and PNG, with the font inside the binary and the schema inside the file.

use std::io;
use std::sync::Once;

use plotters::prelude::{BitMapBackend, DrawingBackend, IntoDrawingArea, SVGBackend};
use plotters::style::{FontStyle, register_font};

use crate::error::{Error, Result};

use super::PLOT_SCHEMA;
use super::html::escape;
use super::layout;
use super::picture::{Mark, Picture, Series};
use super::render;

/// The family that pictures are drawn in. An SVG names it with what to fall back on: Verdana has
/// nearly the same widths.
pub const FONT: &str = "DejaVu Sans, Verdana, sans-serif";

/// Pixels of a PNG for each pixel of the layout, and the precision of an SVG's coordinates.
const SCALE: u32 = 2;

fn with_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the embedded font is a font");
    });
}

fn drawing<E: std::error::Error>(error: E) -> Error {
    Error::io(format!("cannot draw the picture: {error}"))
}

fn draw<DB: DrawingBackend>(picture: &Picture, backend: DB, sink: f64) -> Result<()> {
    let area = backend.into_drawing_area();
    render::draw(picture, &area, render::Scale { factor: f64::from(SCALE), sink }).map_err(drawing)
}

fn size(picture: &Picture) -> (u32, u32) {
    (layout::WIDTH * SCALE, layout::Plan::of(picture).height() * SCALE)
}

/// What a picture says of itself.
fn legend(picture: &Picture) -> String {
    format!("{PLOT_SCHEMA} {} by {}: {}. {}", picture.kind, crate::TOOL, picture.title, picture.subtitle)
}

/// The picture as SVG.
///
/// # Errors
/// When plotters cannot draw it.
pub fn svg(picture: &Picture) -> Result<String> {
    with_font();
    let (width, height) = size(picture);
    let mut text = String::new();
    draw(picture, SVGBackend::with_string(&mut text, (width, height)), 0.0)?;
    let open = format!("<svg width=\"{width}\" height=\"{height}\"");
    let named = format!(
        "<svg role=\"img\" aria-label=\"{}\" width=\"{}\" height=\"{}\"",
        escape(&picture.title),
        width / SCALE,
        height / SCALE
    );
    let mut text = text.replacen(&open, &named, 1);
    let cells = |series: &Series| matches!(series.mark, Mark::Cells(..));
    if picture.panels.iter().flat_map(|panel| &panel.series).any(cells) {
        // At other sizes than its own, cells side by side would show the paper between them.
        text = text.replace("<rect ", "<rect shape-rendering=\"crispEdges\" ");
    }
    let described = format!("\n<metadata>{}</metadata>\n", escape(&legend(picture)));
    Ok(match text.find('>') {
        Some(end) => format!("{}{described}{}", &text[..=end], text[end + 1..].trim_start()),
        None => text,
    })
}

/// The picture as PNG.
///
/// # Errors
/// When plotters cannot draw it.
pub fn png(picture: &Picture) -> Result<Vec<u8>> {
    with_font();
    let (width, height) = size(picture);
    let mut pixels = vec![0; width as usize * height as usize * 3];
    draw(picture, BitMapBackend::with_buffer(&mut pixels, (width, height)), BITMAP_SINK)?;
    encode(&pixels, (width, height), &legend(picture)).map_err(drawing)
}

fn encode(pixels: &[u8], (width, height): (u32, u32), legend: &str) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Default);
    // Flat areas compress best as they are.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: DOTS_PER_METRE,
        yppu: DOTS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    // A tEXt chunk holds Latin-1 only; the schema must be readable in plain bytes.
    encoder.add_text_chunk("Software".to_owned(), format!("{} {PLOT_SCHEMA}", crate::TOOL))?;
    encoder.add_itxt_chunk("Description".to_owned(), legend.to_owned())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The bitmap backend puts the middle of a line of text this much of its size too high.
const BITMAP_SINK: f64 = 0.14;

/// 96 dots an inch at scale 1.
const DOTS_PER_METRE: u32 = 3_780 * SCALE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis;
    use crate::plot::picture::{Colour, Layout, Mark, Panel, Series};

    fn picture() -> Picture {
        Picture {
            kind: "throughput",
            title: "Throughput <of> \"a\" & b".to_owned(),
            subtitle: "x.json".to_owned(),
            layout: Layout::Stack,
            panels: vec![Panel {
                title: "tier 2".to_owned(),
                height: 100,
                x: axis::from_zero_to("s", 10.0),
                y: axis::from_zero("GB/s", 3.0, 100),
                series: vec![Series {
                    colour: Colour::Blue,
                    mark: Mark::Dashes,
                    points: vec![(0.0, 1.0), (10.0, 3.0)],
                }],
                legend: Vec::new(),
            }],
        }
    }

    #[test]
    fn bytes_repeat_and_carry_the_schema() {
        let (vector, pixels) = (svg(&picture()).unwrap(), png(&picture()).unwrap());
        assert_eq!((vector.clone(), pixels.clone()), (svg(&picture()).unwrap(), png(&picture()).unwrap()));
        assert!(vector.starts_with("<svg ") && vector.contains("kvtrace.plot/1"), "{}", &vector[..300]);
        assert!(vector.contains("Throughput &lt;of&gt;") && !vector.contains("<of>"));
        assert!(pixels.starts_with(b"\x89PNG") && pixels.windows(14).any(|w| w == b"kvtrace.plot/1"));
    }

    #[test]
    fn the_png_decodes_and_holds_ink() {
        let file = png(&picture()).unwrap();
        let mut reader = png::Decoder::new(&file[..]).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), size(&picture()));
        let dark = pixels.chunks(3).filter(|p| p.iter().all(|v| *v < 0x60)).count();
        assert!(dark > 200, "no words were drawn: {dark} dark pixels");
        assert!(pixels.chunks(3).filter(|p| **p == [0x00, 0x72, 0xB2]).count() > 100, "no line was drawn");
    }
}
