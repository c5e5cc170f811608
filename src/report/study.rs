//! Reports of ablation studies: one setting varied, everything else kept.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::ops::Range;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};
use serde::{Deserialize, Serialize};

use super::text;
use crate::error::{Error, Result};

/// Stands where nothing was measured.
const NONE: &str = "–";
/// Looks of the page; pictures take their text colour and font from it.
const STYLE: &str = "\
:root{color-scheme:light dark;--page:#fff;--ink:#1a1a1a;--faint:#595959;--rule:#d0d0d0;\
--mark:#e2e2e2}
@media (prefers-color-scheme:dark){:root{--page:#16181b;--ink:#e8e8e8;--faint:#a8a8a8;\
--rule:#3d4044;--mark:#35393e}}
body{max-width:70rem;margin:2rem auto;padding:0 1rem;background:var(--page);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
p,figcaption,caption{max-width:46rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;font-size:.9rem}
dt{color:var(--faint)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
.table{overflow-x:auto;margin:2rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{caption-side:bottom;padding-top:.6rem}
caption,figcaption{color:var(--faint);font-size:.9rem;text-align:left}
th,td{padding:.25rem .9rem;text-align:right;white-space:nowrap;font-weight:inherit}
tr>:first-child{text-align:left;border-right:1px solid var(--rule)}
thead th{border-top:2px solid var(--ink);border-bottom:1px solid var(--ink)}
tbody tr:last-child>*{border-bottom:2px solid var(--ink)}
tr.default>*{background:var(--mark)}
small{color:var(--faint)}
figure{margin:2rem 0}
figcaption{margin-top:.6rem}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}
.panels>*{max-width:30rem}
svg{display:block;width:100%;height:auto}
svg text{fill:currentColor;font-family:inherit;font-variant-numeric:tabular-nums}
.line text{paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round}
@media print{body{max-width:none}tr.default>*{print-color-adjust:exact}}
";

/// Width of a picture, and height of one over an axis.
const WIDTH: i32 = 400;
const HEIGHT: i32 = 300;
/// Height of a row of dots; of the heading, of an axis's numbers and of its name.
const ROW: i32 = 30;
const HEADING: i32 = 40;
const NUMBERS: i32 = 24;
const NAME: i32 = 22;
/// Room beside the dots: for the numbers of the axis to their left, and for a mean to their right.
const LEFT: i32 = 48;
const RIGHT: i32 = 44;
const LONGEST_LABEL: i32 = 150;
const GAP: i32 = 8;
/// Radius of a mean's dot, of a single seed's, and of the grey one behind the default's mean.
const LARGE: u32 = 5;
const SMALL: u32 = 3;
const HALO: u32 = 10;
/// Font size.
const TEXT: f64 = 17.0;
/// Both stand out on white and on black.
const BLUE: RGBColor = RGBColor(58, 130, 196);
const GREY: RGBColor = RGBColor(128, 128, 128);

/// One line of a study: a setting and what was measured for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The setting, e.g. `75 %`.
    pub label: String,
    /// Its place on the study's axis, if it is a number.
    pub x: Option<f64>,
    /// Whether it is what is used where another setting is varied.
    pub is_default: bool,
    /// For each measure its value by seed, as shares in [0, 1], the larger the better. A measure may
    /// be missing, or lack seeds that others have, in a study that was interrupted.
    pub measures: BTreeMap<String, BTreeMap<u64, f64>>,
    /// Time that all seeds together took.
    pub seconds: f64,
}

impl Case {
    /// What is known of a measure, if it has a value.
    fn summary(&self, measure: &str) -> Option<Summary> {
        Summary::of(self.measures.get(measure)?.values().copied().collect())
    }
}

/// An ablation study.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The heading.
    pub title: String,
    /// What is varied, e.g. `mask ratio`.
    pub axis: String,
    /// What the paper found, in one or two sentences.
    pub paper: String,
    /// Facts, each with its name: data, model, adapter, command, seeds.
    pub notes: Vec<(String, String)>,
    /// The measures' names, in the order of their columns.
    pub measures: Vec<String>,
    /// The settings, in the order of their rows.
    pub cases: Vec<Case>,
    /// Whether settings are drawn at the logarithm of their place on the axis.
    pub log_axis: bool,
}

impl Study {
    /// A page without script and without other files: the facts, a table in the shape of the MAE
    /// paper's Table 1, and a picture of each measure: over the axis if every case has a place on
    /// it, else as rows of dots.
    ///
    /// # Errors
    /// [`Error::Argument`] when a value is no share, a place not finite, or a place on a logarithmic
    /// axis not positive.
    pub fn to_html(&self) -> Result<String> {
        self.check()?;
        let title = escape(&self.title);
        let facts: String = self.notes.iter().map(fact).collect();
        Ok(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n<p>In the paper: {}</p>\n<dl>\n{facts}</dl>\n{}{}</main>\n</body>\n\
             </html>\n",
            escape(&self.paper),
            self.table(),
            self.figure()?,
        ))
    }

    /// A table with a row for each value, in the order of cases, measures and seeds: the case's
    /// label and place (empty if it has none), the seed, the measure, and the value as a share.
    ///
    /// # Errors
    /// [`Error::Argument`] when the rows cannot be written.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        self.write_rows(&mut writer)
            .and_then(|()| writer.into_inner().map_err(|e| e.into_error().into()))
            .map_err(|e| self.problem(format!("its table cannot be written: {e}")))
    }

    fn write_rows(&self, writer: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        writer.write_record(["label", "x", "seed", "measure", "value"])?;
        for case in &self.cases {
            let x = case.x.map(|x| x.to_string()).unwrap_or_default();
            for measure in &self.measures {
                let values = case.measures.get(measure).into_iter().flatten();
                for (seed, value) in values {
                    let [seed, value] = [seed.to_string(), value.to_string()];
                    writer.write_record([&case.label, &x, &seed, measure, &value])?;
                }
            }
        }
        Ok(())
    }

    fn problem(&self, problem: String) -> Error {
        Error::argument(format!("study {:?}", self.title), problem)
    }

    fn check(&self) -> Result<()> {
        for case in &self.cases {
            let lowest = if self.log_axis { f64::MIN_POSITIVE } else { f64::MIN };
            if let Some(x) = case.x.filter(|x| !(lowest..=f64::MAX).contains(x)) {
                let axis = if self.log_axis { "a logarithmic axis" } else { "the axis" };
                return Err(self.problem(format!("{:?} is at {x}, not on {axis}", case.label)));
            }
            for (measure, values) in &case.measures {
                if let Some(value) = values.values().find(|value| !(0.0..=1.0).contains(*value)) {
                    let problem =
                        format!("{measure:?} of {:?} is {value}, not in [0, 1]", case.label);
                    return Err(self.problem(problem));
                }
            }
        }
        Ok(())
    }

    fn summaries(&self, measure: &str) -> impl Iterator<Item = Summary> {
        self.cases.iter().filter_map(move |case| case.summary(measure))
    }

    fn has_default(&self) -> bool {
        self.cases.iter().any(|case| case.is_default)
    }

    fn table(&self) -> String {
        let heads: String = std::iter::once(&self.axis)
            .chain(&self.measures)
            .map(|head| format!("<th scope=\"col\">{}</th>", escape(head)))
            .collect();
        let rows: String = self.cases.iter().map(|case| self.row(case)).collect();
        format!(
            "<div class=\"table\" role=\"region\" aria-label=\"Results\" tabindex=\"0\">\n<table>\n\
             <caption>{}</caption>\n<thead><tr>{heads}<th scope=\"col\">minutes</th></tr></thead>\n\
             <tbody>\n{rows}</tbody>\n</table>\n</div>\n",
            self.table_caption(),
        )
    }

    fn row(&self, case: &Case) -> String {
        let cells: String = self.measures.iter().map(|measure| self.cell(case, measure)).collect();
        format!(
            "<tr{}><th scope=\"row\">{}</th>{cells}<td>{:.1}</td></tr>\n",
            if case.is_default { " class=\"default\"" } else { "" },
            escape(&case.label),
            case.seconds / 60.0,
        )
    }

    fn cell(&self, case: &Case, measure: &str) -> String {
        let Some(summary) = case.summary(measure) else {
            return format!("<td>{NONE}</td>");
        };
        let best = self.summaries(measure).map(|summary| summary.mean).fold(f64::MIN, f64::max);
        let mut mean = per_cent(summary.mean);
        // As shown: whoever reads 84.9 twice sees two best ones.
        if mean == per_cent(best) {
            mean = format!("<b>{mean}</b>");
        }
        match summary.deviation() {
            Some(deviation) => {
                format!("<td>{mean} <small>± {}</small></td>", per_cent(deviation))
            }
            None => format!("<td>{mean}</td>"),
        }
    }

    fn table_caption(&self) -> String {
        let seeds = || {
            let measures = self.measures.iter();
            measures.flat_map(|measure| self.summaries(measure)).map(|s| s.values.len())
        };
        let mut caption = match (seeds().min().unwrap_or(1), seeds().max().unwrap_or(1)) {
            (_, 1) => "Per cent, of a single seed each.".to_owned(),
            (least, most) => {
                let range =
                    if least < most { format!("{least} to {most}") } else { most.to_string() };
                format!("Per cent: mean ± standard deviation (n − 1) of {range} seeds.")
            }
        };
        caption += " The best of each column is bold";
        caption += if self.has_default() { ", the default setting grey." } else { "." };
        caption
    }

    fn figure(&self) -> Result<String> {
        let panels: Vec<Panel> =
            self.measures.iter().filter_map(|measure| self.panel(measure)).collect();
        if panels.is_empty() {
            return Ok(String::new());
        }
        let mut pictures = String::new();
        for panel in &panels {
            let svg = panel.svg().map_err(|e| self.problem(format!("cannot be drawn: {e}")))?;
            let about = escape(&format!("{} by {}, as in the table", panel.measure, self.axis));
            let class = if panel.is_line { " class=\"line\"" } else { "" };
            pictures += &format!("<div{class} role=\"img\" aria-label=\"{about}\">\n{svg}</div>\n");
        }
        let seeds =
            panels.iter().flat_map(|panel| &panel.places).any(|place| place.values.len() > 1);
        Ok(format!(
            "<figure>\n<div class=\"panels\">\n{pictures}</div>\n<figcaption>Each measure on its \
             own scale, in per cent.{}{}</figcaption>\n</figure>\n",
            if seeds { " Large dots are means, small ones single seeds." } else { "" },
            if self.has_default() { " The default setting is grey." } else { "" },
        ))
    }

    fn axis_name(&self) -> String {
        format!("{}{}", self.axis, if self.log_axis { " (logarithmic)" } else { "" })
    }

    /// The picture of a measure, if any case has it.
    fn panel<'a>(&'a self, measure: &'a str) -> Option<Panel<'a>> {
        self.summaries(measure).next()?;
        let is_line = self.cases.iter().all(|case| case.x.is_some());
        let place = |(row, case): (u32, &'a Case)| {
            let (label, at) = match case.x.filter(|_| is_line) {
                Some(x) if self.log_axis => (x.to_string(), x.ln()),
                Some(x) => (x.to_string(), x),
                None => (case.label.clone(), f64::from(row)),
            };
            let values = case.measures.get(measure).into_iter().flatten();
            CasePoint {
                label,
                at,
                values: values.map(|(_, value)| 100.0 * value).collect(),
                is_default: case.is_default,
            }
        };
        let mut places: Vec<CasePoint> = (0..).zip(&self.cases).map(place).collect();
        places.sort_by(|a, b| a.at.total_cmp(&b.at));
        Some(Panel { measure, axis: self.axis_name(), is_line, places })
    }
}

