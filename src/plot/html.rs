//! The bricks of the HTML page: escaped text, tables, and the sheet of styles.

use std::fmt::Write;

use super::picture::Colour;

/// Text as it may stand in HTML, in an attribute or in XML. Control characters that XML does not
/// allow become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A table: the first `words` columns are words, the others numbers. Nothing when it has no rows.
pub fn table(head: &[&str], words: usize, rows: &[Vec<String>]) -> String {
    marked_table(head, words, rows, &[])
}

/// A table with some of its rows marked as bad.
pub fn marked_table(head: &[&str], words: usize, rows: &[Vec<String>], marked: &[bool]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = |column: usize| if column < words { "" } else { " class=\"n\"" };
    let mut out = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    for (i, name) in head.iter().enumerate() {
        let _ = write!(out, "<th{}>{}</th>", class(i), escape(name));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (i, row) in rows.iter().enumerate() {
        out.push_str(if marked.get(i) == Some(&true) { "<tr class=\"missed\">" } else { "<tr>" });
        let missing = head.len().saturating_sub(row.len());
        let cells = row.iter().map(String::as_str).chain(std::iter::repeat_n("", missing));
        for (i, cell) in cells.enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(i), escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// Names and values, one pair a line.
pub fn facts(pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let line = |(name, value): &(String, String)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value));
    format!("<dl>\n{}</dl>\n", pairs.iter().map(line).collect::<String>())
}

/// A section with its heading; nothing when it has no content.
pub fn section(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{content}</section>\n", escape(heading))
}

/// A paragraph.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A list; nothing when it has no items.
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let line = |item: &T| format!("<li>{}</li>\n", escape(item.as_ref()));
    format!("<ul>\n{}</ul>\n", items.iter().map(line).collect::<String>())
}

/// The style sheet. Pictures name their colours outright, so that an SVG taken out of the page
/// is whole; on dark paper each of those colours is replaced by its dark twin.
pub fn style() -> String {
    let mut sheet = SHEET.trim_start().to_owned();
    sheet.push_str("@media screen and (prefers-color-scheme: dark) {\n");
    sheet.push_str(DARK);
    for colour in Colour::ALL {
        let [light, dark] = [colour.light(), colour.dark()].map(|[r, g, b]| format!("#{r:02X}{g:02X}{b:02X}"));
        let _ = writeln!(
            sheet,
            "svg [fill=\"{light}\"] {{ fill: {dark}; }} svg [stroke=\"{light}\"] {{ stroke: {dark}; }}"
        );
    }
    sheet.push_str("}\n");
    sheet
}

const SHEET: &str = r#"
:root { color-scheme: light dark; --ink: #1f2328; --faded: #59636e; --line: #d1d9e0; --paper: #ffffff; --band: #f4f6f8;
  --good: #1a7f4b; --bad: #b3261e; --badpaper: #fdecea; --note: #8a5a00; --notepaper: #fff6e0; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 "DejaVu Sans", Verdana, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p { margin: .4rem 0; }
.sub { color: var(--faded); overflow-wrap: anywhere; }
.verdict { margin: 1.25rem 0 .75rem; padding: .8rem 1rem; border: 1px solid var(--line); border-left: 6px solid var(--good);
  background: var(--band); border-radius: 4px; }
.verdict strong { font-size: 1.15rem; }
.bad { border-left-color: var(--bad); background: var(--badpaper); }
.bad strong { color: var(--bad); }
.note { border-left-color: var(--note); background: var(--notepaper); }
.verdict ul { margin: .4rem 0 0; padding-left: 1.2rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.card { border: 1px solid var(--line); border-radius: 4px; padding: .5rem .7rem; }
.card b { display: block; font-size: 1.2rem; white-space: nowrap; }
.card span { color: var(--faded); font-size: .82rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .86rem; min-width: 60%; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
th { color: var(--faded); font-weight: 600; }
.missed td { background: var(--badpaper); } .missed td:last-child { color: var(--bad); font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .15rem 1.2rem; font-size: .88rem; margin: .6rem 0; }
dt { color: var(--faded); }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; border: 1px solid var(--line); border-radius: 4px; }
figure svg { display: block; width: 100%; min-width: 46rem; height: auto; }
h4 { font-size: .9rem; margin: .8rem 0 .3rem; }
.bar { display: flex; height: 1.5rem; border-radius: 3px; overflow: hidden; margin: .3rem 0; }
.bar i { display: block; min-width: 1px; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .35rem; vertical-align: -.05rem; }
.keys { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; } .part { white-space: nowrap; }
.c0 { background: #0072b2; } .c1 { background: #56b4e9; } .c2 { background: #e69f00; } .c3 { background: #f5cf78; }
.c4 { background: #8c959f; } .c5 { background: #009e73; } .c6 { background: #cc79a7; } .c7 { background: #f0a868; }
.c8 { background: #d55e00; }
pre { overflow-x: auto; padding: .7rem .9rem; background: var(--band); border: 1px solid var(--line); border-radius: 4px;
  font: 12.5px/1.45 "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } h2 { break-after: avoid; }
  figure, .verdict, .card, tr { break-inside: avoid; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .wide, figure { overflow: visible; } figure svg { min-width: 0; } table { font-size: .7rem; }
  th, td { padding-right: .4rem; } th, td:not(.n) { white-space: normal; } .bar, .key, .verdict, .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
@media (max-width: 40rem) { body { padding: 1rem .8rem 3rem; } dl { grid-template-columns: 1fr; } dd { margin: 0 0 .3rem; }
  table { min-width: 100%; } }
"#;

const DARK: &str = ":root { --ink: #e6edf3; --faded: #9aa4af; --line: #333a43; --paper: #0d1117; --band: #161b22;
  --good: #3fb950; --bad: #ff7b72; --badpaper: #2d1416; --note: #e3b341; --notepaper: #2a2110; }
.c0 { background: #3d9be0; } .c1 { background: #8cd0f5; } .c2 { background: #f2bc40; } .c3 { background: #a8842e; }
.c4 { background: #6e7781; } .c5 { background: #2bc498; } .c6 { background: #e09ac2; } .c7 { background: #b9713a; }
.c8 { background: #f07c28; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let evil = "<script>alert('x')</script>\u{0}\"&";
        let page = [
            table(&["a"], 1, &[vec![evil.to_owned()]]),
            facts(&[(evil.to_owned(), evil.to_owned())]),
            section(evil, "x"),
            list(&[evil]),
            paragraph(evil),
        ]
        .concat();
        assert!(!page.contains("<script") && !page.contains('\u{0}') && !page.contains("alert('"), "{page}");
    }
}
