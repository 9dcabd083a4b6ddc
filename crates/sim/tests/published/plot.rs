//! A picture for the manual: curves over an axis, as SVG, the same bytes everywhere.

use std::fmt::Write as _;

/// Curves over a common axis.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_unit: &'a str,
    /// The largest number of each axis, and how many lines divide it.
    pub(crate) x: (f64, u32),
    pub(crate) y: (f64, u32),
    pub(crate) shaded: Option<(f64, f64)>,
    pub(crate) curves: Vec<(&'a str, Vec<(f64, f64)>)>,
}

impl Plot<'_> {
    pub(crate) fn svg(&self) -> String {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 300\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>{0}</title>\n<rect width=\"720\" height=\"300\" fill=\"#fff\"/>\n<text x=\"50\" y=\"18\">{0}</text>\n",
            self.title
        );
        if let Some((from, to)) = self.shaded {
            let (left, right) = (self.at(from, 0.0).0, self.at(to, 0.0).0);
            line(
                &mut out,
                format_args!(
                    "<rect x=\"{left:.1}\" y=\"30\" width=\"{:.1}\" height=\"230\" fill=\"#f4e3c8\"/>",
                    right - left
                ),
            );
        }
        for step in 0..=self.y.1 {
            let value = self.y.0 * f64::from(step) / f64::from(self.y.1);
            let y = self.at(0.0, value).1;
            line(
                &mut out,
                format_args!(
                    "<path d=\"M50 {y:.1}H560\" stroke=\"#ddd\"/><text x=\"44\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                    y + 4.0
                ),
            );
        }
        for step in 0..=self.x.1 {
            let value = self.x.0 * f64::from(step) / f64::from(self.x.1);
            let x = self.at(value, 0.0).0;
            line(
                &mut out,
                format_args!("<text x=\"{x:.1}\" y=\"278\" text-anchor=\"middle\">{value}</text>"),
            );
        }
        line(
            &mut out,
            format_args!("<text x=\"560\" y=\"295\" text-anchor=\"end\">{}</text>", self.x_unit),
        );
        for (number, (name, points)) in self.curves.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<_> = points
                .iter()
                .map(|(x, y)| {
                    let (x, y) = self.at(*x, *y);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            line(
                &mut out,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
                    path.join(" ")
                ),
            );
            line(
                &mut out,
                format_args!(
                    "<text x=\"572\" y=\"{}\" fill=\"{colour}\">{name}</text>",
                    46 + 18 * number
                ),
            );
        }
        out.push_str("</svg>\n");
        out
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (50.0 + 510.0 * x / self.x.0, 260.0 - 230.0 * (y / self.y.0).min(1.0))
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").unwrap();
}

const COLOURS: [&str; 5] = ["#17803d", "#2563a8", "#c2621b", "#c0262d", "#7a3fb0"];