/// The values of a measure, at least one.
struct Summary {
    values: Vec<f64>,
    mean: f64,
}

impl Summary {
    fn of(values: Vec<f64>) -> Option<Self> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (!values.is_empty()).then_some(Self { values, mean })
    }

    /// The standard deviation, its square being unbiased, if there are two values or more.
    fn deviation(&self) -> Option<f64> {
        let squares = self.values.iter().map(|value| (value - self.mean).powi(2)).sum::<f64>();
        let others = self.values.len() - 1;
        (others > 0).then(|| (squares / others as f64).sqrt())
    }
}

/// A case in a picture, its values in per cent, if it has any.
struct CasePoint {
    label: String,
    at: f64,
    values: Vec<f64>,
    is_default: bool,
}

impl CasePoint {
    fn mean(&self) -> Option<f64> {
        Summary::of(self.values.clone()).map(|summary| summary.mean)
    }

    fn lowest(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn highest(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The picture of a measure: a line over an axis with the values upwards, or a row for each case
/// with the values to the right.
struct Panel<'a> {
    measure: &'a str,
    axis: String,
    is_line: bool,
    /// Sorted; at least one has a value.
    places: Vec<CasePoint>,
}

impl Panel<'_> {
    fn svg(&self) -> Result<String, Box<dyn StdError>> {
        let frame = self.frame()?;
        let mut svg = String::new();
        let mut ink = Ink(SVGBackend::with_string(&mut svg, (WIDTH as u32, frame.height as u32)));
        ink.text(&format!("{} (%)", self.measure), (GAP, HEADING / 3), HPos::Left)?;
        if self.is_line {
            self.draw_line(&frame, &mut ink)?;
        } else {
            self.draw_rows(&frame, &mut ink)?;
        }
        ink.0.present()?;
        drop(ink);
        Ok(svg)
    }

    fn frame(&self) -> Result<Frame, Box<dyn StdError>> {
        let mut left = LEFT;
        if !self.is_line {
            for place in &self.places {
                let label = text::shortened(&place.label, TEXT, LONGEST_LABEL)?;
                left = left.max(text::width(&label, TEXT)? + 2 * GAP);
            }
        }
        let rows = self.places.len() as i32 * ROW;
        let bottom = if self.is_line { HEIGHT - NUMBERS - NAME } else { HEADING + rows };
        Ok(Frame {
            is_line: self.is_line,
            height: if self.is_line { HEIGHT } else { bottom + NUMBERS },
            left,
            right: WIDTH - if self.is_line { 2 * GAP } else { RIGHT },
            top: HEADING,
            bottom,
            axis: self.axis_range().into(),
            values: self.value_range().into(),
        })
    }

    fn axis_range(&self) -> Range<f64> {
        let (first, last) = (self.places[0].at, self.places[self.places.len() - 1].at);
        let margin = match last - first {
            _ if !self.is_line => 0.5,
            0.0 => 1.0,
            span => 0.06 * span,
        };
        first - margin..last + margin
    }

    fn value_range(&self) -> Range<f64> {
        let lowest = self.places.iter().map(CasePoint::lowest).fold(f64::INFINITY, f64::min);
        let highest = self.places.iter().map(CasePoint::highest).fold(lowest, f64::max);
        let margin = (0.18 * (highest - lowest)).max(0.5);
        (lowest - margin).max(0.0)..(highest + margin).min(100.0)
    }

    /// Round values with their numbers.
    fn ticks(&self, frame: &Frame) -> Vec<(f64, String)> {
        let ticks = frame.values.key_points(6);
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
        let digits = (-step.log10()).ceil().max(0.0) as usize;
        ticks.into_iter().map(|tick| (tick, format!("{tick:.digits$}"))).collect()
    }

    fn draw_line(&self, frame: &Frame, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let Frame { left, right, bottom, .. } = *frame;
        for (tick, number) in self.ticks(frame) {
            let y = frame.of_value(tick);
            ink.line((left, y), (right, y), 0.3)?;
            ink.text(&number, (left - GAP, y), HPos::Right)?;
        }
        ink.line((left, bottom), (right, bottom), 1.0)?;
        let name = ((left + right) / 2, bottom + NUMBERS + NAME / 2);
        ink.text(&self.axis, name, HPos::Center)?;
        let known = |place: &CasePoint| Some((place.at, place.mean()?));
        let means: Vec<(f64, f64)> = self.places.iter().filter_map(known).collect();
        let line = means.iter().map(|&(at, mean)| frame.pixel(at, mean));
        ink.0.draw_path(line, &BLUE.stroke_width(2))?;
        let (mut axis_room, mut means_room) = (Room::default(), Room::default());
        // The default comes first where there is not room for all numbers.
        let (defaults, others): (Vec<_>, Vec<_>) =
            self.places.iter().partition(|place| place.is_default);
        for place in defaults.into_iter().chain(others) {
            let x = frame.of_place(place.at);
            ink.line((x, bottom), (x, bottom + GAP / 2), 1.0)?;
            if axis_room.take(x, text::width(&place.label, TEXT)?) {
                ink.text(&place.label, (x, bottom + NUMBERS / 2), HPos::Center)?;
            }
            let Some(mean) = place.mean() else { continue };
            if place.is_default {
                ink.0.draw_circle(frame.pixel(place.at, mean), HALO, &GREY.mix(0.4), true)?;
            }
            ink.dots(frame, place, mean)?;
            let number = format!("{mean:.1}");
            if means_room.take(x, text::width(&number, TEXT)?) {
                // In a valley of the line there is room below.
                let beside = |other: Option<&(f64, f64)>| other.is_none_or(|(_, m)| *m > mean);
                let before = means.iter().rev().find(|(at, _)| *at < place.at);
                let after = means.iter().find(|(at, _)| *at > place.at);
                let is_valley = means.len() > 1 && beside(before) && beside(after);
                let (end, side) =
                    if is_valley { (place.lowest(), 1) } else { (place.highest(), -1) };
                let y = frame.of_value(end);
                ink.text(&number, (x, y + side * 2 * GAP), HPos::Center)?;
            }
        }
        Ok(())
    }

    fn draw_rows(&self, frame: &Frame, ink: &mut Ink) -> Result<(), Box<dyn StdError>> {
        let Frame { left, top, bottom, .. } = *frame;
        let rows = || self.places.iter().map(|place| (frame.of_place(place.at), place));
        for (y, _) in rows().filter(|(_, place)| place.is_default) {
            let corners = ((0, y - ROW / 2), (WIDTH, y + ROW / 2));
            ink.0.draw_rect(corners.0, corners.1, &GREY.mix(0.25), true)?;
        }
        for (tick, number) in self.ticks(frame) {
            let x = frame.of_value(tick);
            ink.line((x, top), (x, bottom), 0.3)?;
            ink.text(&number, (x, bottom + NUMBERS / 2), HPos::Center)?;
        }
        ink.line((left, top), (left, bottom), 1.0)?;
        for (y, place) in rows() {
            let label = text::shortened(&place.label, TEXT, LONGEST_LABEL)?;
            ink.text(&label, (left - GAP, y), HPos::Right)?;
            let mut number = NONE.to_owned();
            if let Some(mean) = place.mean() {
                ink.dots(frame, place, mean)?;
                number = format!("{mean:.1}");
            }
            ink.text(&number, (WIDTH - GAP, y), HPos::Right)?;
        }
        Ok(())
    }
}

/// The stretches of a line that are written on.
#[derive(Default)]
struct Room(Vec<Range<i32>>);

impl Room {
    /// Takes a stretch around `centre`, if it is free.
    fn take(&mut self, centre: i32, width: i32) -> bool {
        let half = (width + GAP / 2) / 2;
        let stretch = centre - half..centre + half;
        let is_free = self.0.iter().all(|t| t.end <= stretch.start || stretch.end <= t.start);
        if is_free {
            self.0.push(stretch);
        }
        is_free
    }
}

/// Where in a picture dots are.
struct Frame {
    is_line: bool,
    /// Height of the picture.
    height: i32,
    /// The sides of the dots' field.
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    axis: RangedCoordf64,
    values: RangedCoordf64,
}

impl Frame {
    fn of_place(&self, at: f64) -> i32 {
        let ends = if self.is_line { (self.left, self.right) } else { (self.top, self.bottom) };
        self.axis.map(&at, ends)
    }

