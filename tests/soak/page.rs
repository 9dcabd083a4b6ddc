//! A self-contained page with a plot of each thing that was watched.

use std::fmt::Write as _;

use crate::verdict::{HELD, Soaked};

/// The page.
pub(crate) fn text(soaked: &Soaked) -> String {
    let mut page = format!("{HEAD}<h1>Soak</h1><pre>{}</pre>", escaped(&soaked.summary()));
    for (what, of, _) in HELD {
        let points: Vec<_> = soaked.samples.iter().map(|one| (one.at, of(one))).collect();
        page += &plot(what, &points);
    }
    let good: Vec<_> = soaked.laps.iter().map(|lap| (lap.at, lap.good_percent)).collect();
    page += &plot("good calls of each lap, percent", &good);
    let slow: Vec<_> = soaked.laps.iter().map(|lap| (lap.at, lap.p99.as_secs_f64())).collect();
    page += &plot("p99 of each lap, seconds", &slow);
    page + "</main></body></html>"
}

/// A line over time, from zero.
fn plot(title: &str, points: &[(f64, f64)]) -> String {
    let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(1e-9);
    let end = points.last().map_or(1.0, |(at, _)| at.max(1e-9));
    let place = |(at, value): &(f64, f64)| {
        format!("{:.1},{:.1}", at / end * WIDTH, HEIGHT - value / most * (HEIGHT - 4.0))
    };
    let line: Vec<String> = points.iter().map(place).collect();
    let mut text = String::new();
    _ = write!(
        text,
        "<h2>{title} <small>at most {most:.1}</small></h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{title}\">\
         <path class=axis d=\"M0 {HEIGHT}H{WIDTH}\"/><polyline points=\"{}\"/></svg>",
        line.join(" ")
    );
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 120.0;

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><title>Mainstay: soak</title><style>\
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:0}main{max-width:60rem;margin:0 auto;padding:1.5rem}\
small{opacity:.7;font-weight:400}svg{width:100%}polyline{fill:none;stroke:#2f7fd6;stroke-width:1.5}.axis{stroke:#888;fill:none}pre{overflow:auto}\
</style></head><body><main>";
