//! One self-contained page: for each scenario a timeline of every proxy, as inline SVG.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Cell, Results, Row, markdown, millis, percent};
use crate::figures::{BIN_MILLIS, Figures};

/// The page.
pub(crate) fn text(results: &Results) -> String {
    let mut page = String::from(HEAD);
    let versions: Vec<String> =
        results.versions.iter().map(|(system, version)| format!("{system} {version}")).collect();
    _ = write!(
        page,
        "<h1>The break suite</h1><p><code>{}</code></p><p>{}</p><p>Each column is a tenth of a second of calls, by when they were due: \
         <i class=good></i> succeeded, <i class=bad></i> failed or wrong. The break lasts from the first dashed line to the second.</p>",
        escaped(&results.typed),
        escaped(&versions.join(", "))
    );
    for row in &results.rows {
        page.push_str(&section(row));
    }
    _ = write!(
        page,
        "<h2>All figures</h2><pre>{}</pre></main></body></html>",
        escaped(&markdown::text(results))
    );
    page
}

fn section(row: &Row) -> String {
    let mut text = format!(
        "<section><h2 id=\"{0}\">{0} <small>{1}</small></h2><p>{2}</p><table><tbody>",
        escaped(&row.name),
        escaped(&row.category),
        escaped(&row.why)
    );
    for (system, cell) in &row.cells {
        _ = match cell {
            Cell::None(why) => {
                write!(
                    text,
                    "<tr><th>{system}</th><td colspan=3>left out: {}</td></tr>",
                    escaped(why)
                )
            }
            Cell::Figures(figures) => write!(
                text,
                "<tr><th>{system}</th><td class=number>{}</td><td>{}</td><td class=words>{}</td></tr>",
                percent(figures.good, figures.calls),
                timeline(row, figures),
                words(figures)
            ),
        };
    }
    text + "</tbody></table></section>"
}

fn words(figures: &Figures) -> String {
    let mut words = vec![
        format!("p50 {}, p99 {}", millis(figures.p50), millis(figures.p99)),
        format!("{:.2} requests a call", figures.amplification),
        format!("masked: {}", figures.masked),
    ];
    if let Some(recovered) = figures.recovered {
        words.push(format!("recovered: {recovered}"));
    }
    for (count, what) in
        [(figures.duplicates, "doubled"), (figures.lost, "lost"), (figures.wrong, "wrong")]
    {
        if count > 0 {
            words.push(format!("<b>{count} {what}</b>"));
        }
    }
    if let Some(explained) = figures.explained {
        words.push(if explained { "break named" } else { "break not named" }.to_owned());
    }
    let bad: Vec<String> =
        figures.bad.iter().map(|(how, count)| format!("{count} x {}", escaped(how))).collect();
    format!("{}<br><small>{}</small>", words.join(", "), bad.join(", "))
}

/// Bars of calls over time; their height is that of the fullest one.
fn timeline(row: &Row, figures: &Figures) -> String {
    let bins = (row.lasts.as_millis() / BIN_MILLIS + 1).max(1) as f64;
    let most = figures.timeline.iter().map(|(good, bad)| good + bad).max().unwrap_or(1).max(1);
    let step = WIDTH / bins;
    let place = |time: Duration| time.as_millis() as f64 / BIN_MILLIS as f64 * step;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{} good, {} bad\">",
        figures.good,
        figures.calls - figures.good
    );
    for (number, (good, bad)) in figures.timeline.iter().enumerate() {
        let high = |count: u32| f64::from(count) / f64::from(most) * HEIGHT;
        let (x, wide) = (number as f64 * step, (step - 0.5).max(0.5));
        for (class, y, height) in [
            ("good", HEIGHT - high(*good), high(*good)),
            ("bad", HEIGHT - high(*good) - high(*bad), high(*bad)),
        ] {
            if height > 0.0 {
                _ = write!(
                    svg,
                    "<rect class={class} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\"/>"
                );
            }
        }
    }
    let (from, to) = row.window;
    for at in [Some(from), to].into_iter().flatten() {
        _ = write!(svg, "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>", place(at));
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 36.0;

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Mainstay: the break suite</title><style>\
:root{color-scheme:light dark;--good:#2f9e68;--bad:#d6336c;--line:#888}\
body{font:15px/1.45 system-ui,sans-serif;margin:0}main{max-width:72rem;margin:0 auto;padding:1.5rem}\
section{margin:2rem 0}h2{margin:0 0 .2rem}small{opacity:.75;font-weight:400}p{margin:.2rem 0 .6rem}\
table{border-collapse:collapse}th{text-align:left;font-weight:600;padding-right:1rem;white-space:nowrap}td,th{padding-top:.2rem;vertical-align:middle}\
.number{text-align:right;padding-right:.8rem;font-variant-numeric:tabular-nums;white-space:nowrap}.words{padding-left:.8rem;font-size:.86rem}\
rect.good,i.good{fill:var(--good);background:var(--good)}rect.bad,i.bad{fill:var(--bad);background:var(--bad)}\
i{display:inline-block;width:.8em;height:.8em}line{stroke:var(--line);stroke-dasharray:3 2}pre{overflow:auto;font-size:.8rem}\
</style></head><body><main>";