    fn of_value(&self, value: f64) -> i32 {
        let ends = if self.is_line { (self.bottom, self.top) } else { (self.left, self.right) };
        self.values.map(&value, ends)
    }

    fn pixel(&self, at: f64, value: f64) -> (i32, i32) {
        let (along, across) = (self.of_place(at), self.of_value(value));
        if self.is_line { (along, across) } else { (across, along) }
    }
}

/// A picture, and how it is drawn on.
struct Ink<'a>(SVGBackend<'a>);

impl Ink<'_> {
    fn text(&mut self, text: &str, at: (i32, i32), anchor: HPos) -> Result<(), Box<dyn StdError>> {
        Ok(self.0.draw_text(text, &text::style(TEXT, anchor), at)?)
    }

    /// The mean, and each seed if there are several.
    fn dots(
        &mut self,
        frame: &Frame,
        place: &CasePoint,
        mean: f64,
    ) -> Result<(), Box<dyn StdError>> {
        for &value in place.values.iter().filter(|_| place.values.len() > 1) {
            self.0.draw_circle(frame.pixel(place.at, value), SMALL, &BLUE.mix(0.5), true)?;
        }
        Ok(self.0.draw_circle(frame.pixel(place.at, mean), LARGE, &BLUE, true)?)
    }

    fn line(
        &mut self,
        from: (i32, i32),
        to: (i32, i32),
        opacity: f64,
    ) -> Result<(), Box<dyn StdError>> {
        Ok(self.0.draw_line(from, to, &GREY.mix(opacity))?)
    }
}

