//! The report that is looked at in a browser: one file, no scripts, nothing from elsewhere.

use std::time::Duration;

use mainstay_sim::outcome::Point;
use mainstay_sim::{Report, World};

use super::chart::{Chart, Curve};
use super::table::{self, Table};

/// The page.
pub(super) fn page(world: &World, reports: &[Report]) -> String {
    let title = escaped(&world.name);
    let details = escaped(&Table { world, reports }.to_string());
    let spans = spans(world);
    let names: Vec<_> = reports.iter().map(|report| escaped(&report.policy)).collect();
    let mut body = String::new();
    for draw in CHARTS {
        body.push_str("<section>");
        for chart in charts(draw, world, reports, (&names, &spans)) {
            body.push_str(&chart.svg());
        }
        body.push_str("</section>\n");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p>{}. Seed {}. Shaded: something is broken, or there is more load.</p>\n\
         {}\n{body}<details><summary>As the terminal shows it</summary><pre>{details}</pre></details>\n</body>\n</html>\n",
        escaped(&world.about),
        world.seed,
        summary(reports)
    )
}

fn summary(reports: &[Report]) -> String {
    let columns: Vec<_> = reports.iter().map(table::rows).collect();
    let heads: String =
        reports.iter().map(|report| format!("<th>{}</th>", escaped(&report.policy))).collect();
    let names = columns.first().into_iter().flatten().map(|(name, _)| *name);
    let rows: String = names
        .enumerate()
        .map(|(place, name)| {
            let values = columns.iter().filter_map(|column| column.get(place));
            let cells: String =
                values.map(|(_, value)| format!("<td>{}</td>", escaped(value))).collect();
            format!("<tr><th>{name}</th>{cells}</tr>\n")
        })
        .collect();
    format!("<table><tr><th></th>{heads}</tr>\n{rows}</table>")
}

/// One chart, for a report.
struct Kind {
    title: &'static str,
    unit: &'static str,
    logarithmic: bool,
    /// The least top of the scale.
    least: f64,
    curves: fn(&Report) -> Vec<Curve<'static>>,
}

const CHARTS: &[&Kind] = &[
    &Kind {
        title: "Success",
        unit: "% of the calls that ended",
        logarithmic: false,
        least: 100.0,
        curves: |report| vec![curve("ended well", "good", report, success)],
    },
    &Kind {
        title: "Latency",
        unit: "ms to the head of a good answer",
        logarithmic: true,
        least: 1000.0,
        curves: |report| {
            vec![
                curve("half of them", "calm", report, |it, _| millis(it, it.latency.p50)),
                curve("99 %", "loud", report, |it, _| millis(it, it.latency.p99)),
            ]
        },
    },
    &Kind {
        title: "Calls and attempts",
        unit: "a second",
        logarithmic: false,
        least: 1.0,
        curves: |report| {
            vec![
                curve("attempts", "loud", report, |it, width| Some(it.attempts as f64 / width)),
                curve("calls that began", "calm", report, |it, width| {
                    Some(it.started as f64 / width)
                }),
                curve("calls that failed", "bad", report, |it, width| Some(it.bad as f64 / width)),
            ]
        },
    },
    &Kind {
        title: "Waiting at servers",
        unit: "requests",
        logarithmic: false,
        least: 1.0,
        curves: |report| {
            vec![curve("most at a time", "calm", report, |it, _| Some(it.waiting as f64))]
        },
    },
];

fn charts<'a>(
    kind: &'a Kind,
    world: &World,
    reports: &'a [Report],
    (names, faults): (&'a [String], &'a [(f64, f64)]),
) -> Vec<Chart<'a>> {
    let drawn: Vec<Vec<Curve<'_>>> = reports.iter().map(|report| (kind.curves)(report)).collect();
    let values = drawn.iter().flatten().flat_map(|curve| curve.values.iter().flatten().copied());
    // One scale for all, or the comparison would deceive.
    let top = values.fold(kind.least, f64::max);
    drawn
        .into_iter()
        .zip(names)
        .map(|(curves, name)| Chart {
            title: kind.title,
            of: (names.len() > 1).then_some(name.as_str()),
            unit: kind.unit,
            curves,
            top,
            logarithmic: kind.logarithmic,
            faults,
            seconds: world.duration.as_secs_f64(),
        })
        .collect()
}

