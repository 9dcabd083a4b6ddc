//! Curves over time as SVG: a frame, shaded faults, a legend; nothing that a browser has to fetch or run. The same
//! numbers give the same bytes everywhere, so logarithms are the simulator's own.

use std::fmt::Write as _;

use mainstay_sim::exact;

/// A chart over time.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// Whose curves they are, where charts are compared.
    pub(super) of: Option<&'a str>,
    /// What its numbers are.
    pub(super) unit: &'a str,
    pub(super) curves: Vec<Curve<'a>>,
    /// The top of the scale; shared by charts that are compared.
    pub(super) top: f64,
    /// Whether the scale is logarithmic, from 1 on.
    pub(super) logarithmic: bool,
    /// When something was broken, as shares of the time.
    pub(super) faults: &'a [(f64, f64)],
    /// The length of the time, in seconds.
    pub(super) seconds: f64,
}

/// One curve; a `None` is a gap.
pub(super) struct Curve<'a> {
    pub(super) name: &'a str,
    /// The class that colours it: good, bad, calm, loud.
    pub(super) class: &'a str,
    pub(super) values: Vec<Option<f64>>,
}

impl Chart<'_> {
    pub(super) fn svg(&self) -> String {
        let mut svg = String::new();
        self.write(&mut svg);
        svg
    }

    fn write(&self, out: &mut String) {
        let (width, height) = (LEFT + WIDTH + RIGHT, ABOVE + HEIGHT + BELOW);
        // Writing to a text can't fail.
        let mut put = |text: String| out.push_str(&text);
        put(format!(
            "<figure><figcaption>{}{}, {}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            self.of.map(|of| format!("{of}: ")).unwrap_or_default(),
            self.title,
            self.unit,
            self.title
        ));
        for (from, to) in self.faults {
            put(format!(
                "<rect class=\"fault\" x=\"{:.1}\" y=\"{ABOVE}\" width=\"{:.1}\" height=\"{HEIGHT}\"/>",
                x(*from),
                (to - from) * WIDTH
            ));
        }
        for value in self.lines() {
            let y = self.y(value);
            put(format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT + WIDTH,
                LEFT - 6.0,
                y + 4.0,
                number(value)
            ));
        }
        for second in steps(self.seconds, 6.0) {
            put(format!(
                "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} s</text>",
                x(second / self.seconds),
                ABOVE + HEIGHT + 16.0,
                number(second)
            ));
        }
        for curve in &self.curves {
            put(format!(
                "<path class=\"curve {}\" d=\"{}\"/>",
                curve.class,
                self.path(&curve.values)
            ));
        }
        put("</svg><p class=\"legend\">".to_owned());
        for curve in &self.curves {
            put(format!("<span class=\"{}\">{}</span>", curve.class, curve.name));
        }
        put("</p></figure>".to_owned());
    }

    fn path(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut is_drawing = false;
        for (place, value) in values.iter().enumerate() {
            let Some(value) = value else {
                is_drawing = false;
                continue;
            };
            let at = x((place as f64 + 0.5) / values.len() as f64);
            let verb = if is_drawing { 'L' } else { 'M' };
            // Writing to a text can't fail.
            let _ = write!(path, "{verb}{at:.1} {:.1}", self.y(*value));
            is_drawing = true;
        }
        path
    }

    /// Where lines are drawn across.
    fn lines(&self) -> Vec<f64> {
        if !self.logarithmic {
            return steps(self.top, 4.0);
        }
        std::iter::successors(Some(1.0), |last| Some(last * 10.0))
            .take_while(|line| *line <= self.top)
            .collect()
    }

    fn y(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            exact::ln(value.max(1.0)) / exact::ln(self.top.max(10.0))
        } else {
            value / self.top.max(f64::MIN_POSITIVE)
        };
        ABOVE + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

fn x(share: f64) -> f64 {
    LEFT + share * WIDTH
}

/// Round numbers from 0 up to `top`, at most about `count` of them.
fn steps(top: f64, count: f64) -> Vec<f64> {
    let rough = (top / count).max(1e-9);
    // From 0.001 up: 1, 2, 5, 10, ... thousandths.
    let decades = std::iter::successors(Some(0.001), |last| Some(last * 10.0)).take(15);
    let mut row = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|n| n * decade));
    let step = row.find(|step| *step >= rough * 0.9999).unwrap_or(rough);
    // Counted, since sums of fractions drift.
    (0..=20).map(|n| f64::from(n) * step).take_while(|value| *value <= top * 1.0001).collect()
}

fn number(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{}k", value / 1e3)
    } else {
        format!("{}", (value * 1e3).round() / 1e3)
    }
}

const LEFT: f64 = 48.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 8.0;
const BELOW: f64 = 24.0;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 150.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_numbers() {
        assert_eq!(steps(100.0, 4.0), [0.0, 50.0, 100.0]);
        assert_eq!(steps(0.9, 4.0), [0.0, 0.5]);
        assert_eq!(steps(300.0, 6.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]);
    }

    #[test]
    fn a_gap_interrupts_a_curve() {
        let chart = Chart {
            title: "t",
            of: None,
            unit: "u",
            curves: Vec::new(),
            top: 10.0,
            logarithmic: false,
            faults: &[],
            seconds: 1.0,
        };
        let path = chart.path(&[Some(0.0), Some(10.0), None, Some(5.0)]);
        assert_eq!(path, "M118.0 158.0L258.0 8.0M538.0 83.0");
    }
}
