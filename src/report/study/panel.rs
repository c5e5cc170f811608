//! What is in the picture of a measure, and where.

use std::error::Error as StdError;
use std::ops::Range;

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;

use super::summary::Summary;
use super::{Case, Study};
use crate::report::text;

/// Width of a picture, and height of one over an axis.
pub(super) const WIDTH: i32 = 400;
const HEIGHT: i32 = 300;
/// Height of a row of dots; of the heading, of an axis's numbers and of its name.
pub(super) const ROW: i32 = 30;
pub(super) const HEADING: i32 = 40;
pub(super) const NUMBERS: i32 = 24;
pub(super) const NAME: i32 = 22;
/// Room beside the dots: for the numbers of the axis to their left, and for a mean to their right.
const LEFT: i32 = 48;
const RIGHT: i32 = 44;
pub(super) const LONGEST_LABEL: i32 = 150;
pub(super) const GAP: i32 = 8;
/// Font size.
pub(super) const TEXT: f64 = 17.0;

impl Study {
    fn axis_name(&self) -> String {
        format!("{}{}", self.axis, if self.log_axis { " (logarithmic)" } else { "" })
    }

    /// The picture of a measure, if any case has it.
    pub(super) fn panel<'a>(&'a self, measure: &'a str) -> Option<Panel<'a>> {
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

/// A case in a picture, its values in per cent, if it has any.
pub(super) struct CasePoint {
    pub label: String,
    pub at: f64,
    pub values: Vec<f64>,
    pub is_default: bool,
}

impl CasePoint {
    pub fn mean(&self) -> Option<f64> {
        Summary::of(self.values.clone()).map(|summary| summary.mean)
    }

    pub fn lowest(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn highest(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The picture of a measure: a line over an axis with the values upwards, or a row for each case
/// with the values to the right.
pub(super) struct Panel<'a> {
    pub measure: &'a str,
    pub axis: String,
    pub is_line: bool,
    /// Sorted; at least one has a value.
    pub places: Vec<CasePoint>,
}

impl Panel<'_> {
    pub fn frame(&self) -> Result<Frame, Box<dyn StdError>> {
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
    pub fn ticks(&self, frame: &Frame) -> Vec<(f64, String)> {
        let ticks = frame.values.key_points(6);
        let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
        let digits = (-step.log10()).ceil().max(0.0) as usize;
        ticks.into_iter().map(|tick| (tick, format!("{tick:.digits$}"))).collect()
    }
}

/// Where in a picture dots are.
pub(super) struct Frame {
    is_line: bool,
    /// Height of the picture.
    pub height: i32,
    /// The sides of the dots' field.
    pub left: i32,
    pub right: i32,
    pub top: i32,
    pub bottom: i32,
    axis: RangedCoordf64,
    values: RangedCoordf64,
}

impl Frame {
    pub fn of_place(&self, at: f64) -> i32 {
        let ends = if self.is_line { (self.left, self.right) } else { (self.top, self.bottom) };
        self.axis.map(&at, ends)
    }

    pub fn of_value(&self, value: f64) -> i32 {
        let ends = if self.is_line { (self.bottom, self.top) } else { (self.left, self.right) };
        self.values.map(&value, ends)
    }

    pub fn pixel(&self, at: f64, value: f64) -> (i32, i32) {
        let (along, across) = (self.of_place(at), self.of_value(value));
        if self.is_line { (along, across) } else { (across, along) }
    }
}