fn curve(
    name: &'static str,
    class: &'static str,
    report: &Report,
    value: impl Fn(&Point, f64) -> Option<f64>,
) -> Curve<'static> {
    let width = report.width.as_secs_f64();
    Curve { name, class, values: report.points.iter().map(|point| value(point, width)).collect() }
}

fn success(point: &Point, _: f64) -> Option<f64> {
    let all = point.good + point.bad;
    (all > 0).then(|| point.good as f64 * 100.0 / all as f64)
}

fn millis(point: &Point, length: Duration) -> Option<f64> {
    (point.good > 0).then_some(length.as_secs_f64() * 1e3)
}

/// When something was broken, or there was more load, as shares of the time.
fn spans(world: &World) -> Vec<(f64, f64)> {
    let faults = world.faults.iter().map(|fault| {
        (fault.at, fault.lasting.map_or(world.duration, |lasting| fault.at + lasting))
    });
    let surges = world.load.surges.iter().map(|surge| (surge.at, surge.at + surge.lasting));
    let share = |at: Duration| at.min(world.duration).as_secs_f64() / world.duration.as_secs_f64();
    faults.chain(surges).map(|(from, to)| (share(from), share(to))).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d2330;--soft:#667085;--line:#d9dde5;--fault:#f4e3c8;--good:#17803d;--bad:#c0262d;--calm:#2563a8;--loud:#c2621b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#333a47;--fault:#4a3b20;--good:#4ccb7a;--bad:#ff6b6b;--calm:#6cb0ff;--loud:#ffa25e}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:1320px;margin:2em auto;padding:0 1em}
h1{font-size:1.4em;margin:0}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.2em 1em .2em 0;text-align:right;border-bottom:1px solid var(--line);font-weight:normal}
th:first-child{text-align:left;color:var(--soft)}
section{display:flex;flex-wrap:wrap;gap:1em}
figure{flex:1 1 480px;margin:.6em 0;max-width:900px}
figcaption{color:var(--soft)}
svg{width:100%;height:auto}
.fault{fill:var(--fault)}.grid{stroke:var(--line)}.axis{fill:var(--soft);font-size:11px}
.curve{fill:none;stroke-width:1.5;stroke-linejoin:round}
.curve.good{stroke:var(--good)}.curve.bad{stroke:var(--bad)}.curve.calm{stroke:var(--calm)}.curve.loud{stroke:var(--loud)}
.legend{margin:0}.legend span{margin-right:1.2em}.legend span::before{content:'\\2014\\00a0'}
.legend .good{color:var(--good)}.legend .bad{color:var(--bad)}.legend .calm{color:var(--calm)}.legend .loud{color:var(--loud)}
pre{overflow-x:auto}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_stands_alone_and_its_texts_are_escaped() {
        let text = "[world]\nname = \"<b>&\"\nduration = \"5s\"\n[load]\narrivals = \"constant\"\nrate = 50\n[[endpoint]]\nname = \"a\"\n[[fault]]\nat = \"1s\"\nendpoint = \"a\"\nwhat = \"refuse\"";
        let world = World::parse(text, None).unwrap();
        let policy = mainstay_sim::Policy::defaults(&world).unwrap();
        let run =
            || mainstay_sim::Simulation::new(&world, &policy, mainstay_sim::Checks::Often).run();
        let page = page(&world, &[run(), run()]);
        assert!(page.contains("<h1>&lt;b&gt;&amp;</h1>"));
        for foreign in ["<script", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 8);
    }
}