/// A share in per cent, as the MAE paper prints it.
fn per_cent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn fact((name, value): &(String, String)) -> String {
    format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value))
}

/// Text as HTML, within an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(label: &str, x: Option<f64>, tuned: &[f64], linear: &[f64]) -> Case {
        let measures = [("fine-tuning", tuned), ("linear", linear)]
            .map(|(name, values)| (name.to_owned(), (3..).zip(values.iter().copied()).collect()));
        let is_default = label == "75 %";
        Case { label: label.into(), x, is_default, measures: measures.into(), seconds: 90.0 }
    }

    fn study(cases: Vec<Case>) -> Study {
        Study {
            title: "Mask ratio".into(),
            axis: "mask ratio".into(),
            paper: "A ratio of 75 % works best.".into(),
            notes: vec![("data".into(), "1000 pictures".into())],
            measures: vec!["fine-tuning".into(), "linear".into()],
            cases,
            log_axis: false,
        }
    }

    fn ratios() -> Study {
        study(vec![
            case("50 %", Some(0.5), &[0.8, 0.82], &[0.5, 0.56]),
            case("75 %", Some(0.75), &[0.841, 0.859], &[0.7, 0.7]),
            case("90 %", Some(0.9), &[0.85], &[]),
        ])
    }

    /// The cells of the table's rows.
    fn rows(html: &str) -> Vec<&str> {
        html.lines().filter(|line| line.starts_with("<tr")).collect()
    }

    #[test]
    fn the_table_has_means_spreads_and_the_best_in_bold() {
        let html = ratios().to_html().unwrap();
        let expected = [
            "<tr><th scope=\"row\">50 %</th><td>81.0 <small>± 1.4</small></td>\
             <td>53.0 <small>± 4.2</small></td><td>1.5</td></tr>",
            "<tr class=\"default\"><th scope=\"row\">75 %</th>\
             <td><b>85.0</b> <small>± 1.3</small></td>\
             <td><b>70.0</b> <small>± 0.0</small></td><td>1.5</td></tr>",
            "<tr><th scope=\"row\">90 %</th><td><b>85.0</b></td><td>–</td><td>1.5</td></tr>",
        ];
        assert_eq!(rows(&html), expected);
        assert!(html.contains("standard deviation (n − 1) of 1 to 2 seeds."));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let deviation = |values: &[f64]| Summary::of(values.to_vec()).and_then(|s| s.deviation());
        assert!((deviation(&[1.0, 2.0, 4.0]).unwrap() - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!([deviation(&[0.5]), deviation(&[])], [None, None]);
    }

    #[test]
    fn text_is_escaped_everywhere() {
        let bad = "<i a='b' c=\"d\">&";
        let mut study = study(vec![case(bad, None, &[0.5], &[]), case("b", None, &[0.6], &[])]);
        study.cases[0].measures.insert(bad.into(), [(0, 0.5)].into());
        study.measures.push(bad.into());
        study.notes.push((bad.into(), bad.into()));
        for text in [&mut study.title, &mut study.axis, &mut study.paper] {
            *text = bad.into();
        }
        let html = study.to_html().unwrap();
        assert!(!html.contains("<i") && !html.contains("c=\"d"));
        // Title twice, axis in the table and of two pictures, paper, fact, label, measure, …
        let escaped = "&lt;i a=&#39;b&#39; c=&quot;d&quot;&gt;&amp;";
        assert!(html.matches(escaped).count() >= 10, "{}", html.matches(escaped).count());
    }

    #[test]
    fn each_measure_has_a_picture_of_dots_and_means() {
        let html = ratios().to_html().unwrap();
        assert_eq!(html.matches("<svg").count(), 2);
        // Three means and two pairs of seeds; two means and two pairs.
        assert_eq!(html.matches("r=\"5\"").count(), 3 + 2);
        assert_eq!(html.matches("r=\"3\"").count(), 4 + 4);
        assert_eq!(html.matches("<polyline").count(), 2);
        // Without a place for each case, rows instead of lines.
        let mut study = ratios();
        study.cases[0].x = None;
        let html = study.to_html().unwrap();
        assert_eq!((html.matches("<svg").count(), html.matches("<polyline").count()), (2, 0));
        assert!(html.contains("\n75 %\n"));
        // The row that misses the measure.
        assert_eq!(html.matches("\n–\n").count(), 1);
    }

    #[test]
    fn places_are_spread_by_value_or_logarithm() {
        let mut study = study([1.0, 10.0, 100.0].map(|x| case("", Some(x), &[0.5], &[])).into());
        study.cases.reverse();
        let middle = |study: &Study| {
            let panel = study.panel("fine-tuning").unwrap();
            let frame = panel.frame().unwrap();
            let x = |i: usize| f64::from(frame.of_place(panel.places[i].at));
            (x(1) - x(0)) / (x(2) - x(0))
        };
        assert!((middle(&study) - 1.0 / 11.0).abs() < 0.01);
        study.log_axis = true;
        assert!((middle(&study) - 0.5).abs() < 0.01);
    }

    #[test]
    fn the_default_is_numbered_where_there_is_not_room_for_all() {
        let many = (1..=60).map(|x| {
            let label = if x == 37 { "75 %" } else { "" };
            case(label, Some(f64::from(x)), &[0.5 + f64::from(x) / 1000.0], &[])
        });
        let html = study(many.collect()).to_html().unwrap();
        let is_numbered = |x: u32| html.contains(&format!("\n{x}\n"));
        let is_labelled = |x: u32| html.contains(&format!("\n{:.1}\n", 50.0 + f64::from(x) / 10.0));
        assert!(is_numbered(37) && !is_numbered(36) && !is_numbered(38));
        assert!(is_labelled(37) && !is_labelled(36) && !is_labelled(38));
        assert!((5..40).contains(&(1..=60).filter(|x| is_numbered(*x)).count()));
    }

    #[test]
    fn an_interrupted_study_is_reported() {
        let html = study(vec![case("75 %", Some(0.75), &[], &[])]).to_html().unwrap();
        assert!(rows(&html)[0].contains("<td>–</td><td>–</td>"));
        assert!(!html.contains("<figure"));
        assert!(study(vec![]).to_html().unwrap().contains("In the paper: A ratio"));
    }

    #[test]
    fn values_that_are_no_shares_are_refused() {
        let error = |study: &Study| study.to_html().unwrap_err().to_string();
        for (value, shown) in [(f64::NAN, "NaN"), (84.9, "84.9"), (-0.5, "-0.5")] {
            let error = error(&study(vec![case("a", None, &[value], &[])]));
            assert!(error.contains(&format!("of \"a\" is {shown}, not in [0, 1]")), "{error}");
        }
        let mut study = study(vec![case("a", Some(0.0), &[0.5], &[])]);
        assert!(study.to_html().is_ok());
        study.log_axis = true;
        assert!(error(&study).contains("at 0, not on a logarithmic axis"), "{}", error(&study));
    }

    #[test]
    fn csv_has_a_row_for_each_value() {
        let mut study = ratios();
        study.cases.remove(0);
        study.cases[1].label = "90 %, \"late\"".into();
        study.cases[1].x = None;
        let csv = String::from_utf8(study.to_csv().unwrap()).unwrap();
        let expected = "label,x,seed,measure,value\n\
            75 %,0.75,3,fine-tuning,0.841\n75 %,0.75,4,fine-tuning,0.859\n\
            75 %,0.75,3,linear,0.7\n75 %,0.75,4,linear,0.7\n\
            \"90 %, \"\"late\"\"\",,3,fine-tuning,0.85\n";
        assert_eq!(csv, expected);
    }
}
