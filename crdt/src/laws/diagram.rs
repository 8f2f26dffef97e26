//! A failure as a space-time diagram: in text, and as a picture.

use std::collections::BTreeSet;
use std::fmt;

use super::Subject;
use super::run::{Failure, Trace};
use super::schedule::REPLICAS;

impl<T: Subject> Failure<T> {
    fn replicas(&self) -> usize {
        let used = self.trace.iter().flat_map(|trace| [trace.at, trace.from]).flatten().max();
        used.map_or(1, |last| last + 1).min(REPLICAS)
    }

    /// The dots on which the replicas differ at the end: one of them has it live, another does not.
    #[must_use]
    pub fn guilty_dots(&self) -> BTreeSet<String> {
        let Some(last) = self.trace.last() else { return BTreeSet::new() };
        let live = &last.live[..self.replicas()];
        let any: BTreeSet<_> = live.iter().flatten().cloned().collect();
        let differ = |dot: &String| live.iter().any(|dots| !dots.contains(dot));
        let guilty: BTreeSet<_> = any.iter().filter(|dot| differ(dot)).cloned().collect();
        if guilty.is_empty() { any } else { guilty }
    }

    /// The diagram as an SVG picture: time runs to the right, one line for each replica, arrows where news travels.
    #[must_use]
    pub fn to_svg(&self) -> String {
        const COLUMN: usize = 190;
        const ROW: usize = 90;
        let (width, height) = (COLUMN * (self.trace.len() + 1), ROW * self.replicas() + 70);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"monospace\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let y = |replica: usize| ROW * replica + 50;
        for replica in 0..self.replicas() {
            let (name, y) = (char::from(b'a' + replica as u8), y(replica));
            svg += &format!("<text x=\"8\" y=\"{y}\">{name}</text><path d=\"M24 {y}H{width}\" stroke=\"silver\"/>\n");
        }
        for (column, trace) in self.trace.iter().enumerate() {
            let x = COLUMN * column + 60;
            let Some(at) = trace.at else { continue };
            if let Some(from) = trace.from.filter(|from| *from != at) {
                svg += &format!(
                    "<path d=\"M{} {}L{x} {}\" stroke=\"steelblue\"/>\n",
                    x.saturating_sub(40),
                    y(from),
                    y(at)
                );
            }
            let colour = if column + 1 == self.after { "crimson" } else { "black" };
            let (step, value) = (escaped(&trace.step), escaped(&trace.values[at]));
            svg += &format!("<circle cx=\"{x}\" cy=\"{}\" r=\"4\" fill=\"{colour}\"/>\n", y(at));
            svg += &format!("<text x=\"{x}\" y=\"{}\">{step}</text>\n", y(at) - 10);
            svg += &format!("<text x=\"{x}\" y=\"{}\" fill=\"{colour}\">{value}</text>\n", y(at) + 20);
        }
        let law = escaped(&self.law);
        svg + &format!("<text x=\"8\" y=\"{}\" fill=\"crimson\">{law}</text>\n</svg>\n", height - 15)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl<T: Subject> fmt::Display for Failure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:?} news), after {} of {} steps:", self.law, self.mode, self.after, self.steps.len())?;
        let replicas = self.replicas();
        let width = |column: &dyn Fn(&Trace) -> usize| self.trace.iter().map(column).max().unwrap_or(0).max(4);
        let step_width = width(&|trace| trace.step.chars().count());
        let widths: Vec<usize> =
            (0..replicas).map(|replica| width(&|trace| trace.values[replica].chars().count())).collect();
        let mut line = format!("      {:step_width$}", "");
        for (replica, width) in widths.iter().enumerate() {
            line += &format!("  | {:width$}", char::from(b'a' + replica as u8));
        }
        writeln!(f, "{}", line.trim_end())?;
        for (at, trace) in self.trace.iter().enumerate() {
            let mark = if at + 1 == self.after { '*' } else { ' ' };
            let mut line = format!("{mark}{:>4} {:step_width$}", at + 1, trace.step);
            for (replica, width) in widths.iter().enumerate() {
                let value = &trace.values[replica];
                let arrow = match (trace.at == Some(replica), trace.from == Some(replica)) {
                    (true, _) => '>',
                    (_, true) => '~',
                    _ => ' ',
                };
                line += &format!("  |{arrow}{value:width$}");
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        let guilty = self.guilty_dots();
        if !guilty.is_empty() {
            writeln!(f, "dots in question: {}", guilty.into_iter().collect::<Vec<_>>().join(", "))?;
        }
        match self.seed {
            Some(seed) => write!(f, "again: CRDT_LAWS_SEED={seed}, and the same test"),
            None => write!(f, "again: the same test tries all short schedules"),
        }
    }
}

impl<T: Subject> fmt::Debug for Failure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
